"""What deciding, merging, ranking and logging cost by themselves: no network, no engine, no Redis.

A search over S strategies and the ladder 0, 5, 10, 20, 50, 100 that found 200 distinct candidates; and a decision with
its update, against Vowpal Wabbit, MABWiser's and River's LinUCB with as many actions and the same context.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import vowpalwabbit
from mabwiser.mab import MAB, LearningPolicy
from river import bandit
from river.bandit.base import ArmID

from benchmarks.speed.bench import Bench
from benchmarks.speed.measure import Against, Row, alternate, median_each_ms, median_ms, rows_of
from honeyguide.candidates import CREATED_DAY, POPULARITY, Candidates
from honeyguide.documents import Context
from honeyguide.query import Span, SpanReading, Taste, Understanding
from honeyguide.retriever import Need, Strategy
from honeyguide_orchestrator.allocation_learner import AllocationLearner
from honeyguide_orchestrator.allocation_model import AllocationModel, Costs
from honeyguide_orchestrator.candidate_features import candidate_features, feature_names
from honeyguide_orchestrator.catalog_facts import CatalogFacts
from honeyguide_orchestrator.decision_log import FEATURE_ROWS_MAX, DecisionRecord, LoggedStrategy, encode
from honeyguide_orchestrator.document_actions import DocumentActions
from honeyguide_orchestrator.fanout import Status
from honeyguide_orchestrator.interpretation import QueryWords, interpret, parts_of_quantities, parts_of_spans
from honeyguide_orchestrator.learned import traits_of
from honeyguide_orchestrator.likelihood import Likelihoods
from honeyguide_orchestrator.merge import merge
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.policy import Policy, PolicyOptions, Situation
from honeyguide_orchestrator.quantities import find_quantities
from honeyguide_orchestrator.ranker import RANKERS, RankerModel, order_of
from honeyguide_orchestrator.situation import FEATURES, Recollection, describe

DEPTHS = (5, 10, 20, 50, 100)
CANDIDATES = 200
FOUND_TIMES = 3
"""How many strategies find a candidate, on average."""

ACTIONS = 40
TIME_S = 1_700_000_000.0
QUERY = "best science fiction films of the 1990s"
WORDS = tuple(QUERY.split())
COSTS = Costs.of(DEPTHS, 0.0125, 0.00025)
TAUGHT = 300


@dataclass(frozen=True, slots=True)
class Case:
    """A search's size: strategies, and ids in the catalogue that the candidates come from."""

    name: str
    strategies: int
    documents: int


CASES = (
    Case("12 strategies", 12, 10_000),
    Case("12 strategies, catalogue x100", 12, 1_000_000),
    Case("4 strategies", 4, 10_000),
    Case("40 strategies", 40, 10_000),
)


class Steps:
    """One search's steps, as functions without arguments, each on what the one before it made."""

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(0)
        strategies = strategies_of(case.strategies)
        names = [strategy.name for strategy in strategies]
        self._rng = rng
        self._policy = policy()
        self._model = taught(strategies, rng).model(names)
        self._allowed = np.ones(len(names), bool)
        self._dependable = np.array([strategy.dependable for strategy in strategies])
        self._unanswered = np.zeros(len(names), np.int64)
        self._spans = (Span(1, 3, (SpanReading("science fiction", attribute="genre", document_count=900),)),)
        self._answers = _answers(names, case.documents, rng)
        self._actions = DocumentActions()
        for number in rng.permutation(case.documents)[:2_000].tolist():
            self._actions.learn(_id(number), 1.0, TIME_S)
        self.understand()
        self.decide()
        self.merge()
        self._ranker = RANKERS["linear"]
        weights = rng.normal(size=len(feature_names(names))).tolist()
        self._weights = RankerModel(dict(zip(feature_names(names), weights, strict=True)))
        self.rank()

    def understand(self) -> None:
        """Spans and quantities to interpretations, and the context's features."""
        words = QueryWords(WORDS, (1.0,) * len(WORDS))
        facts = CatalogFacts(document_count=10_000)
        quantities = find_quantities(QUERY, TIME_S)
        parts = parts_of_spans(self._spans, words, facts) + parts_of_quantities(quantities, words, facts)
        interpretations, likelihood = interpret(parts, words, Likelihoods().log_odds)
        self._understood = Understanding(
            QUERY, QUERY, "en", confidence=likelihood, spans=self._spans, interpretations=interpretations
        )
        self._context = Context(time_s=TIME_S)
        self._x = describe(QUERY, self._understood, Recollection(), self._context, False)

    def decide(self) -> None:
        """A draw of SquareCB."""
        nobody = np.zeros_like(self._allowed)
        self._situation = Situation(self._x, self._allowed, self._dependable, nobody, self._unanswered)
        self._draw = self._policy.draw(self._situation, self._model, self._rng)

    def merge(self) -> None:
        """All lists to one."""
        self._merged = merge(self._answers)

    def rank(self) -> None:
        """Features, scores and order."""
        merged = self._merged
        features = candidate_features(merged, self._understood, Taste(), {}, TIME_S, self._actions)
        scores = self._ranker.scores(features, merged.strategies, self._weights)
        self._ranked = features, scores, order_of(scores)

    def log(self) -> None:
        """The record of the decision, as the bytes that go to Redis."""
        (features, scores, order), merged, draw = self._ranked, self._merged, self._draw
        strategies = tuple(
            LoggedStrategy(name, 20, propensity, Status.OK, 16, 0.001)
            for name, propensity in zip(merged.strategies, draw.propensities.tolist(), strict=True)
        )
        encode(
            DecisionRecord(
                id="0" * 32,
                query=QUERY,
                understanding=self._understood,
                context=self._context,
                scope="0",
                policy=self._policy.name,
                snapshot_version=1,
                propensity=draw.propensity,
                propensity_estimated=draw.estimated,
                strategies=strategies,
                x=self._x,
                ranker="linear",
                answered=merged.strategies,
                document_ids=tuple(merged.document_ids[i] for i in order),
                types=tuple(merged.types[i] for i in order),
                scores=scores[order],
                ranks=merged.ranks[order],
                features=features[order[:FEATURE_ROWS_MAX]],
                strategy_scores=merged.scores[order[:FEATURE_ROWS_MAX]],
                page_size=10,
                allowed=merged.strategies,
                distribution=draw.distribution,
            )
        )

    def everything(self) -> None:
        """All steps, one after the other."""
        self.understand()
        self.decide()
        self.merge()
        self.rank()
        self.log()


def strategies_of(count: int) -> tuple[Strategy, ...]:
    """Strategies of services that have four each, the first three dependable."""
    names = [f"service{i // 4}.strategy{i}" for i in range(count)]
    return tuple(Strategy(name, "", needs=(Need.QUERY,), dependable=i < 3) for i, name in enumerate(names))


def policy() -> Policy:
    """SquareCB with the default settings."""
    return POLICIES["squarecb"](
        PolicyOptions(COSTS, exploration_share=0.05, exploration_share_known=0.4, gamma=60.0, warm_up=20.0, epsilon=0.1)
    )


def taught(strategies: Sequence[Strategy], rng: np.random.Generator) -> AllocationLearner:
    """A learner that has seen some hundred random decisions: no weight is left at its prior."""
    learner = AllocationLearner(DEPTHS)
    for strategy in strategies:
        learner.ensure(traits_of(strategy))
    for number in range(TAUGHT):
        asked = {one.name: int(rng.choice(DEPTHS)) for one in strategies if rng.random() < 0.5}
        ranks = {name: int(rng.integers(1, depth + 1)) for name, depth in asked.items() if rng.random() < 0.3}
        learner.learn(context(rng), asked, ranks, 0.5 if ranks else None, number)
    return learner


def context(rng: np.random.Generator) -> Any:
    """Context features of which as many are 0 as in real searches."""
    return np.where(rng.random(len(FEATURES)) < 0.4, rng.normal(size=len(FEATURES)), 0).astype(np.float32)


def _answers(names: Sequence[str], documents: int, rng: np.random.Generator) -> dict[str, Candidates]:
    """What the strategies found: together exactly `CANDIDATES` distinct documents, each some times."""
    pool = rng.choice(documents, CANDIDATES, replace=False)
    dealt = np.concatenate([pool, *(rng.permutation(pool) for _ in range(FOUND_TIMES - 1))])
    answers = {}
    for name, part in zip(names, np.array_split(dealt, len(names)), strict=True):
        chosen = list(dict.fromkeys(part.tolist()))
        answers[name] = Candidates(
            [_id(number) for number in chosen],
            np.sort(rng.random(len(chosen)).astype(np.float32))[::-1],
            ["film" if number % 2 else "person" for number in chosen],
            {POPULARITY: rng.random(len(chosen)).astype(np.float32), CREATED_DAY: np.zeros(len(chosen), np.float32)},
        )
    return answers


def _id(number: int) -> str:
    return f"document:{number:08d}"


class OurStep:
    """A decision and its update by Honeyguide's policy: strategies x depths are the actions."""

    def __init__(self, strategies: int) -> None:
        self._rng = np.random.default_rng(0)
        chosen = strategies_of(strategies)
        self._names = [one.name for one in chosen]
        self._policy, self._learner = policy(), taught(chosen, self._rng)
        self._model: AllocationModel = self._learner.model(self._names)
        self._allowed = np.ones(strategies, bool)
        self._dependable = np.array([one.dependable for one in chosen])
        self._unanswered = np.zeros(strategies, np.int64)
        self._number = 0

    def __call__(self, x: Any) -> None:
        """One step; the best-asked strategy found the document."""
        situation = Situation(x, self._allowed, self._dependable, ~self._allowed, self._unanswered)
        draw = self._policy.draw(situation, self._model, self._rng)
        asked = {n: DEPTHS[r - 1] for n, r in zip(self._names, draw.rungs.tolist(), strict=True) if r}
        self._number += 1
        self._learner.learn(x, asked, {next(iter(asked)): 2}, 0.6, self._number)

    def snapshot(self) -> None:
        """What is made anew when a snapshot is adopted, whatever happened since the last."""
        self._model = self._learner.model(self._names)


class VowpalWabbit:
    """The same by Vowpal Wabbit's SquareCB with action-dependent features, as in `benchmarks.quality.baselines`."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._workspace: Any = vowpalwabbit.Workspace(
            "--cb_explore_adf --squarecb --gamma_scale 1000 --cb_type mtr -q CA --random_seed 1 --quiet"
        )
        self._actions = [f"|A s{i // 5}={DEPTHS[i % 5]} arm={i}" for i in range(ACTIONS)]

    def __call__(self, x: Any) -> None:
        """One step."""
        features = " ".join(f"{name}:{value:.4f}" for name, value in zip(FEATURES, x.tolist(), strict=True) if value)
        shared = f"shared |C {features}"
        chances = np.maximum(self._workspace.predict([shared, *self._actions]), 0)
        chances /= chances.sum()
        arm = int(self._rng.choice(ACTIONS, p=chances))
        label = f"0:-0.6:{chances[arm]:.6f} "
        self._workspace.learn([shared, *(label + a if i == arm else a for i, a in enumerate(self._actions))])


class MabWiser:
    """The same by MABWiser's LinUCB, which has to have seen something before it predicts: one step an arm."""

    def __init__(self) -> None:
        arms = list(range(ACTIONS))
        self._bandit = MAB(arms, LearningPolicy.LinUCB(alpha=1.0), seed=1)
        self._bandit.fit(arms, np.zeros(ACTIONS), np.zeros((ACTIONS, len(FEATURES))))

    def __call__(self, x: Any) -> None:
        """One step."""
        arm = self._bandit.predict(x[np.newaxis])
        self._bandit.partial_fit([arm], [0.6], x[np.newaxis])


class LinUCB:
    """The same by River's LinUCBDisjoint."""

    def __init__(self) -> None:
        self._bandit = bandit.LinUCBDisjoint(alpha=1.0, beta=25.0, seed=1)
        self._arms: list[ArmID] = list(range(ACTIONS))

    def __call__(self, x: Any) -> None:
        """One step."""
        features = {name: value for name, value in zip(FEATURES, x.tolist(), strict=True) if value}
        arm = self._bandit.pull(self._arms, context=features)
        self._bandit.update(arm, features, 0.6)


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows."""
    count = 100 if bench.quick else 400
    cases = {case.name: Steps(case) for case in CASES}

    async def total(steps: Steps) -> float:
        return median_ms(steps.everything, count)

    values = await alternate({name: partial(total, steps) for name, steps in cases.items()}, bench.repetitions)
    larger = {CASES[1].name: Against(CASES[0].name, 2)}
    rows = rows_of("steps: a search", "understand to log", "ms", values, larger)
    keep([replace(row, item=2) for row in rows])
    for name in ("understand", "decide", "merge", "rank", "log"):
        values = await alternate(
            {case: partial(_timed, getattr(steps, name), count) for case, steps in cases.items()}, bench.repetitions
        )
        keep(rows_of("steps: a search", name, "ms", values, {CASES[1].name: Against(CASES[0].name)}))
    keep(await _decisions(bench))


async def _decisions(bench: Bench) -> list[Row]:
    rng = np.random.default_rng(1)
    contexts = [context(rng) for _ in range(20 if bench.quick else 60)]
    ours, wide = OurStep(ACTIONS // len(DEPTHS)), OurStep(ACTIONS)
    systems: dict[str, Callable[[Any], None]] = {
        f"squarecb, {ACTIONS} actions": ours,
        f"squarecb, {ACTIONS} strategies": wide,
        "Vowpal Wabbit": VowpalWabbit(),
        "MABWiser LinUCB": MabWiser(),
        "River LinUCBDisjoint": LinUCB(),
    }
    values = await alternate(
        {name: partial(_each, system, contexts) for name, system in systems.items()}, bench.repetitions
    )
    against = {name: Against("Vowpal Wabbit") for name in systems if name != "Vowpal Wabbit"}
    against[f"squarecb, {ACTIONS} actions"] = Against("Vowpal Wabbit", 9)
    rows = rows_of("steps: a decision", "decide and update", "ms", values, against)
    made = await alternate(
        {
            f"squarecb, {ACTIONS} actions": lambda: _timed(ours.snapshot, 5),
            f"squarecb, {ACTIONS} strategies": lambda: _timed(wide.snapshot, 5),
        },
        bench.repetitions,
    )
    return rows + rows_of("steps: a decision", "arrays of a snapshot", "ms", made, {})


async def _timed(call: Callable[[], None], count: int) -> float:
    return median_ms(call, count)


async def _each(step: Callable[[Any], None], contexts: Sequence[Any]) -> float:
    return median_each_ms(step, contexts)

"""The story of a search: understand, decide, fan out, merge, rank, fill, log, show."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from honeyguide.api.memory.v1 import memory_pb2
from honeyguide.candidates import NO_CANDIDATES, Candidates
from honeyguide.documents import context_to_proto, filter_to_proto
from honeyguide.errors import HoneyguideError, InvalidArgument, Unavailable
from honeyguide.query import RetrievalQuery, Understanding, taste_from_proto
from honeyguide.retriever import Kind, Need, Strategy
from honeyguide.text import normalize
from honeyguide_orchestrator.allocation_model import Depths, Floats
from honeyguide_orchestrator.candidate_features import candidate_features
from honeyguide_orchestrator.deadline import STAGE_MIN_S, Deadline
from honeyguide_orchestrator.decision_log import (
    FEATURE_ROWS_MAX,
    DecisionLog,
    DecisionRecord,
    LoggedShadow,
    LoggedStrategy,
    new_id,
)
from honeyguide_orchestrator.examination import swap_chances
from honeyguide_orchestrator.experiment import Experiment, Trial, Variant
from honeyguide_orchestrator.fanout import Outcome, Retrievers, Status, outcome_of
from honeyguide_orchestrator.interleaving import own_candidates, team_draft
from honeyguide_orchestrator.learned import Learned, LearnedModels
from honeyguide_orchestrator.merge import Merged, merge
from honeyguide_orchestrator.page_filler import PageFiller
from honeyguide_orchestrator.page_token import scope_of
from honeyguide_orchestrator.policy import Draw, Policy, Situation, both, middle_rung
from honeyguide_orchestrator.query_evidence import remembered_from_proto
from honeyguide_orchestrator.ranker import Ranker, check_available, order_of
from honeyguide_orchestrator.related import RELATED, RelatedEntities
from honeyguide_orchestrator.result_page import ResultPages, SearchPage
from honeyguide_orchestrator.search_query import SearchQuery
from honeyguide_orchestrator.situation import Recollection, describe
from honeyguide_orchestrator.understanding import Understander

RANKED_MAX = 500
"""Ranked candidates kept for paging."""

OF_THE_QUERY = "memory.query"
KNOWN_ACTIONS = 2.0
"""Actions on a query from which on what memory knows of it can be depended on."""

log = structlog.get_logger("honeyguide.search")


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """Times that the stages get at most, in seconds, and how often neighbours are swapped."""

    understand_s: float
    retrieve_s: float
    log_s: float
    swap_share: float


@dataclass(frozen=True, slots=True)
class _Arm:
    """Who decides and who ranks."""

    policy: Policy
    ranker: Ranker


@dataclass(frozen=True, slots=True)
class _Arms:
    """Who answers a search: one arm, or two whose rankings are interleaved; for an experiment or for none."""

    own: _Arm
    rival: _Arm | None = None
    trial: Trial | None = None


@dataclass(frozen=True, slots=True)
class _Decided:
    """What a policy drew, in which situation, and what the shadow policy would have drawn.

    apart: where the policies of two arms drew, the depths of each; `draw` then asks for enough for both.
    """

    policy: str
    situation: Situation
    draw: Draw
    shadow: LoggedShadow | None
    apart: tuple[Mapping[str, int], ...] = ()


class Searcher:
    """Answers searches. Holds nothing of one search when it is over."""

    def __init__(
        self,
        *,
        understander: Understander,
        retrievers: Retrievers,
        lexical: Any,
        memory: Any,
        models: LearnedModels,
        policies: Mapping[str, Policy],
        live_policy: str,
        shadow_policy: str,
        rankers: Mapping[str, Ranker],
        live_ranker: str,
        experiment: Experiment | None = None,
        decision_log: DecisionLog,
        filler: PageFiller,
        pages: ResultPages,
        limits: SearchLimits,
        rng: np.random.Generator,
    ) -> None:
        self._understander = understander
        self._retrievers = retrievers
        self._related = RelatedEntities(lexical)
        self._memory = memory
        self._models = models
        self._policies = policies
        self._live_policy = live_policy
        self._shadow_policy = shadow_policy
        self._rankers = rankers
        self._live_ranker = live_ranker
        self._experiment = experiment
        self._decision_log = decision_log
        self._filler = filler
        self._pages = pages
        self._limits = limits
        self._rng = rng
        self._strategies: tuple[Strategy, ...] = ()

    async def search(self, query: SearchQuery) -> SearchPage:
        """Answers one search.

        Raises:
            InvalidArgument: unknown policy or ranker, or a page token that is wrong, stale or of another search.
            Unavailable: no retriever is connected, or a page token cannot be looked up.
        """
        deadline = Deadline(query.patience_s)
        if query.page_token:
            return await self._pages.next_page(query, self._models.current(self.strategies()), deadline)
        timer = _Timer()
        arms = self._arms(query)
        if not self._retrievers.strategies:
            raise Unavailable("no retriever answers")
        learned = self._models.current(self.strategies())

        understanding, recollection = await self._understand(
            query, learned, deadline.to_find(self._limits.understand_s)
        )
        timer.lap("understand")

        decided = self._decide(arms, query, understanding, recollection, learned)
        timer.lap("decide")

        asked = RetrievalQuery(query.text, understanding, query.context, query.filter, recollection.taste)
        limit_s = deadline.to_find(self._limits.retrieve_s)
        outcomes = await self._retrieve(asked, decided.draw.rungs, recollection.answers, limit_s, learned)
        timer.lap("retrieve")

        merged = merge(_answers(outcomes), recollection.remembered)
        timer.lap("merge")

        record = self._rank(query, asked, arms, decided, outcomes, merged, learned)
        timer.lap("rank")

        limit_s = deadline.to_find(self._limits.retrieve_s)
        record = await self._filler.filled(record, asked, query.page_size, limit_s)
        timer.lap("fill")

        # The page is made while Redis takes the decision in.
        _, page = await asyncio.gather(
            self._log(record, deadline.to_show(self._limits.log_s)),
            self._pages.page(query, record, 0, learned, deadline),
        )
        timer.lap("fetch")
        return replace(page, timings_s=timer.laps)

    def strategies(self) -> tuple[Strategy, ...]:
        """All strategies there are now, by name; the same object while nothing changed."""
        known = self._retrievers.strategies
        if len(self._strategies) != len(known) + 1 or any(
            ours is not theirs
            for ours, theirs in zip((s for s in self._strategies if s is not RELATED), known, strict=True)
        ):
            self._strategies = tuple(sorted((*known, RELATED), key=lambda strategy: strategy.name))
        return self._strategies

    def _arms(self, query: SearchQuery) -> _Arms:
        """Those that the request names, else its user's in the experiment, else the live ones."""
        trial = None
        if self._experiment and query.tracked and not query.policy and not query.ranker:
            # Who cannot be told from others is dealt anew with every search.
            unit = query.context.user_id or query.context.session_id or uuid.uuid4().hex
            trial = self._experiment.assign(unit)
        if trial is None:
            return _Arms(self._arm(Variant(policy=query.policy, ranker=query.ranker)))
        return _Arms(self._arm(trial.serving), self._arm(trial.rival) if trial.rival else None, trial)

    def _arm(self, named: Variant) -> _Arm:
        policy = self._policies.get(named.policy or self._live_policy)
        if policy is None:
            raise InvalidArgument("policy", f"{named.policy[:80]!r} is not one of {', '.join(self._policies)}")
        ranker = self._rankers.get(named.ranker or self._live_ranker)
        if ranker is None:
            raise InvalidArgument("ranker", f"{named.ranker[:80]!r} is not one of {', '.join(self._rankers)}")
        check_available(ranker.name)
        return _Arm(policy, ranker)

    async def _understand(
        self, query: SearchQuery, learned: Learned, limit_s: float
    ) -> tuple[Understanding, Recollection]:
        context = query.context
        understanding, recollection = await asyncio.gather(
            self._understander.understand(query.text, learned.likelihoods, context.locale, context.time_s, limit_s),
            self._recall(query, learned, limit_s),
        )
        return understanding, recollection

    async def _recall(self, query: SearchQuery, learned: Learned, limit_s: float) -> Recollection:
        depth = _recalled_depth(learned)
        request = memory_pb2.RecallRequest(
            normalized_query=normalize(query.text),
            context=context_to_proto(query.context),
            filter=filter_to_proto(query.filter),
            depth=depth,
        )
        try:
            known = await self._memory.Recall(request, timeout=limit_s)
        except HoneyguideError as error:
            log.warning("memory does not answer", error=error.message)
            return Recollection()
        answers = {}
        if known.HasField("answer") and (answer := outcome_of(known.answer, depth)).status is Status.OK:
            answers[known.answer.strategy] = answer
        return Recollection(
            known.actions,
            known.pages,
            known.entropy,
            known.top_share,
            known.near_similarity,
            known.user_actions,
            taste_from_proto(known.taste),
            remembered_from_proto(known),
            answers,
        )

    def _decide(
        self,
        arms: _Arms,
        query: SearchQuery,
        understanding: Understanding,
        recollection: Recollection,
        learned: Learned,
    ) -> _Decided:
        met = {
            Need.QUERY: bool(understanding.normalized_query),
            Need.TASTE: bool(recollection.taste),
            Need.USER: bool(query.context.user_id or query.context.session_id or query.context.segment),
            Need.INTERPRETATION: bool(understanding.interpretations),
        }
        strategies, answers = learned.strategies, recollection.answers
        told = {name for name, answer in answers.items() if len(answer.candidates)}
        # What had nothing to tell, by the filter perhaps, would have nothing to tell again.
        useless = answers.keys() - told
        situation = Situation(
            x=describe(query.text, understanding, recollection, query.context, bool(query.filter)),
            allowed=np.array([one.name not in useless and all(met[need] for need in one.needs) for one in strategies]),
            dependable=np.array([_dependable(one, recollection, told) for one in strategies], bool),
            exploring=np.array([strategy.kind is Kind.EXPLORE for strategy in strategies], bool),
            answered=np.where(
                [strategy.name in told for strategy in strategies],
                middle_rung(len(learned.allocation.depths)),
                0,
            ),
        )
        policy = arms.own.policy
        draw = policy.draw(situation, learned.allocation, self._rng)
        shadow = self._shadow(situation, draw, learned)
        if arms.rival is None or arms.rival.policy is policy:
            return _Decided(policy.name, situation, draw, shadow)
        rival = arms.rival.policy.draw(situation, learned.allocation, self._rng)
        apart = (_depths(draw.rungs, learned), _depths(rival.rungs, learned))
        return _Decided(f"{policy.name}+{arms.rival.policy.name}", situation, both(draw, rival), shadow, apart)

    def _shadow(self, situation: Situation, obeyed: Draw, learned: Learned) -> LoggedShadow | None:
        if not self._shadow_policy:
            return None
        draw = self._policies[self._shadow_policy].draw(situation, learned.allocation, self._rng)
        known = obeyed.distribution
        return LoggedShadow(
            self._shadow_policy,
            tuple(sorted(_depths(draw.rungs, learned).items())),
            drawn=bool((draw.rungs == obeyed.rungs).all()),
            propensity=known.probability(draw.rungs) if known else 0.0,
        )

    async def _retrieve(
        self,
        query: RetrievalQuery,
        rungs: Depths,
        answers: Mapping[str, Outcome],
        limit_s: float,
        learned: Learned,
    ) -> dict[str, Outcome]:
        depths = _depths(rungs, learned)
        related_depth = depths.pop(RELATED.name, 0)
        if not depths and not related_depth:
            return {}
        begin = time.perf_counter()
        ready = {
            name: replace(outcome, candidates=outcome.candidates.first(depths[name]))
            for name, outcome in answers.items()
            if 0 < depths.get(name, 0) <= _recalled_depth(learned)
        }
        to_ask = {name: depth for name, depth in depths.items() if name not in ready}
        outcomes = ready | await self._retrievers.retrieve(query, to_ask, limit_s)
        if related_depth:
            found = merge(_answers(outcomes))
            left_s = max(limit_s - (time.perf_counter() - begin), STAGE_MIN_S)
            outcomes[RELATED.name] = await self._related.expand(found, query.filter, related_depth, left_s)
        return outcomes

    def _rank(
        self,
        query: SearchQuery,
        asked: RetrievalQuery,
        arms: _Arms,
        decided: _Decided,
        outcomes: Mapping[str, Outcome],
        merged: Merged,
        learned: Learned,
    ) -> DecisionRecord:
        features = _features(merged, asked, decided, learned)
        scores = arms.own.ranker.scores(features, merged.strategies, learned.ranker)
        order, swapped_at, trial = order_of(scores)[:RANKED_MAX], 0, arms.trial
        if trial and arms.rival:
            order, teams = self._interleave((arms.own, arms.rival), query, asked, decided, outcomes, merged, learned)
            trial = trial.with_teams(teams)
        else:
            order, swapped_at = self._swap(order, scores, query)
        return DecisionRecord(
            id=new_id(query.tracked),
            query=query.text,
            understanding=asked.understanding,
            context=query.context,
            scope=scope_of(query.text, query.filter),
            policy=decided.policy,
            snapshot_version=learned.version,
            propensity=decided.draw.propensity,
            propensity_estimated=decided.draw.estimated,
            strategies=_logged(decided.draw, outcomes, learned),
            x=decided.situation.x,
            ranker=arms.own.ranker.name,
            answered=merged.strategies,
            document_ids=tuple(map(merged.document_ids.__getitem__, order.tolist())),
            types=tuple(map(merged.types.__getitem__, order.tolist())),
            scores=scores[order],
            ranks=merged.ranks[order],
            features=features[order[:FEATURE_ROWS_MAX]],
            strategy_scores=merged.scores[order[:FEATURE_ROWS_MAX]],
            page_size=query.page_size,
            swapped_at=swapped_at,
            tracked=query.tracked,
            shadow=decided.shadow,
            exploration=decided.draw.exploration,
            trial=trial,
            allowed=_names(decided.situation.allowed, learned),
            dependable=_names(decided.situation.dependable, learned),
            answered_before=_names(decided.situation.answered > 0, learned),
            distribution=decided.draw.distribution,
        )

    def _interleave(
        self,
        arms: tuple[_Arm, _Arm],
        query: SearchQuery,
        asked: RetrievalQuery,
        decided: _Decided,
        outcomes: Mapping[str, Outcome],
        merged: Merged,
        learned: Learned,
    ) -> tuple[Depths, tuple[int, ...]]:
        """Both arms' rankings on one page, each of what its own allocation fetched; and whose rows are whose."""
        rows = {document_id: row for row, document_id in enumerate(merged.document_ids)}
        rankings = []
        for i, arm in enumerate(arms):
            own = merged
            if decided.apart:
                own = merge(own_candidates(_answers(outcomes), decided.apart[i]), merged.remembered)
            scores = arm.ranker.scores(_features(own, asked, decided, learned), own.strategies, learned.ranker)
            rankings.append([rows[own.document_ids[at]] for at in order_of(scores)])
        order, teams = team_draft(rankings[0], rankings[1], query.page_size, self._rng)
        return np.array(order[:RANKED_MAX], np.int64), teams

    def _swap(self, order: Depths, scores: Floats, query: SearchQuery) -> tuple[Depths, int]:
        """Swaps one pair of neighbours on a small share of first pages (FairPairs, Radlinski and Joachims 2006)."""
        pairs = min(query.page_size, len(order)) - 1
        if pairs < 1 or not query.tracked or self._rng.random() >= self._limits.swap_share:
            return order, 0
        upper = int(self._rng.choice(pairs, p=swap_chances(scores[order[: pairs + 1]].astype(np.float64))))
        swapped = order.copy()
        swapped[[upper, upper + 1]] = order[[upper + 1, upper]]
        return swapped, upper + 1

    async def _log(self, record: DecisionRecord, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._decision_log.append(record)
        except (HoneyguideError, TimeoutError) as error:
            # The results are still good; what is lost is what could have been learned from them.
            log.error("decision not logged", decision=record.id, error=str(error) or "late")


def _answers(outcomes: Mapping[str, Outcome]) -> dict[str, Candidates]:
    return {name: outcome.candidates for name, outcome in outcomes.items() if outcome.status is Status.OK}


def _features(merged: Merged, asked: RetrievalQuery, decided: _Decided, learned: Learned) -> Floats:
    affinity = learned.affinity.of(decided.situation.x)
    return candidate_features(
        merged,
        asked.understanding,
        asked.taste,
        affinity,
        asked.context.time_s,
        learned.actions,
        learned.language,
    )


def _dependable(strategy: Strategy, recollection: Recollection, told: Collection[str]) -> bool:
    """Whether the strategy may be the only one asked: memory may, if it told what people acted on for the query."""
    if strategy.name == OF_THE_QUERY:
        return strategy.name in told and recollection.actions >= KNOWN_ACTIONS
    return strategy.dependable


def _recalled_depth(learned: Learned) -> int:
    """Candidates that memory tells of a known query without being asked for them."""
    ladder = learned.allocation.depths
    return ladder[middle_rung(len(ladder)) - 1]


def _depths(rungs: Depths, learned: Learned) -> dict[str, int]:
    """Depth by name of the strategies asked: the rung's, or the most that the strategy answers."""
    ladder = learned.allocation.depths
    return {
        strategy.name: min(ladder[rung - 1], strategy.depth_max)
        for strategy, rung in zip(learned.strategies, rungs.tolist(), strict=True)
        if rung
    }


def _names(chosen: npt.NDArray[np.bool_], learned: Learned) -> tuple[str, ...]:
    return tuple(strategy.name for strategy, one in zip(learned.strategies, chosen.tolist(), strict=True) if one)


def _logged(draw: Draw, outcomes: Mapping[str, Outcome], learned: Learned) -> tuple[LoggedStrategy, ...]:
    depths = _depths(draw.rungs, learned)
    nothing = Outcome(Status.NOT_ASKED, NO_CANDIDATES, 0.0)
    logged = []
    for strategy, propensity in zip(learned.strategies, draw.propensities.tolist(), strict=True):
        outcome = outcomes.get(strategy.name, nothing)
        logged.append(
            LoggedStrategy(
                strategy.name,
                depths.get(strategy.name, 0),
                propensity,
                outcome.status,
                len(outcome.candidates),
                outcome.elapsed_s,
                outcome.message,
            )
        )
    return tuple(logged)


class _Timer:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now

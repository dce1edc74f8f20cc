"""What each part of the policy is worth, with all else held still: ten times less noise than whole systems have.

Whole systems differ from run to run by more than a part of the policy is worth, since what is shown teaches memory and
ranker, which choose what is shown. Here one run at full depth tells, for every search of the mixed stream, what every
strategy finds, in the order of the learned ranker and with what memory knows by then; policies then decide over that,
each learning from its own clicks. So it says what a policy earns by what it learns of strategies itself, and nothing of
what its choices teach memory and ranker: that only whole systems show (`quality`).

`told of every list` learns from the ranks in all lists, asked or not: a bound of what exploring could tell.
Writes benchmarks/results/policy_alone.json and .md. Runs on seeds 6 to 10: those on which the policy is chosen.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import math
import os
import pickle
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np
import numpy.typing as npt
import structlog

from benchmarks.quality.ablations import CONTEXT_GROUPS, Altered, squarecb, without_overlap
from benchmarks.quality.learning import Job, Scenario
from benchmarks.quality.needs import CACHE, scene
from benchmarks.quality.quality import RESULTS, interval, row_of
from benchmarks.quality.simulation import (
    CALL_COST,
    CANDIDATE_COST,
    DEPTHS,
    PAGE,
    STEP_EVERY,
    Stage,
    System,
    clicks,
    published,
    run,
    stage,
    strategies_of,
)
from benchmarks.quality.streams import Search
from benchmarks.quality.users import PEOPLE
from honeyguide.retriever import Strategy
from honeyguide_orchestrator.allocation_learner import AllocationLearner, seed_of
from honeyguide_orchestrator.allocation_model import AllocationModel, Costs
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.learned import traits_of
from honeyguide_orchestrator.policies.epsilon_greedy import EpsilonGreedy
from honeyguide_orchestrator.policies.fixed import FullDepth
from honeyguide_orchestrator.policies.greedy import Greedy
from honeyguide_orchestrator.policies.thompson import Thompson
from honeyguide_orchestrator.policy import Draw, Policy, Situation
from honeyguide_orchestrator.settings import OrchestratorSettings
from honeyguide_orchestrator.situation import FEATURES

SEARCHES = 4_000
SEEDS = (6, 7, 8, 9, 10)
FIRST = 1_000
COSTS = Costs.of(DEPTHS, CALL_COST, CANDIDATE_COST)
LADDER = np.array((0, *DEPTHS))


@dataclass(frozen=True, slots=True)
class Found:
    """A search, the situation of its decision, and all that full depth found.

    document_ids: the N candidates, best first. ranks: [N, S] of each in every strategy's list, 0 = not in it.
    """

    search: Search
    situation: Situation
    document_ids: tuple[str, ...]
    ranks: npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class World:
    """A stream at full depth; `strategies` in the order of the columns."""

    strategies: tuple[Strategy, ...]
    found: Sequence[Found]


@dataclass(frozen=True, slots=True)
class Variant:
    """A policy, the context's features that it does not see, and whether it is told of lists that it did not ask."""

    policy: Callable[[], Policy]
    masked: Collection[str] = ()
    told_all: bool = False


@dataclass(slots=True)
class Earned:
    """What came of every search."""

    reward: list[float] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    candidates: list[int] = field(default_factory=list)


class _Watching:
    """Full depth, and the situation that it last decided on."""

    name = "full_depth"

    def __init__(self) -> None:
        self._policy = FullDepth()
        self.situation: Situation | None = None

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        self.situation = situation
        return self._policy.draw(situation, model, rng)

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`."""
        return self._policy.distribution(situation, model, rng)


def world_of(searches: int, seed: int) -> World:
    """The world of a seed's stream; kept in .bench."""
    path = CACHE / "worlds" / f"{searches}-{seed}.pickle"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(asyncio.run(_see(Job(Scenario("mixed", searches), seed)))))
    world: World = pickle.loads(path.read_bytes())
    return world


async def _see(job: Job) -> World:
    watching = _Watching()
    found: list[Found] = []
    system = System("full_depth", lambda costs: watching, swap_share=0.0, learns=False)
    async with stage(system, job.scene, job.recording, job.seed) as on:
        strategies = strategies_of(on)
        columns = {one.name: column for column, one in enumerate(strategies)}

        def observe(search: Search, record: DecisionRecord, on: Stage) -> None:
            if watching.situation is None:
                raise RuntimeError("a search that nothing was decided on")
            ranks = np.zeros((len(record.document_ids), len(columns)), np.int16)
            ranks[:, [columns[name] for name in record.answered]] = record.ranks
            found.append(Found(search, watching.situation, record.document_ids, ranks))

        await run(on, job.searches, job.seed, observe=observe)
    return World(strategies, found)


@dataclass(frozen=True, slots=True)
class _Decided:
    """What the learner needs of a decision: the context, the depths asked, and the ranks of what was shown."""

    x: npt.NDArray[np.float32]
    asked: Mapping[str, int]
    ranks: npt.NDArray[np.int16]

    def ranks_at(self, position: int, columns: Mapping[str, int]) -> dict[str, int]:
        row = self.ranks[position - 1]
        return {name: int(row[columns[name]]) for name, depth in self.asked.items() if 0 < row[columns[name]] <= depth}


def play(world: World, variant: Variant, seed: int) -> Earned:
    """Lets a variant decide and learn."""
    policy, earned = variant.policy(), Earned()
    window_s = OrchestratorSettings().attribution_window_s
    seen = np.array([name not in variant.masked for name in FEATURES])
    columns = {one.name: column for column, one in enumerate(world.strategies)}
    rng = np.random.default_rng([seed, 7])
    learner = AllocationLearner(DEPTHS)
    for strategy in world.strategies:
        learner.ensure(traits_of(strategy))
    model = learner.model(list(columns))
    decided: dict[int, _Decided] = {}
    due: list[tuple[float, int, int]] = []
    opened: deque[tuple[float, int]] = deque()
    acted: set[int] = set()
    for number, found in enumerate(world.found):
        search = found.search
        if number % STEP_EVERY == 0:
            while due and due[0][0] <= search.time_s:
                _, at, position = heapq.heappop(due)
                acted.add(at)
                decision = decided[at]
                reward = 1 / math.log2(1 + position)
                ranks = decision.ranks_at(position, columns)
                learner.learn(decision.x, decision.asked, ranks, reward, seed_of(f"{at}-{position}"))
            while opened and opened[0][0] + window_s < search.time_s:
                at = opened.popleft()[1]
                if at not in acted:
                    learner.learn(decided[at].x, decided[at].asked, {}, None, seed_of(str(at)))
            if published(number):
                model = learner.model(list(columns))
        situation = replace(found.situation, x=np.where(seen, found.situation.x, 0).astype(np.float32))
        depths = LADDER[policy.draw(situation, model, rng).rungs]
        returned = (found.ranks > 0) & (found.ranks <= depths)
        page = np.flatnonzero(returned.any(axis=1))[:PAGE]
        shown = [found.document_ids[row] for row in page.tolist()]
        gain = 1 / math.log2(2 + shown.index(search.wanted)) if search.wanted in shown else 0.0
        earned.calls.append(int((depths > 0).sum()))
        earned.candidates.append(int(returned.sum()))
        earned.reward.append(gain - CALL_COST * earned.calls[-1] - CANDIDATE_COST * earned.candidates[-1])
        known = np.where(situation.allowed, DEPTHS[-1], 0) if variant.told_all else depths
        asked = {name: int(known[column]) for name, column in columns.items() if known[column]}
        decided[number] = _Decided(situation.x, asked, found.ranks[page])
        opened.append((search.time_s, number))
        for click in clicks(search, shown, PEOPLE, Random(f"{seed} {number}")):
            heapq.heappush(due, (click.arrives_s, number, click.position))
    return earned


def variants() -> dict[str, Variant]:
    """What is compared."""
    settings = OrchestratorSettings()
    plain: Callable[[], Policy] = lambda: squarecb(COSTS)  # noqa: E731
    found = {
        "honeyguide": Variant(plain),
        "greedy": Variant(lambda: Greedy(COSTS)),
        "greedy, told of every list": Variant(lambda: Greedy(COSTS), told_all=True),
        "epsilon_greedy": Variant(lambda: EpsilonGreedy(COSTS, settings.epsilon)),
        "thompson": Variant(lambda: Thompson(COSTS, settings.exploration_share)),
        "without warm-up": Variant(lambda: squarecb(COSTS, exploration_warm_up=0.0)),
        "without overlap learning": Variant(lambda: Altered(squarecb(COSTS), without_overlap)),
    }
    for group, features in CONTEXT_GROUPS.items():
        found[f"without context: {group}"] = Variant(plain, features)
    found["without context: all of it"] = Variant(plain, frozenset(FEATURES) - {"bias"})
    return found


def main() -> None:
    """Measures, and writes what came of it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if scene("mixed") is None:
        raise SystemExit("the collections are not there; set HONEYGUIDE_COLLECTIONS")
    seeds = SEEDS[:1] if os.environ.get("QUICK") else SEEDS
    runs: dict[str, dict[int, Earned]] = {}
    for seed in seeds:
        world = world_of(SEARCHES, seed)
        for name, variant in variants().items():
            runs.setdefault(name, {})[seed] = earned = play(world, variant, seed)
            print(f"seed {seed} {name}: {np.mean(earned.reward[FIRST:]):.4f}", flush=True)
    rows: list[dict[str, object]] = []
    lines = [
        f"The mixed stream, {SEARCHES:,} searches, {len(seeds)} seeds: reward after the first {FIRST:,} searches, and "
        "what it is more than honeyguide's, then and before. Within seeds, with 95% intervals over seeds.",
        "",
        "| policy | reward | more by | in the first 1,000, more by | calls | candidates |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    later, first = slice(FIRST, None), slice(0, FIRST)
    order = sorted(runs, key=lambda name: -_mean(runs[name], "reward", later))
    for name in order:
        told = [f"{_mean(runs[name], 'reward', later):.4f}"]
        for window, label in ((later, "later"), (first, "first 1,000")):
            values = [
                float(np.mean(runs[name][seed].reward[window]) - np.mean(runs["honeyguide"][seed].reward[window]))
                for seed in seeds
            ]
            mean, _, high = interval(values)
            told.append(f"{mean:+.4f}" + ("" if high is None or name == "honeyguide" else f" ±{high - mean:.4f}"))
            metric = "reward, more than honeyguide"
            rows.append(row_of("mixed", f"policy alone, {label}", name, metric, values, SEARCHES))
        told += [f"{_mean(runs[name], 'calls', later):.2f}", f"{_mean(runs[name], 'candidates', later):.1f}"]
        lines.append(f"| {name} | {' | '.join(told)} |")
    (RESULTS / "policy_alone.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    (RESULTS / "policy_alone.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def _mean(by_seed: Mapping[int, Earned], column: str, window: slice) -> float:
    return float(np.mean([np.mean(getattr(earned, column)[window]) for earned in by_seed.values()]))


if __name__ == "__main__":
    main()

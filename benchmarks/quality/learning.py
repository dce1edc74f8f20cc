"""Learning curves: every system on the same streams, over recorded lexical and vector answers (see `recording`).

One job is one seed of one scenario; its traces are kept in .bench/traces, so that an interrupted run goes on where it
was. `quality.py` makes the tables of them.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from benchmarks.quality.ablations import ablations
from benchmarks.quality.baselines import (
    FUSIONS,
    STATICS,
    Allocation,
    Beside,
    Fallback,
    LinUCB,
    Static,
    StaticPerCollection,
    VowpalWabbit,
)
from benchmarks.quality.needs import CACHE, Scene, scene
from benchmarks.quality.recording import Recording, record
from benchmarks.quality.simulation import (
    CALL_COST,
    CANDIDATE_COST,
    DEPTHS,
    PAGE,
    Stage,
    System,
    Trace,
    held_out,
    run,
    stage,
    strategies_of,
)
from benchmarks.quality.streams import Search, stream
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.ranker import RANKERS

TRACES = CACHE / "traces"
SAMPLE_EVERY = 16
"""Of the last quarter's searches, every so many are asked again with every static allocation."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scene and a stream over it."""

    scene: str
    searches: int
    drift: bool = False
    label: str = ""

    @property
    def name(self) -> str:
        """How results call it."""
        return self.label or ("drift" if self.drift else "stationary")

    @property
    def key(self) -> str:
        """How files call it."""
        return f"{self.scene}-{self.name}-{self.searches}"


@dataclass(slots=True)
class Outcome:
    """What one system did in one job. `held_out` is its run over the held-out queries; `notes` what was chosen."""

    trace: Trace
    held_out: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: str = ""


@dataclass(slots=True)
class Hindsight:
    """What was learned of static allocations on one stream: reward by allocation and sampled search."""

    numbers: list[int] = field(default_factory=list)
    rewards: dict[str, list[float]] = field(default_factory=dict)
    gains: dict[str, list[float]] = field(default_factory=dict)

    def promising(self) -> list[str]:
        """The static allocations of highest mean reward for each number of calls.

        They were judged with what full depth had taught memory and ranker; which of them teaches itself best only
        shows when it runs for itself.
        """
        best: dict[int, str] = {}
        for name in sorted(STATICS, key=lambda name: -float(np.mean(self.rewards[name]))):
            best.setdefault(len(STATICS[name]), name)
        return list(best.values())


def learning_systems() -> dict[str, System]:
    """The systems that need nothing from another's run."""
    return {
        "greedy": System("greedy", "greedy"),
        "epsilon_greedy": System("epsilon_greedy", "epsilon_greedy"),
        "fallback": System("fallback", lambda costs: Fallback(), learns=False),
    }


@cache
def _recording(name: str) -> Recording:
    """The recording of a scene, which is the same for every fold; read once in a process."""
    found = scene(name)
    if found is None:
        raise SystemExit(f"{name}: its collections are not there")
    return record(found)


def prepare(name: str) -> None:
    """Makes the recording of a scene if there is none; for one process at a time."""
    _recording(name)


class Job:
    """One seed of one scenario."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario, self.seed = scenario, seed
        found = scene(scenario.scene, fold=seed)
        if found is None:
            raise SystemExit(f"{scenario.scene}: its collections are not there; set HONEYGUIDE_COLLECTIONS")
        self.scene: Scene = found
        self.recording = _recording(scenario.scene)
        self.searches: list[Search] = stream(found.learning, scenario.searches, seed, scenario.drift)

    def kept(self, name: str) -> Outcome | None:
        """What an earlier run left."""
        path = self._path(name)
        if not path.exists():
            return None
        outcome: Outcome = pickle.loads(path.read_bytes())
        return outcome

    def _path(self, name: str) -> Path:
        return TRACES / self.scenario.key / str(self.seed) / f"{name}.pickle"

    def keep(self, name: str, outcome: object) -> None:
        """Keeps an outcome for tables and later jobs."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(outcome))

    def system(self, name: str) -> System:
        """The system of that name; those chosen in hindsight are made of what other runs left."""
        plain = learning_systems() | ablations()
        if name in plain:
            return plain[name]
        if name == "linucb":
            return System(name, lambda costs: LinUCB(costs, DEPTHS, self.seed), learns=False)
        if name == "vw_squarecb":
            return System(name, lambda costs: VowpalWabbit(costs, DEPTHS, self.seed), learns=False)
        if name == "equal_split":
            honeyguide = self.kept("honeyguide")
            if honeyguide is None:
                raise SystemExit("equal_split: run honeyguide first; it spends what honeyguide spent")
            spent = float(np.mean(honeyguide.trace.candidates[-len(self.searches) // 4 :]))
            # As many candidates as honeyguide fetched, the same number of each strategy that looks at the query.
            each = max(1, round(spent / len(EQUAL)))
            return System(name, lambda costs: Static(dict.fromkeys(EQUAL, each), name), depths=(each,), learns=False)
        if name.startswith("static "):
            return System(name, lambda costs: Static(STATICS[name.removeprefix("static ")], name), learns=False)
        if name == "best_static_per_collection":
            chosen = self._best_by_collection()
            return System(name, lambda costs: StaticPerCollection(chosen), learns=False)
        raise SystemExit(f"{name!r} is no system of this benchmark")

    def hindsight(self) -> Hindsight:
        """What this stream's full-depth run tells of static allocations."""
        path = self._path("hindsight")
        if not path.exists():
            raise SystemExit("static allocations are chosen in hindsight: run full_depth first")
        found: Hindsight = pickle.loads(path.read_bytes())
        return found

    async def do(self, name: str) -> Outcome:
        """Runs one system, unless it was run before."""
        kept = self.kept(name)
        if kept is not None:
            return kept
        if name == "full_depth":
            return await self._full_depth()
        if name == "best_static":
            return await self._best_static()
        async with stage(self.system(name), self.scene, self.recording, self.seed) as on:
            trace = await run(on, self.searches, self.seed)
            found = await held_out(on, self.scene.held_out, self.searches[-1].time_s)
        outcome = Outcome(trace, found)
        self.keep(name, outcome)
        return outcome

    async def _best_static(self) -> Outcome:
        """The best of the promising static allocations, each run for itself, by the last quarter's reward."""
        quarter = len(self.searches) // 4
        outcomes = {name: await self.do(f"static {name}") for name in self.hindsight().promising()}
        best = max(outcomes, key=lambda name: float(outcomes[name].trace.reward()[-quarter:].mean()))
        outcome = Outcome(outcomes[best].trace, outcomes[best].held_out, notes=best)
        self.keep("best_static", outcome)
        return outcome

    def _best_by_collection(self) -> dict[str, Allocation]:
        """By collection, the static allocation whose own run earned most on the last quarter's searches of it."""
        last = self.searches[-(len(self.searches) // 4) :]
        rewards: dict[str, np.ndarray] = {}
        for name in self.hindsight().promising():
            kept = self.kept(f"static {name}")
            if kept is None:
                raise SystemExit("best_static_per_collection is made of the runs of best_static: run that first")
            rewards[name] = kept.trace.reward()[-len(last) :]
        collections = np.array([search.need.collection for search in last])
        return {
            one: STATICS[max(rewards, key=lambda name: float(rewards[name][collections == one].mean()))]
            for one in sorted(set(collections.tolist()))
        }

    async def _full_depth(self) -> Outcome:
        """Full depth; and in its last quarter all fusions of its candidates, and a sample of all static allocations."""
        beside = Beside(RANKERS["gated"])
        fused = {name: Trace() for name in FUSIONS}
        begin = len(self.searches) * 3 // 4
        system = System("full_depth", "full_depth", beside, swap_share=0.0, learns=False)
        async with stage(system, self.scene, self.recording, self.seed) as on:

            def observe(search: Search, shown: DecisionRecord, on: Stage) -> None:
                if search.number < begin:
                    return
                recalled = search.wanted in shown.document_ids
                row = shown.document_ids.index(search.wanted) if recalled else -1
                for name, trace in fused.items():
                    place = beside.place(name, row) if recalled else 0
                    trace.position.append(place if place <= PAGE else 0)
                    trace.recalled.append(recalled)
                    trace.candidates.append(shown.candidates_fetched)
                    trace.calls.append(shown.calls)
                    trace.cost.append(CALL_COST * shown.calls + CANDIDATE_COST * shown.candidates_fetched)

            trace = await run(on, self.searches[:begin], self.seed, observe=observe)
            hindsight = Hindsight()
            for at in range(begin, len(self.searches)):
                if (at - begin) % SAMPLE_EVERY == 0:
                    await _ask_all(on, self.searches[at], hindsight)
                part = await run(on, self.searches[at : at + 1], self.seed, observe=observe)
                for column in ("position", "recalled", "candidates", "calls", "cost"):
                    getattr(trace, column).extend(getattr(part, column))
                trace.seconds += part.seconds
            found = await held_out(on, self.scene.held_out, self.searches[-1].time_s)
        self.keep("hindsight", hindsight)
        for name, one in fused.items():
            self.keep(f"fusion {name}".replace("/", " "), Outcome(one, notes=name))
        outcome = Outcome(trace, found)
        self.keep("full_depth", outcome)
        return outcome


ALONE_DEPTHS = (10, 50, 100)

EQUAL = (
    "lexical.bm25",
    "lexical.popular",
    "lexical.structured",
    "lexical.fuzzy",
    "vector.dense",
    "memory.query",
    "memory.near",
)


async def _ask_all(on: Stage, search: Search, hindsight: Hindsight) -> None:
    """Asks one search again, untracked, with every static allocation and every strategy alone at every depth."""
    alone: dict[str, Allocation] = {
        f"only:{one.name}@{depth}": {one.name: depth}
        for one in strategies_of(on)
        for depth in ALONE_DEPTHS
        if depth <= one.depth_max
    }
    hindsight.numbers.append(search.number)
    for name, allocation in (STATICS | alone).items():
        shown = await on.ask(Static(allocation), search.need.query, search.time_s)
        place = shown.document_ids.index(search.wanted) + 1 if search.wanted in shown.document_ids[:PAGE] else 0
        gain = 1 / float(np.log2(1 + place)) if place else 0.0
        cost = CALL_COST * shown.calls + CANDIDATE_COST * shown.candidates_fetched
        hindsight.rewards.setdefault(name, []).append(gain - cost)
        hindsight.gains.setdefault(name, []).append(gain)


def _told(trace: Trace, quarter: int) -> str:
    return (
        f"reward {trace.reward()[-quarter:].mean():.4f}, gain {trace.gain()[-quarter:].mean():.4f}, "
        f"{np.mean(trace.candidates[-quarter:]):.1f} candidates, {np.mean(trace.calls[-quarter:]):.2f} calls, "
        f"{1e3 * trace.seconds / len(trace.position):.1f} ms a search"
    )


@lru_cache(maxsize=1)
def _job(scenario: Scenario, seed: int) -> Job:
    return Job(scenario, seed)


def work(scenario: Scenario, seed: int, systems: Sequence[str]) -> Mapping[str, float]:
    """Runs systems of a job, one after the other; returns their mean reward in the last quarter."""
    job = _job(scenario, seed)
    rewards = {}
    for name in systems:
        outcome = asyncio.run(job.do(name))
        quarter = len(job.searches) // 4
        rewards[name] = float(outcome.trace.reward()[-quarter:].mean())
        print(f"{scenario.key} seed {seed} {name}: {_told(outcome.trace, quarter)}", flush=True)
    return rewards

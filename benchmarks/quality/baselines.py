"""What Honeyguide is compared with: static allocations and fusions, fallbacks, and other contextual bandits."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from river import bandit
from river.bandit.base import ArmID

from benchmarks.quality.simulation import Informed, Taught
from benchmarks.quality.streams import Search
from honeyguide_orchestrator.allocation_model import AllocationModel, Costs, Depths, Floats
from honeyguide_orchestrator.candidate_features import RECIPROCAL_RANK_K, feature_names
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.distribution import Distribution, Probabilities
from honeyguide_orchestrator.policy import Draw, Situation, certain
from honeyguide_orchestrator.ranker import Ranker, RankerModel, order_of
from honeyguide_orchestrator.situation import FEATURES

Allocation = Mapping[str, int]
"""Depth by strategy, of those asked."""

BM25, POPULAR, STRUCTURED, FUZZY, DENSE, QUERY, NEAR = (
    "lexical.bm25",
    "lexical.popular",
    "lexical.structured",
    "lexical.fuzzy",
    "vector.dense",
    "memory.query",
    "memory.near",
)

STATICS: dict[str, Allocation] = {
    **{f"{name}@{depth}": {name: depth} for name in (BM25, POPULAR, FUZZY, DENSE, QUERY) for depth in (10, 20, 50)},
    **{f"bm25+dense@{depth}": {BM25: depth, DENSE: depth} for depth in (5, 10, 20, 50, 100)},
    **{f"bm25+query@{depth}": {BM25: depth, QUERY: 5} for depth in (5, 10, 20, 50)},
    **{f"dense+query@{depth}": {DENSE: depth, QUERY: 5} for depth in (5, 10, 20)},
    **{f"popular+query@{depth}": {POPULAR: depth, QUERY: 5} for depth in (5, 10, 20)},
    **{f"bm25+dense+query@{depth}": {BM25: depth, DENSE: depth, QUERY: 5} for depth in (5, 10, 20, 50, 100)},
    **{f"popular+dense+query@{depth}": {POPULAR: depth, DENSE: depth, QUERY: 5} for depth in (5, 10, 20, 50)},
    **{f"bm25+popular+query@{depth}": {BM25: depth, POPULAR: depth, QUERY: 5} for depth in (5, 10, 20)},
    **{f"bm25+dense+memory@{depth}": {BM25: depth, DENSE: depth, QUERY: 5, NEAR: 5} for depth in (5, 10, 20, 50)},
    **{
        f"lexical+dense+query@{depth}": {BM25: depth, POPULAR: depth, STRUCTURED: depth, DENSE: depth, QUERY: 5}
        for depth in (5, 10, 20)
    },
    **{
        f"six@{depth}": {BM25: depth, POPULAR: depth, STRUCTURED: depth, FUZZY: depth, DENSE: depth, QUERY: depth}
        for depth in (5, 10, 20)
    },
}
"""Static allocations that an engineer would try; the best of them is chosen in hindsight."""


ARMS = {name: one for name, one in STATICS.items() if max(one.values()) <= 20}
"""The allocations that other bandits choose among."""


def rungs_of(allocation: Allocation, situation: Situation, model: AllocationModel) -> Depths:
    """The rungs of an allocation whose depths are on the ladder, as far as its strategies are allowed."""
    rungs = [model.depths.index(allocation[name]) + 1 if name in allocation else 0 for name in model.strategies]
    return np.where(situation.allowed, np.array(rungs), 0)


class _Fixed(ABC):
    """A policy that draws one allocation only."""

    @abstractmethod
    def rungs(self, situation: Situation, model: AllocationModel) -> Depths:
        """The allocation."""

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        return certain(self.rungs(situation, model))

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`."""
        return Distribution.certain(self.rungs(situation, model))


class Static(_Fixed):
    """Always the same allocation."""

    def __init__(self, allocation: Allocation, name: str = "static") -> None:
        self.name = name
        self._allocation = allocation

    def rungs(self, situation: Situation, model: AllocationModel) -> Depths:
        """See `_Fixed`."""
        return rungs_of(self._allocation, situation, model)


class StaticPerCollection(_Fixed, Informed):
    """The same allocation for every query of a collection; it is told which collection a query is of."""

    name = "static_per_collection"

    def __init__(self, allocations: Mapping[str, Allocation]) -> None:
        self._allocations = allocations
        self._collection = ""

    def told(self, search: Search) -> None:
        """See `Informed`."""
        self._collection = search.need.collection

    def rungs(self, situation: Situation, model: AllocationModel) -> Depths:
        """See `_Fixed`."""
        return rungs_of(self._allocations[self._collection], situation, model)


class Fallback(_Fixed):
    """Memory where the query was acted on before, else full text, else (nothing typed) what is popular."""

    name = "fallback"

    def rungs(self, situation: Situation, model: AllocationModel) -> Depths:
        """See `_Fixed`."""
        if situation.x[FEATURES.index("known")] > 0:
            chosen: Allocation = {QUERY: 20}
        elif situation.x[FEATURES.index("empty")]:
            chosen = {"memory.popular": 20}
        else:
            chosen = {BM25: 50}
        return rungs_of(chosen, situation, model)


CONTEXT = tuple(name for name in FEATURES if not name.startswith(("locale", "device", "segment", "hour", "season")))
"""What the other bandits see: the same context as Honeyguide's policy, without what is constant here."""

_COLUMNS = [FEATURES.index(name) for name in CONTEXT]


def _reward(record: DecisionRecord, wanted: str, costs: Costs, depths: Sequence[int]) -> float:
    shown = record.document_ids[:10]
    gain = 1 / math.log2(2 + shown.index(wanted)) if wanted in shown else 0.0
    asked = {strategy.depth for strategy in record.strategies if strategy.depth}
    if not asked <= set(depths):
        raise ValueError(f"depths {asked} are not on the ladder {depths}")
    cost = sum(float(costs.by_rung[depths.index(s.depth)]) for s in record.strategies if s.depth)
    return gain - cost


class LinUCB(Taught):
    """River's LinUCBDisjoint (Li et al., WWW 2010) over whole allocations, told the true reward at once."""

    name = "linucb"

    def __init__(self, costs: Costs, depths: Sequence[int], seed: int) -> None:
        self._costs, self._depths = costs, tuple(depths)
        self._bandit = bandit.LinUCBDisjoint(alpha=1.0, beta=25.0, seed=seed)
        self._drawn: tuple[str, dict[str, float]] = ("", {})

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        self._drawn = self._pulled(situation)
        return certain(rungs_of(ARMS[self._drawn[0]], situation, model))

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`; which of several equally good arms is drawn by chance is not told."""
        arm, _ = self._pulled(situation)
        return Distribution.certain(rungs_of(ARMS[arm], situation, model))

    def _pulled(self, situation: Situation) -> tuple[str, dict[str, float]]:
        context = {name: float(situation.x[i]) for name, i in zip(CONTEXT, _COLUMNS, strict=True) if situation.x[i]}
        arms: list[ArmID] = list(ARMS)
        return str(self._bandit.pull(arms, context=context)), context

    def teach(self, record: DecisionRecord, wanted: str) -> None:
        """See `Taught`."""
        arm, context = self._drawn
        self._bandit.update(arm, context, _reward(record, wanted, self._costs, self._depths))


class VowpalWabbit(Taught):
    """Vowpal Wabbit's SquareCB with action-dependent features over whole allocations, told the true reward at once."""

    name = "vw_squarecb"

    def __init__(self, costs: Costs, depths: Sequence[int], seed: int) -> None:
        import vowpalwabbit  # of the benchmark's own environment

        self._costs, self._depths = costs, tuple(depths)
        self._workspace: Any = vowpalwabbit.Workspace(
            f"--cb_explore_adf --squarecb --gamma_scale 1000 --cb_type mtr -q CA --random_seed {seed} --quiet"
        )
        self._actions = [
            "|A " + " ".join(f"{name}={depth}" for name, depth in {**allocation, "arm": arm}.items())
            for arm, allocation in enumerate(ARMS.values())
        ]
        self._drawn: tuple[str, int, float] = ("", 0, 1.0)

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        shared, chances = self._chances(situation)
        arm = int(rng.choice(len(chances), p=chances))
        self._drawn = (shared, arm, float(chances[arm]))
        return certain(rungs_of(list(ARMS.values())[arm], situation, model))

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`."""
        _, chances = self._chances(situation)
        drawn = chances > 0
        every = np.stack([rungs_of(arm, situation, model) for arm in ARMS.values()])[drawn]
        # Arms that differ only in strategies that are not allowed are the same allocation.
        allocations, arms = np.unique(every.astype(np.int8), axis=0, return_inverse=True)
        probabilities = np.zeros(len(allocations))
        np.add.at(probabilities, arms, chances[drawn])
        return Distribution(allocations, probabilities)

    def _chances(self, situation: Situation) -> tuple[str, Probabilities]:
        """The context as Vowpal Wabbit has it, and the probability of each arm."""
        shared = "shared |C " + " ".join(
            f"{name}:{situation.x[i]:.4f}" for name, i in zip(CONTEXT, _COLUMNS, strict=True) if situation.x[i]
        )
        chances = np.maximum(self._workspace.predict([shared, *self._actions]), 0)
        return shared, chances / chances.sum()

    def teach(self, record: DecisionRecord, wanted: str) -> None:
        """See `Taught`."""
        shared, arm, chance = self._drawn
        cost = -_reward(record, wanted, self._costs, self._depths)
        actions = [f"0:{cost:.5f}:{chance:.6f} {a}" if i == arm else a for i, a in enumerate(self._actions)]
        self._workspace.learn([shared, *actions])


def _columns(strategies: Sequence[str], chosen: frozenset[str] | None, feature: str) -> list[int]:
    names = feature_names(strategies)
    return [names.index(f"{one}:{feature}") for one in strategies if chosen is None or one in chosen]


_FEW = frozenset({BM25, DENSE, QUERY})
_LOOKING = frozenset({BM25, POPULAR, STRUCTURED, FUZZY, DENSE, QUERY, NEAR})


class _Fusion(ABC):
    """A ranker without weights."""

    name = "fusion"

    @abstractmethod
    def scores(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""

    def contributions(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`; a fusion's parts are not told."""
        return np.zeros_like(features)

    def weights(self, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`; a fusion has none."""
        return np.zeros(len(feature_names(strategies)), np.float32)


class ReciprocalRank(_Fusion):
    """Reciprocal-rank fusion with a constant k and only some of the strategies (Cormack et al., SIGIR 2009)."""

    def __init__(self, k: float, strategies: frozenset[str] | None = None) -> None:
        self.name = f"rrf({k:g})"
        self._k = k
        self._strategies = strategies

    def scores(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        columns = _columns(strategies, self._strategies, "reciprocal_rank")
        values = features[:, columns]
        ranks = (RECIPROCAL_RANK_K + 1) / np.maximum(values, 1e-9) - RECIPROCAL_RANK_K
        fused: Floats = np.where(values > 0, 1 / (self._k + ranks), 0).sum(axis=1).astype(np.float32)
        return fused


class DistributionBased(_Fusion):
    """Distribution-based score fusion: each list's scores mapped so that mean -+ 3 standard deviations are 0 and 1,
    then summed (Mazzeschi 2023, "Distribution-based score fusion"). Min-max scores do: the map is affine."""

    def __init__(self, strategies: frozenset[str] | None = None) -> None:
        self.name = "dbsf"
        self._strategies = strategies

    def scores(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        fused = np.zeros(len(features), np.float32)
        scores = _columns(strategies, self._strategies, "score")
        for score, found in zip(scores, _columns(strategies, self._strategies, "found"), strict=True):
            here = features[:, found] > 0
            if here.any():
                values = features[here, score]
                spread = 6 * max(float(values.std()), 1e-6)
                fused[here] += np.clip((values - values.mean()) / spread + 0.5, 0, 1)
        return fused


FUSIONS: Mapping[str, Ranker] = {
    f"{name}, {which}": fusion
    for which, strategies in (("all", None), ("those that look at the query", _LOOKING), ("bm25+dense+query", _FEW))
    for name, fusion in (
        *((f"rrf k={k}", ReciprocalRank(k, strategies)) for k in (1, 10, 60)),
        ("dbsf", DistributionBased(strategies)),
    )
}
"""Static fusions; the best constants and strategies are chosen in hindsight."""


class Beside(_Fusion):
    """A ranker that serves, and keeps what it saw, so that fusions that do not serve can be asked afterwards."""

    def __init__(self, serving: Ranker) -> None:
        self.name = serving.name
        self._serving = serving
        self._seen: tuple[Floats, Sequence[str], RankerModel, Depths] | None = None

    def scores(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        scores = self._serving.scores(features, strategies, model)
        self._seen = (features, strategies, model, order_of(scores))
        return scores

    def contributions(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return self._serving.contributions(features, strategies, model)

    def place(self, fusion: str, row: int) -> int:
        """The position, from 1, that a fusion gives the candidate in a row of the last search's served ranking."""
        if self._seen is None:
            raise ValueError("nothing was searched yet")
        features, strategies, model, order = self._seen
        scores = FUSIONS[fusion].scores(features, strategies, model)[order]
        return 1 + int((scores > scores[row]).sum()) + int((scores[:row] == scores[row]).sum())

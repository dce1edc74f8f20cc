"""The seam of rankers, and the two that ship: static fusion and the learned linear ranker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.candidate_features import feature_names

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RankerModel:
    """What the learner publishes for rankers: weights by feature name, and whether they have earned to serve.

    advantage: running mean of what the learned ranker would have earned on the shown lists, less fusion's.
    """

    weights: Mapping[str, float]
    advantage: float = 0.0
    events: int = 0
    serves: bool = False


class Ranker(Protocol):
    """Scores the candidates of one search."""

    @property
    def name(self) -> str:
        """The name under which it is configured and logged."""
        ...

    def scores(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """Scores [N] of candidates, larger is better.

        Args:
            features: [N, len(feature_names(strategies))], as `candidate_features` makes them.
            strategies: those that answered.
            model: what was learned.
        """
        ...

    def contributions(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """What every feature adds to the candidates' scores: [N, K], of the shape of `features`."""
        ...

    def weights(self, strategies: Sequence[str], model: RankerModel) -> Floats:
        """How much every feature matters in general [K], for people to read."""
        ...


class Weighted(ABC):
    """A linear ranker: a candidate's score is the dot product of its features and the weights."""

    @abstractmethod
    def weights(self, strategies: Sequence[str], model: RankerModel) -> Floats:
        """Weight of every feature of `feature_names(strategies)`, [K]."""

    def scores(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        scores: Floats = features @ self.weights(strategies, model)
        return scores

    def contributions(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return features * self.weights(strategies, model)


class Fusion(Weighted):
    """Reciprocal-rank fusion of all lists: score = sum of 61 / (60 + rank)."""

    name = "fusion"

    def weights(self, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        names = feature_names(strategies)
        return np.array([float(name.endswith(":reciprocal_rank")) for name in names], np.float32)


class Linear(Weighted):
    """The learned linear ranker, whether it has earned to serve or not."""

    name = "linear"

    def weights(self, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return np.array([weight_of(name, model.weights) for name in feature_names(strategies)], np.float32)


class Prior(Weighted):
    """The linear ranker as it is before any feedback: a static fusion by the kinds of features."""

    name = "prior"

    def weights(self, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return np.array([prior_weight(name) for name in feature_names(strategies)], np.float32)


class Gated:
    """The prior until running evidence says that the learned weights are better."""

    name = "gated"

    def __init__(self) -> None:
        self._prior, self._linear = Prior(), Linear()

    def weights(self, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return self._serving(model).weights(strategies, model)

    def scores(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return self._serving(model).scores(features, strategies, model)

    def contributions(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return self._serving(model).contributions(features, strategies, model)

    def _serving(self, model: RankerModel) -> Ranker:
        return self._linear if model.serves else self._prior


RANKERS: Mapping[str, Ranker] = {ranker.name: ranker for ranker in (Gated(), Linear(), Fusion(), Prior())}
"""The rankers that can be configured, by name."""

PRIOR_WEIGHTS = {
    "agreement": 1.5,
    "best_rank": 0.5,
    "popularity": 0.6,
    "q2e": 2.0,
    "q2e_actions": 1.0,
    "recency": 0.3,
    "named": 2.0,
    "type_meant": 0.5,
    "type_affinity": 0.5,
}
"""Weights of features that belong to no strategy, before feedback."""

PRIOR_STRATEGY_WEIGHTS = {"reciprocal_rank": 1.0, "top": 0.4, "score": 0.8}
"""Weights of every strategy's features before feedback: a score fusion that leans on the top of each list."""

EXPLORING_SERVICES = ("memory.popular:", "memory.fresh:")
"""Strategies that do not look at the query: their rank says little of it, and weak lists poison a fusion."""


def prior_weight(name: str) -> float:
    """Weight of a feature before any feedback."""
    strategy, _, feature = name.rpartition(":")
    if not strategy:
        return PRIOR_WEIGHTS.get(name, 0.0)
    weight = PRIOR_STRATEGY_WEIGHTS.get(feature, 0.0)
    return 0.1 * weight if name.startswith(EXPLORING_SERVICES) else weight


def weight_of(name: str, learned: Mapping[str, float]) -> float:
    """Learned weight of a feature, or its prior."""
    weight = learned.get(name)
    return prior_weight(name) if weight is None else weight


def order_of(scores: Floats) -> npt.NDArray[np.int64]:
    """Candidates best first; ties keep their order."""
    order: npt.NDArray[np.int64] = np.argsort(-scores, kind="stable")
    return order

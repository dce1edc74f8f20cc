"""The seam of rankers, and those that ship: static fusions, the linear ranker, trees, and the best by evidence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.candidate_features import NAMES_KEPT, feature_names, is_known
from honeyguide_orchestrator.ranker_evidence import GateEvidence
from honeyguide_orchestrator.ranker_prior import weights_of
from honeyguide_orchestrator.trees import Trees, why_unavailable

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RankerModel:
    """What the learner publishes for rankers.

    Args:
        weights: learned weights of the linear ranker, by feature name.
        trees: the fitted LambdaMART model, None while there is none.
        evidence: how they fared against each other and the prior, by which the gate decides.
    """

    weights: Mapping[str, float]
    trees: Trees | None = None
    evidence: GateEvidence = field(default_factory=GateEvidence)
    _linear: dict[tuple[str, ...], Floats] = field(default_factory=dict, init=False, repr=False, compare=False)

    def linear_weights(self, names: tuple[str, ...]) -> Floats:
        """The linear ranker's weights of these features, the prior's where nothing was learned; kept, as the same
        strategies answer again and again."""
        weights = self._linear.get(names)
        if weights is None:
            weights = weights_of(names, self.weights)
            if len(self._linear) < NAMES_KEPT:
                self._linear[names] = weights
        return weights

    @property
    def usable_trees(self) -> Trees | None:
        """The trees, if there are any and LightGBM can be had here."""
        return None if self.trees is None or why_unavailable() else self.trees

    def serving(self, known: bool) -> str:
        """Name of the ranker that the gate lets serve queries that people acted on before, or new ones."""
        evidence = self.evidence.of(known)
        if self.usable_trees is not None and evidence.trees_serve:
            return "lambdamart"
        return "linear" if evidence.linear_serves else "prior"

    @property
    def serves(self) -> bool:
        """Whether a learned ranker has earned to serve any queries."""
        return any(self.serving(known) != "prior" for known in (True, False))

    @property
    def advantage(self) -> float:
        """By how much the serving learned rankers' reward is above the prior's, over all actions; the linear one's
        where none serves."""
        total = 0.0
        for known in (True, False):
            evidence = self.evidence.of(known)
            trees = self.serving(known) == "lambdamart"
            mean = (evidence.trees_over_prior if trees else evidence.linear_over_prior).mean
            total += evidence.linear_over_prior.events * mean
        return total / max(self.events, 1)

    @property
    def events(self) -> int:
        """Actions that the evidence comes from."""
        return sum(self.evidence.of(known).linear_over_prior.events for known in (True, False))


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
        return model.linear_weights(feature_names(strategies))


class Prior(Weighted):
    """The linear ranker as it is before any feedback: a static fusion by the kinds of features."""

    name = "prior"

    def weights(self, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return weights_of(feature_names(strategies), {})


class LambdaMART:
    """The trees, whether they have earned to serve or not; the linear ranker where there are none."""

    name = "lambdamart"

    def __init__(self) -> None:
        self._linear = Linear()

    def weights(self, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`: every feature's share of what the trees gain."""
        trees = model.usable_trees
        if trees is None:
            return self._linear.weights(strategies, model)
        return trees.importances(feature_names(strategies))

    def scores(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        trees = model.usable_trees
        if trees is None:
            return self._linear.scores(features, strategies, model)
        return trees.scores(features, feature_names(strategies))

    def contributions(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        trees = model.usable_trees
        if trees is None:
            return self._linear.contributions(features, strategies, model)
        return trees.contributions(features, feature_names(strategies))


class Gated:
    """The best by running evidence of the prior, the linear ranker and the trees, for queries that people acted on
    before and for new ones; see `RankerEvidence`."""

    name = "gated"

    def __init__(self) -> None:
        self._rankers: Mapping[str, Ranker] = {one.name: one for one in (Prior(), Linear(), LambdaMART())}

    def weights(self, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`: those for new queries."""
        return self._rankers[model.serving(known=False)].weights(strategies, model)

    def scores(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return self._rankers[model.serving(is_known(features))].scores(features, strategies, model)

    def contributions(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return self._rankers[model.serving(is_known(features))].contributions(features, strategies, model)


RANKERS: Mapping[str, Ranker] = {ranker.name: ranker for ranker in (Gated(), Linear(), LambdaMART(), Fusion(), Prior())}
"""The rankers that can be configured, by name."""


def check_available(name: str, field: str = "ranker") -> None:
    """Loads what a ranker needs.

    Raises:
        InvalidArgument: on that field, if it cannot be had here.
    """
    reason = why_unavailable() if name == LambdaMART.name else ""
    if reason:
        raise InvalidArgument(field, f"{name!r} is not to be had here: {reason}")


def order_of(scores: Floats) -> npt.NDArray[np.int64]:
    """Candidates best first; ties keep their order."""
    order: npt.NDArray[np.int64] = np.argsort(-scores, kind="stable")
    return order

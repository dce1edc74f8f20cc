"""Running evidence of which ranker is better, by which one is let to serve.

Prequential (Dawid 1984): before an action is learned from, every ranker is asked where it would have put the document
acted on among those shown; it earns 1 / log2(1 + that position), weighted by the inverse of the probability that the
document's position was looked at. Of each pair the running mean of the difference is kept, with its standard error.

A challenger serves while its mean advantage is above 0; trees, which are fitted anew each time, begin once it exceeds
`TREES_ERRORS` standard errors. That is no bound that holds at all times at once: wrongly letting in a ranker that is
about as good costs next to nothing, and is taken back by the same running mean. Least of all the linear ranker, which
begins as the prior and moves away from it by what it learns.

A known bias: the lists shown are the top of whoever served. The other's best documents below the page are never acted
on, so a challenger is judged only by how it would have ordered what the serving ranker chose; that understates what
changes, in both directions. `swap_share` and experiments with interleaving do not have this bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

EVIDENCE_MEMORY = 1_000.0
"""Actions over which the running means reach."""

EVIDENCE_MIN = 50
"""Actions before a challenger may serve."""

TREES_ERRORS = 1.0
"""Standard errors by which trees must be ahead to begin to serve."""


@dataclass(slots=True)
class Advantage:
    """Running mean of what one ranker earns more than another, in reward; `spread` is the sum of squared weights.

    `ahead`: whether the first of the two was let to serve in the second's place.
    """

    mean: float = 0.0
    square: float = 0.0
    spread: float = 0.0
    events: int = 0
    ahead: bool = False

    def weigh(self, difference: float, errors: float) -> None:
        """Takes in one action.

        errors: standard errors by which the first must be ahead to begin to serve.
        """
        self.events += 1
        rate = max(1.0 / self.events, 1.0 / EVIDENCE_MEMORY)
        self.mean += rate * (difference - self.mean)
        self.square += rate * (difference * difference - self.square)
        self.spread = (1 - rate) ** 2 * self.spread + rate**2
        if self.mean <= 0:
            self.ahead = False
        elif self.events >= EVIDENCE_MIN and self.mean > errors * self.error:
            self.ahead = True

    @property
    def error(self) -> float:
        """Standard error of the mean, by the actions' effective number 1 / `spread` (Kish 1965)."""
        variance = max(self.square - self.mean**2, 0.0)
        return float((variance * self.spread) ** 0.5)


@dataclass(slots=True)
class RankerEvidence:
    """The advantages by which the gate decides."""

    linear_over_prior: Advantage = field(default_factory=Advantage)
    trees_over_prior: Advantage = field(default_factory=Advantage)
    trees_over_linear: Advantage = field(default_factory=Advantage)

    def weigh(self, prior: float, linear: float, trees: float | None, weight: float) -> None:
        """Takes in what each ranker earned by one action; `trees` is None while there are none."""
        self.linear_over_prior.weigh(weight * (linear - prior), 0.0)
        if trees is not None:
            self.trees_over_prior.weigh(weight * (trees - prior), TREES_ERRORS)
            self.trees_over_linear.weigh(weight * (trees - linear), TREES_ERRORS)

    @property
    def linear_serves(self) -> bool:
        """Whether the linear ranker has earned to serve in the prior's place."""
        return self.linear_over_prior.ahead

    @property
    def trees_serve(self) -> bool:
        """Whether the trees have earned to serve in the place of both others."""
        return self.trees_over_prior.ahead and (self.trees_over_linear.ahead or not self.linear_serves)

    def to_state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RankerEvidence:
        """What `to_state` was asked of."""
        return cls(**{name: Advantage(**values) for name, values in state.items()})


@dataclass(slots=True)
class GateEvidence:
    """Evidence kept apart for queries that people acted on before (`known`) and for new ones: a ranker may be better
    where memory tells most, and worse where content is all there is, or the other way round."""

    known: RankerEvidence = field(default_factory=RankerEvidence)
    new: RankerEvidence = field(default_factory=RankerEvidence)

    def of(self, known: bool) -> RankerEvidence:
        """That of one kind of queries."""
        return self.known if known else self.new

    def to_state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {"known": self.known.to_state(), "new": self.new.to_state()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> GateEvidence:
        """What `to_state` was asked of."""
        return cls(RankerEvidence.from_state(state["known"]), RankerEvidence.from_state(state["new"]))


def earned(scores: Floats, wanted: int) -> float:
    """1 / log2(1 + position) of row `wanted` when rows are ordered by score; equal scores share the mean position."""
    own = scores[wanted]
    better = np.count_nonzero(scores > own)
    ties = np.count_nonzero(scores == own) - 1
    return 1.0 / math.log2(2.0 + better + ties / 2)

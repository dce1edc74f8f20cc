"""What another way to decide would have earned, less what was earned: importance weighting in running sums.

A decision that was drawn with probability p, and that the other way to decide takes too, stands for 1 / p decisions;
one that it does not take stands for none. With weights w and rewards r the other way's mean reward is estimated as
sum(w r) / sum(w), self-normalised (Hajek 1971; for logged decisions Swaminathan and Joachims, "The self-normalized
estimator for counterfactual learning", 2015). Its difference to the plain mean has, to first order, the influence
w (r - mean_w) / mean(w) - (r - mean) of each decision (delta method), whose sum of squares gives the standard error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from honeyguide_orchestrator.confidence_sequence import Interval, mean_interval

EFFECTIVE_MIN = 50.0
"""Effective decisions (Kish 1965: squared sum of weights by sum of squares) below which no interval is told."""

ZEROS_MIN = 5
"""Decisions that the other way does not take below which no interval is told: until then both seem to be the same."""


@dataclass(slots=True)
class WeightedDifference:
    """Running sums of weights w and rewards r; names say what is summed, `wwr` for example w * w * r.

    zeros: how many weights were 0.
    """

    count: int = 0
    zeros: int = 0
    w: float = 0.0
    ww: float = 0.0
    r: float = 0.0
    rr: float = 0.0
    wr: float = 0.0
    wrr: float = 0.0
    wwr: float = 0.0
    wwrr: float = 0.0

    def add(self, weight: float, reward: float) -> None:
        """Takes a decision in: its weight is 1 / its propensity if the other way decides the same, else 0."""
        self.count += 1
        self.zeros += weight == 0
        self.w += weight
        self.ww += weight * weight
        self.r += reward
        self.rr += reward * reward
        self.wr += weight * reward
        self.wrr += weight * reward * reward
        self.wwr += weight * weight * reward
        self.wwrr += (weight * reward) ** 2

    @property
    def effective(self) -> float:
        """How many decisions of weight 1 would tell as much."""
        return self.w * self.w / self.ww if self.ww else 0.0

    @property
    def mean(self) -> float:
        """Mean reward that was earned."""
        return self.r / self.count if self.count else 0.0

    @property
    def other_mean(self) -> float:
        """Mean reward that the other way would have earned, estimated."""
        return self.wr / self.w if self.w else 0.0

    @property
    def interval(self) -> Interval:
        """The other way's mean reward less the one earned, valid at all moments."""
        other, own = self.other_mean, self.mean
        if self.effective < EFFECTIVE_MIN or self.zeros < ZEROS_MIN:
            return Interval(other - own, -math.inf, math.inf)
        scale = self.count / self.w
        squares = (
            scale * scale * (self.wwrr - 2 * other * self.wwr + other * other * self.ww)
            - 2 * scale * (self.wrr - (other + own) * self.wr + other * own * self.w)
            + (self.rr - 2 * own * self.r + own * own * self.count)
        )
        return mean_interval(other - own, math.sqrt(max(squares, 0.0)) / self.count, self.count)

    def to_state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> WeightedDifference:
        """What `to_state` was asked of."""
        return cls(**state)

"""Position bias, estimated from neighbours that were swapped.

Where two neighbours of a first page, at positions k and k + 1, are swapped at random, what usually stands at k is
clicked less often only because it is looked at less: the ratio of its click rates estimates p(k + 1) / p(k), whatever
it is worth (swap interventions: Joachims, Swaminathan and Schnabel 2017, section 5; Craswell et al. 2008). The other
of the two gives a second estimate of the same ratio. Swaps are few, so one number is fitted to all pairs: the power
with which looking falls, p(k) = k ** -power, by least squares over the log ratios, weighted by their precision
(variance of a log rate by the delta method, 1 / clicks), with the assumption it began with as a prior.

A swap of two that are far apart costs who searches, so pairs are drawn by how little the ranker prefers the upper one
(`swap_chances`). Pages as ranked are then compared as if each of their pairs had been drawn with the same chances.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

PRIOR_POWER = 0.7
PRIOR_PRECISION = 4.0
"""As if the prior power were known to within .5."""

POWER_MAX = 2.0
CLICKS_MIN = 3
PAIRS = 9
"""Neighbours on a first page of ten."""


@dataclass(slots=True)
class Examination:
    """How likely a position is looked at, as far as swaps tell. Deterministic; counts only, so that they add up.

    pages, clicks: by how the page was shown ("as ranked" or "swapped"), for each pair k = 1 .. 9: pages, and clicks
    on the document that the ranker put at k and on the one it put at k + 1. Pages as ranked count for every pair, by
    its chance to be drawn; a swapped one only for the pair that was swapped.
    power: with which looking falls, beginning with what is usual of pages of results.
    power_shown: as far as swaps show it; 0 before they do.
    """

    as_ranked: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0, 0.0] for _ in range(PAIRS)])
    swapped: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0, 0.0] for _ in range(PAIRS)])
    power: float = PRIOR_POWER
    power_shown: float = 0.0

    def closed(self, scores: Floats, swapped_at: int, positions: Sequence[int]) -> None:
        """Takes in a first page whose time for feedback is over.

        Args:
            scores: of the documents on it, in the order shown.
            swapped_at: position of the upper of the two neighbours that were swapped, 0 = none were.
            positions: where it was acted on, from 1.
        """
        clicked = set(positions)
        pairs = {swapped_at: 1.0} if swapped_at else dict(enumerate(swap_chances(scores).tolist(), 1))
        for pair, chance in pairs.items():
            if not 1 <= pair <= PAIRS or pair + 1 > len(scores):
                continue
            counts = (self.swapped if swapped_at else self.as_ranked)[pair - 1]
            upper, lower = (pair + 1, pair) if swapped_at else (pair, pair + 1)
            counts[0] += chance
            counts[1] += chance * (upper in clicked)
            counts[2] += chance * (lower in clicked)
        if swapped_at:
            self._fit()

    def _fit(self) -> None:
        weighted, precision = 0.0, PRIOR_PRECISION
        for k in range(1, PAIRS + 1):
            plain, swapped = self.as_ranked[k - 1], self.swapped[k - 1]
            step = math.log((k + 1) / k)
            # The upper document falls from k to k + 1 by the swap, the lower one rises from k + 1 to k.
            for column, sign in ((1, 1.0), (2, -1.0)):
                if min(plain[column], swapped[column]) < CLICKS_MIN:
                    continue
                rates = math.log(plain[column] / plain[0]) - math.log(swapped[column] / swapped[0])
                certainty = step**2 / (1 / plain[column] + 1 / swapped[column])
                weighted += certainty * sign * rates / step
                precision += certainty
        self.power_shown, self.power = (
            min(max((weighted + PRIOR_PRECISION * prior) / precision, 0.0), POWER_MAX) for prior in (0.0, PRIOR_POWER)
        )

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        return {
            "as_ranked": self.as_ranked,
            "swapped": self.swapped,
            "power": self.power,
            "power_shown": self.power_shown,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Examination:
        """What `to_state` was asked of."""
        return cls(
            as_ranked=[list(row) for row in state["as_ranked"]],
            swapped=[list(row) for row in state["swapped"]],
            power=state["power"],
            power_shown=state.get("power_shown", 0.0),
        )


def swap_chances(scores: Floats) -> Floats:
    """By pair of neighbours, the chance that it is the one swapped, [len(scores) - 1].

    In proportion to the odds exp(-difference) that a softmax ranker gives the lower one against the upper, and to
    1 / k, as what stands further down is looked at less and tells less.

    Args:
        scores: of the documents of a page, best first; at least two.
    """
    behind = np.maximum(scores[:-1] - scores[1:], 0.0)
    chances = np.exp(behind.min(initial=np.inf) - behind) / np.arange(1, len(scores))
    drawn: Floats = chances / chances.sum()
    return drawn

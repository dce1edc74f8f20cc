"""A share of searches is given the safe allocation while little was learned, so that its model begins informed.

Redrawing one strategy at a time tells of one strategy a search. The safe allocation asks all that exploit, so one
action tells of each of them, and which finds what another misses; and nobody is shown worse results for it, it only
costs more. The share is w / (w + n) after n decisions were learned from: half at n = w, and so some w ln(1 + n / w)
searches in all.

    P(rung of j = r) = (1 - share) * P'(rung of j = r) + share if r is the safe rung of j,

and in the same way for whole allocations, P' being those of the policy that draws otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from honeyguide_orchestrator.allocation_model import Depths
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.policies.one_at_a_time import OneAtATime
from honeyguide_orchestrator.policy import Draw, Exploration


def share_after(decisions: float, updates: int) -> float:
    """Share of searches given the safe allocation; `decisions` is w, 0 = never."""
    return decisions / (decisions + updates) if decisions else 0.0


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The distribution of this module's text.

    otherwise: P'. safe: the safe allocation, [S]. share: in [0, 1]. forgone: tells the predicted net reward of the
    best-looking allocation less that of the safe one.
    """

    otherwise: OneAtATime
    safe: Depths
    share: float
    forgone: Callable[[], float]

    def draw(self, rng: np.random.Generator) -> Draw:
        """Draws as this module's text says."""
        draw = self.otherwise.draw(rng)
        distribution = self._mixed(draw.distribution or self.otherwise.distribution())
        best = self.otherwise.greedy
        best_propensity = distribution.probability(best)
        if rng.random() < self.share:
            rungs = self.safe
            differs = bool((rungs != best).any())
            exploration = Exploration(differs, best_propensity, self.forgone() if differs else 0.0)
        else:
            rungs = draw.rungs
            exploration = replace(draw.exploration, best_propensity=best_propensity)
        return Draw(
            rungs,
            (1.0 - self.share) * self.otherwise.propensities(rungs) + self.share * (rungs == self.safe),
            distribution.probability(rungs),
            exploration=exploration,
            distribution=distribution,
        )

    def distribution(self) -> Distribution:
        """All that may be drawn."""
        return self._mixed(self.otherwise.distribution())

    def _mixed(self, known: Distribution) -> Distribution:
        allocations, chances = known.allocations, (1.0 - self.share) * known.probabilities
        same = (allocations == self.safe).all(axis=1)
        if same.any():
            chances[same] += self.share
        elif self.share:
            allocations = np.concatenate([allocations, self.safe.astype(np.int8)[None, :]])
            chances = np.append(chances, self.share)
        kept = chances > 0
        return Distribution(allocations[kept], chances[kept])

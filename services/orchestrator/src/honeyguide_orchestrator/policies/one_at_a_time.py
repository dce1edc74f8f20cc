"""Exploring one randomly chosen strategy a search, which keeps propensities exact and exploration cheap.

With probability `share` a strategy j is chosen uniformly among the n undecided ones and its rung is drawn from p(j, .);
otherwise, and for all other strategies, the greedy rung g stands. So, exactly,

    P(rung of j = r)   = share / n * p(j, r)                          for r != g(j)
    P(rung of j = g)   = 1 - share / n * (1 - p(j, g(j)))
    P(allocation)      = share / n * p(j, r)                          where it differs from g in strategy j alone
    P(allocation = g)  = 1 - share / n * sum over j of (1 - p(j, g(j))).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.allocation_model import Depths, Floats
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.policy import Draw, Exploration, Situation

Probabilities = npt.NDArray[np.float64]


def rungs_that_may_be_drawn(greedy: Depths, situation: Situation, rungs: int) -> npt.NDArray[np.bool_]:
    """[S, rungs + 1]: True where a strategy's rung may be drawn without leaving no dependable strategy asked.

    A strategy that is not allowed may only stay at 0, and one that has answered already at its rung.
    """
    may = np.ones((len(greedy), rungs + 1), bool)
    may[~situation.undecided] = False
    may[np.arange(len(greedy)), greedy] = True
    asked = situation.must_ask & (greedy > 0)
    if asked.sum() == 1:
        may[asked, 0] = False
    return may


@dataclass(frozen=True, slots=True)
class OneAtATime:
    """The distribution of this module's text.

    greedy: g, [S]. probabilities: p, [S, rungs + 1], rows adding up to 1. net: predicted net reward of each
    alternative, of the same shape. undecided: [S] bool, strategies whose rung may be redrawn. share: in [0, 1].
    """

    greedy: Depths
    probabilities: Probabilities
    net: Floats
    undecided: npt.NDArray[np.bool_]
    share: float

    def draw(self, rng: np.random.Generator) -> Draw:
        """Draws as this module's text says."""
        strategies = np.flatnonzero(self.undecided)
        each = self.share / max(len(strategies), 1)
        distribution = self.distribution()
        best_propensity = float(distribution.probabilities[0])
        if len(strategies) and rng.random() < self.share:
            chosen = int(strategies[rng.integers(len(strategies))])
            rung = _drawn(self.probabilities[chosen], rng)
            if rung != self.greedy[chosen]:
                rungs = self.greedy.copy()
                rungs[chosen] = rung
                propensity = each * float(self.probabilities[chosen, rung])
                forgone = float(self.net[chosen, self.greedy[chosen]] - self.net[chosen, rung])
                exploration = Exploration(True, best_propensity, forgone)
                return Draw(
                    rungs, self.propensities(rungs), propensity, exploration=exploration, distribution=distribution
                )
        exploration = Exploration(False, best_propensity, 0.0)
        propensities = self.propensities(self.greedy)
        return Draw(self.greedy, propensities, best_propensity, exploration=exploration, distribution=distribution)

    def propensities(self, rungs: Depths) -> Probabilities:
        """[S]: the marginal probability of each strategy's rung; 0 for one that is never drawn."""
        each = self.share / max(int(self.undecided.sum()), 1)
        columns = np.arange(len(rungs))
        redrawn = np.where(self.undecided, each * self.probabilities[columns, rungs], 0.0)
        stays = np.where(self.undecided, 1.0 - each * (1.0 - self.probabilities[columns, self.greedy]), 1.0)
        return np.where(rungs == self.greedy, stays, redrawn)

    def distribution(self) -> Distribution:
        """All that may be drawn, the greedy allocation first."""
        count = max(int(self.undecided.sum()), 1)
        redrawn = self.share / count * self.probabilities
        redrawn[~self.undecided] = 0.0
        redrawn[np.arange(len(self.greedy)), self.greedy] = 0.0
        strategies, rungs = np.nonzero(redrawn)
        allocations = self.greedy.astype(np.int8)[None, :].repeat(len(strategies) + 1, axis=0)
        allocations[np.arange(1, len(strategies) + 1), strategies] = rungs
        chances = redrawn[strategies, rungs]
        return Distribution(allocations, np.concatenate([[1.0 - chances.sum()], chances]))


def _drawn(probabilities: Probabilities, rng: np.random.Generator) -> int:
    """One place, by its probability; what `Generator.choice` does, at a tenth of its time."""
    mass = probabilities.cumsum()
    return int(np.searchsorted(mass, rng.random() * mass[-1], side="right"))

"""Exploring one randomly chosen strategy a search, which keeps propensities exact and exploration cheap.

With probability `share` a strategy j is chosen uniformly among the n allowed ones and its rung is drawn from p(j, .);
otherwise, and for all other strategies, the greedy rung g stands. So, exactly,

    P(rung of j = r)   = share / n * p(j, r)                          for r != g(j)
    P(rung of j = g)   = 1 - share / n * (1 - p(j, g(j)))
    P(allocation)      = share / n * p(j, r)                          where it differs from g in strategy j alone
    P(allocation = g)  = 1 - share / n * sum over j of (1 - p(j, g(j))).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.allocation_model import Depths, Floats
from honeyguide_orchestrator.policy import Draw, Exploration, Situation

Probabilities = npt.NDArray[np.float64]


def rungs_that_may_be_drawn(greedy: Depths, situation: Situation, rungs: int) -> npt.NDArray[np.bool_]:
    """[S, rungs + 1]: True where a strategy's rung may be drawn without leaving no dependable strategy asked.

    A strategy that is not allowed may only stay at 0.
    """
    may = np.ones((len(greedy), rungs + 1), bool)
    may[~situation.allowed, 1:] = False
    asked = situation.must_ask & (greedy > 0)
    if asked.sum() == 1:
        may[asked, 0] = False
    return may


def draw_one_strategy(
    greedy: Depths,
    probabilities: Probabilities,
    net: Floats,
    allowed: npt.NDArray[np.bool_],
    share: float,
    rng: np.random.Generator,
) -> Draw:
    """Draws as this module's text says.

    `probabilities` is p, [S, rungs + 1], rows adding up to 1, and `net` the predicted net reward of each alternative.
    """
    strategies = np.flatnonzero(allowed)
    each = share / max(len(strategies), 1)
    stays = probabilities[np.arange(len(greedy)), greedy]
    propensities = np.ones(len(greedy))
    propensities[strategies] = 1.0 - each * (1.0 - stays[strategies])
    best_propensity = 1.0 - each * float((1.0 - stays[strategies]).sum())
    if len(strategies) and rng.random() < share:
        chosen = int(rng.choice(strategies))
        rung = int(rng.choice(probabilities.shape[1], p=probabilities[chosen]))
        if rung != greedy[chosen]:
            rungs = greedy.copy()
            rungs[chosen] = rung
            propensity = each * float(probabilities[chosen, rung])
            propensities[chosen] = propensity
            forgone = float(net[chosen, greedy[chosen]] - net[chosen, rung])
            return Draw(rungs, propensities, propensity, exploration=Exploration(True, best_propensity, forgone))
    exploration = Exploration(False, best_propensity, 0.0)
    return Draw(greedy, propensities, best_propensity, exploration=exploration)

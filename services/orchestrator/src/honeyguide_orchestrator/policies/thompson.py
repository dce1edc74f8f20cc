"""Thompson sampling (Thompson 1933; Chapelle and Li 2011) over the chain's weights.

Weights are drawn around their estimates, as far as the information gathered so far leaves them open, and the best
allocation under the draw is taken. As draws are wild while little is known, an exploration budget holds: of draws
whose predicted net reward is below the safe allocation's, a share alone is let through, and the better of the greedy
and the safe allocation stands in for the others. The probability of what is drawn has no closed form: it is estimated
as the share of further draws that give the same rung, smoothed, and marked as estimated.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from honeyguide_orchestrator.allocation_model import AllocationModel, Costs, Depths, Floats
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.policy import Draw, Exploration, Situation, safe_rungs, with_dependable

DRAWS = 8
"""Further draws behind an estimated propensity."""

DISTRIBUTION_DRAWS = 32
"""Draws behind an estimated distribution, which is asked for off-line."""


class Thompson:
    """Draws the allocation that is best under a random draw of the logits."""

    name = "thompson"

    def __init__(self, costs: Costs, share: float) -> None:
        self._costs = costs
        self._share = share

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        draws, greedy, net = self._draws(situation, model, DRAWS + 1, rng)
        rungs = draws[0]
        same = draws[1:] == rungs
        propensities = (same.sum(axis=0) + 1) / (DRAWS + 1)
        propensity = (int(same.all(axis=1).sum()) + 1) / (DRAWS + 1)
        explored = bool((rungs != greedy).any())
        best_propensity = (int((draws == greedy).all(axis=1).sum()) + 1) / (DRAWS + 2)
        forgone = float(net[-1] - net[0]) if explored else 0.0
        exploration = Exploration(explored, best_propensity, forgone)
        distribution = Distribution.counted(draws)
        return Draw(rungs, propensities, propensity, True, exploration, distribution)

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`: by `DISTRIBUTION_DRAWS` draws."""
        return Distribution.counted(self._draws(situation, model, DISTRIBUTION_DRAWS, rng)[0])

    def _draws(
        self, situation: Situation, model: AllocationModel, count: int, rng: np.random.Generator
    ) -> tuple[Depths, Depths, Floats]:
        """Draws [count, S], the greedy allocation, and predicted net rewards: of the draws, the safe, the greedy."""
        best, order = model.allocate(situation.x, situation.allowed, situation.answered, self._costs)
        greedy = with_dependable(best, order, situation, model, self._costs)
        draws = np.stack([self._allocate(situation, model, rng) for _ in range(count)])
        options = np.concatenate([draws, [safe_rungs(situation, model), greedy]])
        net = model.net_rewards(situation.x, options, range(len(greedy)), self._costs)
        over_budget = (net[:-2] < net[-2]) & (rng.random(count) >= self._share)
        stand_in = -1 if net[-1] >= net[-2] else -2
        draws[over_budget], net[:-2][over_budget] = options[stand_in], net[stand_in]
        return draws, greedy, net

    def _allocate(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Depths:
        noise = rng.standard_normal(model.weights.shape, np.float32)
        drawn = replace(model, weights=model.weights + noise * model.deviations)
        rungs, order = drawn.allocate(situation.x, situation.allowed, situation.answered, self._costs)
        return with_dependable(rungs, order, situation, drawn, self._costs)

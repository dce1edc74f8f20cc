"""Thompson sampling (Thompson 1933; Chapelle and Li 2011) over the chain's weights.

Weights are drawn around their estimates, as far as the information gathered so far leaves them open, and the best
allocation under the draw is taken. Its probability has no closed form:
it is estimated as the share of further draws that give the same rung, smoothed, and marked as estimated.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from honeyguide_orchestrator.allocation_model import AllocationModel, Costs, Depths
from honeyguide_orchestrator.policy import Draw, Situation, with_dependable

DRAWS = 8
"""Further draws behind an estimated propensity."""


class Thompson:
    """Draws the allocation that is best under a random draw of the logits."""

    name = "thompson"

    def __init__(self, costs: Costs) -> None:
        self._costs = costs

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        draws = np.stack([self._allocate(situation, model, rng) for _ in range(DRAWS + 1)])
        rungs = draws[0]
        same = draws[1:] == rungs
        propensities = (same.sum(axis=0) + 1) / (DRAWS + 1)
        propensity = (int(same.all(axis=1).sum()) + 1) / (DRAWS + 1)
        return Draw(rungs, propensities, propensity, estimated=True)

    def _allocate(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Depths:
        noise = rng.standard_normal(model.weights.shape, np.float32)
        drawn = replace(model, weights=model.weights + noise * model.deviations)
        rungs, _ = drawn.allocate(situation.x, situation.allowed, self._costs)
        return with_dependable(rungs, situation, drawn, self._costs)

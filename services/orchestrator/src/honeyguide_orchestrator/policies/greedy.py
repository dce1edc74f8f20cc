"""The allocation that looks best now, always. Cheap, and may lock in on an early mistake."""

from __future__ import annotations

import numpy as np

from honeyguide_orchestrator.allocation_model import AllocationModel, Costs, Depths
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.policy import Draw, Situation, certain, with_dependable


class Greedy:
    """Draws the model's best allocation with probability 1."""

    name = "greedy"

    def __init__(self, costs: Costs) -> None:
        self._costs = costs

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        return certain(self._best(situation, model))

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`."""
        return Distribution.certain(self._best(situation, model))

    def _best(self, situation: Situation, model: AllocationModel) -> Depths:
        rungs, order = model.allocate(situation.x, situation.allowed, situation.answered, self._costs)
        return with_dependable(rungs, order, situation, model, self._costs)

"""Policies that do not learn: what a careful engineer would configure by hand."""

from __future__ import annotations

import numpy as np

from honeyguide_orchestrator.allocation_model import AllocationModel, Depths
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.policy import Draw, Situation, certain, safe_rungs


class FullDepth:
    """Asks every strategy for as much as the ladder allows."""

    name = "full_depth"

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        return certain(self._rungs(situation, model))

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`."""
        return Distribution.certain(self._rungs(situation, model))

    def _rungs(self, situation: Situation, model: AllocationModel) -> Depths:
        return np.where(situation.allowed, len(model.depths), 0)


class Safe:
    """Asks every strategy that exploits for the middle of the ladder, and no other."""

    name = "safe"

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        return certain(safe_rungs(situation, model))

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`."""
        return Distribution.certain(safe_rungs(situation, model))

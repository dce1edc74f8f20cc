"""Epsilon-greedy (Sutton and Barto 2018, section 2.4) on one strategy a search.

With probability epsilon one strategy, chosen uniformly among those allowed, gets a rung chosen uniformly.
"""

from __future__ import annotations

import numpy as np

from honeyguide_orchestrator.allocation_model import AllocationModel, Costs
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.policies.one_at_a_time import OneAtATime, rungs_that_may_be_drawn
from honeyguide_orchestrator.policy import Draw, Situation, with_dependable


class EpsilonGreedy:
    """The best allocation, one strategy of it redrawn uniformly with probability `epsilon`."""

    name = "epsilon_greedy"

    def __init__(self, costs: Costs, epsilon: float) -> None:
        self._costs = costs
        self._epsilon = epsilon

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        return self._around_the_best(situation, model).draw(rng)

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`."""
        return self._around_the_best(situation, model).distribution()

    def _around_the_best(self, situation: Situation, model: AllocationModel) -> OneAtATime:
        rungs, order = model.allocate(situation.x, situation.allowed, situation.answered, self._costs)
        greedy = with_dependable(rungs, order, situation, model, self._costs)
        net = model.alternatives(situation.x, greedy, order, self._costs)
        may = rungs_that_may_be_drawn(greedy, situation, len(model.depths))
        probabilities = may / may.sum(axis=1, keepdims=True)
        return OneAtATime(greedy, probabilities, net, situation.undecided, self._epsilon)

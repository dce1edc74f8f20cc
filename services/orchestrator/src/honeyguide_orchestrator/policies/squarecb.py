"""Inverse-gap weighting (SquareCB: Foster and Rakhlin 2020, "Beyond UCB", algorithm 1) on one strategy a search.

For the strategy explored, a rung whose predicted net reward lies `gap` below the best of its K rungs is drawn with
probability 1 / (K + gamma * gap), and the best with what is left: exact propensities, and exploration that shuns what
is known to be bad. As in their theorem, gamma grows with the square root of what was learned from: the surer the model,
the less it is worth to try what looks worse. While little was learned, a share of searches gets the safe allocation:
see `warm_up`.

Only rungs above the one that looks best are tried: a list tells what each of its beginnings would have, so asking for
less tells nothing (feedback of which one action's holds the other's, as in "Apple tasting": Helmbold, Littlestone and
Long 2000). And more is tried of queries that people acted on before than of others, since memory keeps for the next who
asks what is found so.
"""

from __future__ import annotations

import numpy as np

from honeyguide_orchestrator.allocation_model import AllocationModel, Costs
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.policies.one_at_a_time import OneAtATime, rungs_that_may_be_drawn
from honeyguide_orchestrator.policies.warm_up import WarmUp, share_after
from honeyguide_orchestrator.policy import Draw, Situation, safe_rungs, with_dependable

GAMMA_UPDATES = 100
"""Decisions learned from up to which gamma stays what it is set to."""


class SquareCB:
    """The best allocation, one strategy of it redrawn by inverse-gap weighting in `share` of the searches, in
    `share_known` of those whose query people acted on before; `warm_up` decisions learned from, half of all searches
    still get the safe one."""

    name = "squarecb"

    def __init__(self, costs: Costs, share: float, share_known: float, gamma: float, warm_up: float) -> None:
        self._costs = costs
        self._share = share
        self._share_known = share_known
        self._gamma = gamma
        self._warm_up = warm_up

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        return self._around_the_best(situation, model).draw(rng)

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`."""
        return self._around_the_best(situation, model).distribution()

    def _around_the_best(self, situation: Situation, model: AllocationModel) -> WarmUp:
        rungs, order = model.allocate(situation.x, situation.allowed, situation.answered, self._costs)
        greedy = with_dependable(rungs, order, situation, model, self._costs)
        net = model.alternatives(situation.x, greedy, order, self._costs).astype(float)
        may = rungs_that_may_be_drawn(greedy, situation, len(model.depths))
        may &= np.arange(may.shape[1]) >= greedy[:, None]
        net[~may] = -np.inf
        best = net.argmax(axis=1)
        gamma = self._gamma * max(1.0, model.updates / GAMMA_UPDATES) ** 0.5
        gaps = net.max(axis=1, keepdims=True) - net
        probabilities = np.where(may, 1.0 / (may.sum(axis=1, keepdims=True) + gamma * gaps), 0.0)
        each = np.arange(len(greedy))
        probabilities[each, best] = 0.0
        probabilities[each, best] = 1.0 - probabilities.sum(axis=1)
        safe = safe_rungs(situation, model)

        def forgone() -> float:
            best_net, safe_net = model.net_rewards(situation.x, np.stack([greedy, safe]), order, self._costs).tolist()
            return float(best_net - safe_net)

        share = self._share_known if situation.answered.any() else self._share
        around = OneAtATime(greedy, probabilities, net, situation.undecided, share)
        return WarmUp(around, safe, share_after(self._warm_up, model.updates), forgone)

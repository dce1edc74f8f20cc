"""What replicas predict of allocations: the learned chain, as arrays.

For every strategy a discrete-time survival model over rank bins: the hazard of bin b is the probability that the
wanted document stands there in the strategy's list, given that it stands in no earlier bin,

    h(s, b) = sigmoid(w(s, b) . [x, m]),

where x are the context's features and m flags the strategies that were asked before and missed. Depths that were not
asked censor the later bins, which the survival form takes exactly (continuation-ratio logit: Cox 1972, section 7;
Singer and Willett 1993). Chaining strategies through m learns their overlap, which independent models cannot
(Hron et al. 2021, "On component interactions in two-stage recommender systems").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Depths = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AllocationModel:
    """The chain for a fixed set of strategies and rungs; immutable, safe to share.

    strategies: names, S of them. depths: rungs above 0, B of them, ascending.
    weights: [S, B, F + S] float32, for the F context features and the S missed-flags.
    deviations: like weights; standard deviation of each weight (diagonal Laplace approximation).
    values: [S, B] float32, expected graded reward if the wanted document is found in that bin, in [0, 1].
    """

    strategies: tuple[str, ...]
    depths: tuple[int, ...]
    weights: Floats
    deviations: Floats
    values: Floats

    def allocate(self, x: Floats, allowed: npt.NDArray[np.bool_], costs: Costs) -> tuple[Depths, tuple[int, ...]]:
        """The allocation of highest predicted net reward, found greedily.

        Adds the strategy and depth of highest predicted gain less cost, given that the strategies added before
        missed, until none gains more than it costs.

        Returns:
            Rung by strategy (0 = not called, r = depths[r - 1]), and the order in which strategies were added,
            followed by those that were not.
        """
        features = len(x)
        logits = self.weights[:, :, :features] @ x
        rungs = np.zeros(len(self.strategies), np.int64)
        order: list[int] = []
        left = allowed.copy()
        survival = 1.0
        while left.any():
            found = _found(logits)
            net = survival * np.cumsum(found * self.values, axis=1) - costs.by_rung
            net[~left] = -np.inf
            best = int(np.argmax(net))
            strategy, rung = divmod(best, len(self.depths))
            if net[strategy, rung] <= 0:
                break
            rungs[strategy] = rung + 1
            order.append(strategy)
            left[strategy] = False
            survival *= 1.0 - float(found[strategy, : rung + 1].sum())
            logits = logits + self.weights[:, :, features + strategy]
        order.extend(i for i in range(len(self.strategies)) if rungs[i] == 0)
        return rungs, tuple(order)

    def net_rewards(self, x: Floats, allocations: Depths, order: Sequence[int], costs: Costs) -> Floats:
        """Predicted net reward of allocations, each a row of rungs [K, S], asked in the given order."""
        features = len(x)
        count = len(allocations)
        base = self.weights[:, :, :features] @ x
        missed = np.zeros((count, len(self.strategies)), np.float32)
        survival = np.ones(count, np.float32)
        net = np.zeros(count, np.float32)
        rows = np.arange(count)
        for s in order:
            rungs = allocations[:, s]
            if not rungs.any():
                continue
            logits = base[s] + missed @ self.weights[s, :, features:].T
            found = _found(logits)
            asked = rungs > 0
            last = np.maximum(rungs, 1) - 1
            gained = np.cumsum(found * self.values[s], axis=1)[rows, last]
            seen = np.cumsum(found, axis=1)[rows, last]
            net += np.where(asked, survival * gained - costs.by_rung[last], 0.0)
            survival *= np.where(asked, 1.0 - seen, 1.0)
            missed[:, s] = asked
        return net


@dataclass(frozen=True, slots=True)
class Costs:
    """What asking costs, in reward: `by_rung` is [B] float32, a call and its candidates at each rung above 0."""

    by_rung: Floats

    @classmethod
    def of(cls, depths: Sequence[int], call: float, candidate: float) -> Costs:
        """Costs `call` for a call and `candidate` for each candidate asked."""
        return cls(np.array([call + candidate * depth for depth in depths], np.float32))


def _found(logits: Floats) -> Floats:
    """Probability that the wanted document stands in each bin: h(b) times the product of 1 - h over earlier bins."""
    hazards = (1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)
    earlier = np.cumprod(1.0 - hazards, axis=-1)
    found: Floats = hazards.copy()
    found[..., 1:] *= earlier[..., :-1]
    return found

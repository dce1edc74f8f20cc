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
from scipy.special import expit

Floats = npt.NDArray[np.float32]
Depths = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AllocationModel:
    """The chain for a fixed set of strategies and rungs; immutable, safe to share.

    strategies: names, S of them. depths: rungs above 0, B of them, ascending.
    weights: [S, B, F + S] float32, for the F context features and the S missed-flags.
    deviations: like weights; standard deviation of each weight (diagonal Laplace approximation).
    values: [S, B] float32, expected graded reward if the wanted document is found in that bin, in [0, 1].
    updates: decisions that it was learned from.
    """

    strategies: tuple[str, ...]
    depths: tuple[int, ...]
    weights: Floats
    deviations: Floats
    values: Floats
    updates: int = 0

    def allocate(
        self, x: Floats, allowed: npt.NDArray[np.bool_], answered: Depths, costs: Costs
    ) -> tuple[Depths, tuple[int, ...]]:
        """The allocation of highest predicted net reward, found greedily.

        Begins with the strategies that have answered already, at the rungs of `answered` [S] (0 = has not). Adds the
        strategy and depth of highest predicted gain less cost, given that the strategies added before missed, until
        none gains more than it costs.

        Returns:
            Rung by strategy (0 = not called, r = depths[r - 1]), and the order in which strategies were added,
            followed by those that were not.
        """
        features = len(x)
        logits = self.weights[:, :, :features] @ x
        rungs = answered.astype(np.int64)
        order: list[int] = np.flatnonzero(answered).tolist()
        left = allowed & (answered == 0)
        survival = 1.0
        for strategy in order:
            survival *= float(_found(logits[strategy])[1][rungs[strategy] - 1])
            logits = logits + self.weights[:, :, features + strategy]
        while left.any():
            found, missed = _found(logits)
            net = survival * (found * self.values).cumsum(axis=1) - costs.by_rung
            net[~left] = -np.inf
            best = int(np.argmax(net))
            strategy, rung = divmod(best, len(self.depths))
            if net[strategy, rung] <= 0:
                break
            rungs[strategy] = rung + 1
            order.append(strategy)
            left[strategy] = False
            survival *= float(missed[strategy, rung])
            logits = logits + self.weights[:, :, features + strategy]
        order.extend(i for i in range(len(self.strategies)) if rungs[i] == 0)
        return rungs, tuple(order)

    def net_rewards(self, x: Floats, allocations: Depths, order: Sequence[int], costs: Costs) -> Floats:
        """Predicted net reward of allocations, each a row of rungs [K, S], asked in the given order."""
        return self._chain(self.weights[:, :, : len(x)] @ x, allocations, order, costs)[0]

    def alternatives(self, x: Floats, rungs: Depths, order: Sequence[int], costs: Costs) -> Floats:
        """Predicted net reward [S, B + 1] of an allocation with one strategy's rung replaced by each other one.

        Strategies that the allocation does not ask come after those it asks, so all of them are predicted at once.
        """
        strategies, choices = len(rungs), len(self.depths) + 1
        base = self.weights[:, :, : len(x)] @ x
        asked = [s for s in order if rungs[s]]
        options = rungs[None, :].repeat(len(asked) * choices + 1, axis=0)
        rows = np.arange(len(asked) * choices)
        options[rows, np.array(asked, np.int64).repeat(choices)] = rows % choices
        net, survival = self._chain(base, options, asked, costs)
        alternatives = np.empty((strategies, choices), np.float32)
        alternatives[:, 0] = net[-1]
        alternatives[:, 1:] = net[-1] + survival[-1] * self._gained_last(base, asked) - costs.by_rung
        alternatives[asked] = net[:-1].reshape(len(asked), choices)
        return alternatives

    def additions(self, x: Floats, rungs: Depths, order: Sequence[int], costs: Costs) -> Floats:
        """Predicted net reward [S, B] of an allocation with one more strategy, asked last; -inf for those it asks."""
        base = self.weights[:, :, : len(x)] @ x
        asked = [s for s in order if rungs[s]]
        net, survival = self._chain(base, rungs[None, :], asked, costs)
        additions: Floats = net + survival * self._gained_last(base, asked) - costs.by_rung
        additions[asked] = -np.inf
        return additions

    def _gained_last(self, base: Floats, asked: Sequence[int]) -> Floats:
        """Expected graded reward [S, B] of each strategy and rung, given that those asked missed."""
        features = self.weights.shape[2] - len(self.strategies)
        logits = base + self.weights[:, :, [features + s for s in asked]].sum(axis=2)
        gained: Floats = (_found(logits)[0] * self.values).cumsum(axis=1)
        return gained

    def _chain(self, base: Floats, allocations: Depths, order: Sequence[int], costs: Costs) -> tuple[Floats, Floats]:
        """Net reward and survival [K] of allocations; `base` are the logits [S, B] before any miss."""
        count = len(allocations)
        features = self.weights.shape[2] - len(self.strategies)
        missed = np.zeros((count, len(self.strategies)), np.float32)
        survival = np.ones(count, np.float32)
        net = np.zeros(count, np.float32)
        rows = np.arange(count)
        for s in order:
            rungs = allocations[:, s]
            if not rungs.any():
                continue
            found, misses = _found(base[s] + missed @ self.weights[s, :, features:].T)
            asked = rungs > 0
            last = np.maximum(rungs, 1) - 1
            gained = (found * self.values[s]).cumsum(axis=1)[rows, last]
            net += np.where(asked, survival * gained - costs.by_rung[last], 0.0)
            survival *= np.where(asked, misses[rows, last], 1.0)
            missed[:, s] = asked
        return net, survival


@dataclass(frozen=True, slots=True)
class Costs:
    """What asking costs, in reward: `by_rung` is [B] float32, a call and its candidates at each rung above 0."""

    by_rung: Floats

    @classmethod
    def of(cls, depths: Sequence[int], call: float, candidate: float) -> Costs:
        """Costs `call` for a call and `candidate` for each candidate asked."""
        return cls(np.array([call + candidate * depth for depth in depths], np.float32))


def _found(logits: Floats) -> tuple[Floats, Floats]:
    """Probability that the wanted document stands in each bin: h(b) times the product of 1 - h over earlier bins; and
    that it stands in none up to this bin, which is that product with this bin's factor."""
    found: Floats = expit(logits)
    missed: Floats = (1.0 - found).cumprod(axis=-1)
    found[..., 1:] *= missed[..., :-1]
    return found, missed

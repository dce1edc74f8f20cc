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
from dataclasses import dataclass, replace

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

    def within(self, deepest: Sequence[int]) -> AllocationModel:
        """The same where each strategy tells so many candidates at most: there is nothing to gain behind them.

        Nothing is ever learned of the bins there, which would keep what they promised at first.
        """
        behind = np.arange(len(self.depths)) > np.searchsorted(self.depths, deepest)[:, np.newaxis]
        return replace(self, values=np.where(behind, np.float32(0.0), self.values))

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
        asked = [s for s in order if rungs[s]]
        chain = self._along(x, asked, rungs, costs)
        alternatives = np.empty((len(rungs), len(self.depths) + 1), np.float32)
        alternatives[:, 0] = chain.net
        alternatives[:, 1:] = chain.net + chain.survival * chain.gained_last - costs.by_rung
        if asked:
            alternatives[asked] = self._replaced(chain, asked, rungs, costs)
        return alternatives

    def additions(self, x: Floats, rungs: Depths, order: Sequence[int], costs: Costs) -> Floats:
        """Predicted net reward [S, B] of an allocation with one more strategy, asked last; -inf for those it asks."""
        asked = [s for s in order if rungs[s]]
        chain = self._along(x, asked, rungs, costs)
        additions: Floats = chain.net + chain.survival * chain.gained_last - costs.by_rung
        additions[asked] = -np.inf
        return additions

    def _along(self, x: Floats, asked: Sequence[int], rungs: Depths, costs: Costs) -> _Chain:
        """What an allocation promises that asks those k strategies in that order, and what each of them could."""
        base, misses = self.weights[:, :, : len(x)] @ x, self.weights[:, :, [len(x) + s for s in asked]]
        after_all = base + misses.sum(axis=2)
        # What each of those before adds to each one's logits, [k, B, k].
        added = misses[asked] * np.tri(len(asked), k=-1, dtype=np.float32)[:, None, :]
        logits = np.empty((len(asked) + 1, len(asked), len(self.depths)), np.float32)
        logits[0] = base[asked] + added.sum(axis=2)
        logits[1:] = logits[0] - added.transpose(2, 0, 1)
        found, missed = _found(logits)
        gained = (found * self.values[asked]).cumsum(axis=2)
        last, each = rungs[asked] - 1, np.arange(len(asked))
        gains, misses_of = gained[0, each, last].tolist(), missed[0, each, last].tolist()
        survivals, earned = [1.0], [0.0]
        for gain, miss in zip(gains, misses_of, strict=True):
            earned.append(earned[-1] + survivals[-1] * gain)
            survivals.append(survivals[-1] * miss)
        gained_last = (_found(after_all)[0] * self.values).cumsum(axis=1)
        cost = float(costs.by_rung[last].sum())
        return _Chain(earned[-1] - cost, survivals[-1], gained_last, gained, missed, survivals, earned)

    def _replaced(self, chain: _Chain, asked: Sequence[int], rungs: Depths, costs: Costs) -> Floats:
        """Net reward [k, B + 1] with the rung of one of the strategies asked replaced by each other one."""
        count, last, each = len(asked), rungs[asked] - 1, np.arange(len(asked))
        gains, misses = chain.gained[:, each, last].tolist(), chain.missed[:, each, last].tolist()
        # What those behind each one still earn, if it misses, and if it is not asked.
        missing, left_out = np.zeros(count, np.float32), np.zeros(count, np.float32)
        for i in range(count):
            for tails, variant in ((missing, 0), (left_out, i + 1)):
                tail = 0.0
                for j in range(count - 1, i, -1):
                    tail = gains[variant][j] + misses[variant][j] * tail
                tails[i] = tail
        earned, survival = np.array([chain.earned[:-1], chain.survivals[:-1]], np.float32)
        of_others = costs.by_rung[last].sum() - costs.by_rung[last]
        net = np.empty((count, len(self.depths) + 1), np.float32)
        net[:, 0] = earned + survival * left_out - of_others
        behind = chain.gained[0] + chain.missed[0] * missing[:, None]
        net[:, 1:] = (earned - of_others)[:, None] + survival[:, None] * behind - costs.by_rung
        return net

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
class _Chain:
    """An allocation that asks k strategies one after the other.

    net, survival: net reward of the whole, and the chance that all miss. gained_last: [S, B], expected graded reward of
    each strategy and rung given that. gained, missed: [k + 1, k, B], of those asked, given that all before missed; in
    row 0 with all of them, in row i with the i-th not asked. survivals, earned: [k + 1], the chance that the first i
    miss, and what they earn.
    """

    net: float
    survival: float
    gained_last: Floats
    gained: Floats
    missed: Floats
    survivals: Sequence[float]
    earned: Sequence[float]


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

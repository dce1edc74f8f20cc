"""How the chain of `allocation_model` is learned: one River logistic regression for every strategy and rank bin.

A wanted document (one that was acted on) gives every strategy that answered a label: the bin it stands in, or missed
up to the depth asked. The regressions of the bins up to there take one step each; later bins were not asked for and
learn nothing. The missed-flags are a random subset of the misses really seen, so that the chain may be asked in any
order.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from river import linear_model, optim, utils

from honeyguide_orchestrator.allocation_model import AllocationModel, Floats
from honeyguide_orchestrator.situation import FEATURES

STEP = 0.25
"""AdaGrad's step size."""

ACCUMULATOR = 1.0
"""What AdaGrad's sums of squared gradients begin with, so that first steps stay small."""

FIRST_BIN = {"dependable": -0.4, "exploit": -0.7, "blind": -2.0, "explore": -3.0}
"""Prior log-odds that the wanted document stands in the first bin."""

LATER_BINS = {"dependable": -2.6, "exploit": -2.8, "blind": -3.2, "explore": -3.5}
"""Prior log-odds for every later bin, given that it stands in no earlier one."""

MISSES = "misses"
"""Feature: how many strategies were asked before and missed. Beside it, every such strategy has a flag of its own."""

MISSED = -0.1
"""Prior effect of another strategy's miss on the log-odds."""

MISSED_BESIDE = -0.4
"""Further prior effect where the other is of the same service, and so looks at the same things."""

KNOWN_SHARE = 0.7
"""Share of the misses really seen that a step is told of."""

VALUE_PRIOR = 0.7
"""Prior graded reward of a wanted document found in the first bin."""

VALUE_PRIOR_DECAY = 0.7
"""Prior graded reward of one in the next bin, as a share of that."""

VALUE_PRIOR_COUNT = 10.0
"""Observations that these priors are worth."""

DEVIATION = 0.3
"""Standard deviation of a weight of which nothing was learned."""

UNWANTED_WEIGHT = 0.3
"""Weight of a decision without any action: nothing found, or nobody there to act."""


class _AdaGrad(optim.AdaGrad):
    """River's, which asks its schedule for the step of every single weight; this one asks once a step."""

    def _step_with_dict(self, w: Any, g: Any) -> Any:
        step, sums = self.learning_rate, self.g2
        for name, slope in g.items():
            total = sums[name] + slope * slope
            sums[name] = total
            w[name] -= step * slope / (total + self.eps) ** 0.5
        return w


@dataclass(frozen=True, slots=True)
class StrategyTraits:
    """What the prior goes by."""

    name: str
    dependable: bool = False
    exploring: bool = False
    blind: bool = False
    """True if it does not look at the query."""

    @property
    def prior(self) -> str:
        """Key of the prior's tables."""
        if self.exploring:
            return "explore"
        return "dependable" if self.dependable else "blind" if self.blind else "exploit"


@dataclass(slots=True)
class _Bins:
    """The regressions of one strategy, and what its finds were worth."""

    regressions: list[Any]
    value_sums: list[float]
    value_counts: list[float]
    met: set[str] = field(default_factory=set)

    def meet(self, own: str, other: str) -> None:
        """Gives the flag of another strategy its prior weight before anything is learned of it."""
        if other not in self.met:
            self.met.add(other)
            for regression in self.regressions:
                regression._weights[_flag(other)] = _prior_of_flag(own, other)


@dataclass(slots=True)
class AllocationLearner:
    """Learns the chain. Deterministic: the same observations in the same order give the same model.

    Strategies may be added at any time; each begins with the prior of its kind.
    """

    depths: tuple[int, ...]
    bins: dict[str, _Bins] = field(default_factory=dict)
    updates: int = 0

    def ensure(self, traits: StrategyTraits) -> None:
        """Makes sure that a strategy is known."""
        if traits.name in self.bins:
            return
        regressions = []
        for b in range(len(self.depths)):
            table = FIRST_BIN if b == 0 else LATER_BINS
            regressions.append(_regression({"bias": table[traits.prior], MISSES: MISSED}, {}))
        self.bins[traits.name] = _Bins(
            regressions,
            [VALUE_PRIOR * VALUE_PRIOR_DECAY**b * VALUE_PRIOR_COUNT for b in range(len(self.depths))],
            [VALUE_PRIOR_COUNT] * len(self.depths),
        )

    def learn(
        self,
        x: Floats,
        asked: Mapping[str, int],
        ranks: Mapping[str, int],
        reward: float | None,
        seed: int,
    ) -> None:
        """Takes one step.

        Args:
            x: context features of the decision.
            asked: depth by strategy, of those that answered.
            ranks: rank (from 1) of the wanted document by strategy, where it was found.
            reward: its graded reward in [0, 1], or None if nothing was acted on.
            seed: makes the random subset of misses reproducible (same decision, same subset).
        """
        self.updates += 1
        rng = np.random.default_rng(seed)
        context = {name: float(value) for name, value in zip(FEATURES, x, strict=True) if value}
        missed = [name for name in asked if name not in ranks]
        weight = 1.0 if reward is not None else UNWANTED_WEIGHT
        for name, depth in asked.items():
            if name not in self.bins:
                continue
            strategy = self.bins[name]
            chosen = [other for other in missed if other != name and rng.random() < KNOWN_SHARE]
            for other in chosen:
                strategy.meet(name, other)
            features = context | {_flag(other): 1.0 for other in chosen}
            if chosen:
                features[MISSES] = float(len(chosen))
            rank = ranks.get(name)
            for b, rung in enumerate(self.depths):
                if b > 0 and self.depths[b - 1] >= depth:
                    break
                here = rank is not None and rank <= rung
                strategy.regressions[b].learn_one(features, here, w=weight)
                if here:
                    if reward is not None:
                        strategy.value_sums[b] += reward
                        strategy.value_counts[b] += 1
                    break

    def model(self, strategies: Sequence[str]) -> AllocationModel:
        """The chain as arrays, for these strategies (all known)."""
        flags = [_flag(strategy) for strategy in strategies]
        names = [*FEATURES, *flags]
        shape = (len(strategies), len(self.depths), len(names))
        weights = np.empty(shape, np.float32)
        sums = np.empty(shape, np.float32)
        values = np.empty(shape[:2], np.float32)
        for s, strategy in enumerate(strategies):
            bins = self.bins[strategy]
            unmet = {flag: _prior_of_flag(strategy, other) for flag, other in zip(flags, strategies, strict=True)}
            for b, regression in enumerate(bins.regressions):
                learned, squares = unmet | regression.weights, regression.optimizer.g2
                weights[s, b] = [learned.get(name, 0.0) for name in names]
                weights[s, b, len(FEATURES) :] += learned[MISSES]
                sums[s, b] = [squares.get(name, ACCUMULATOR) for name in names]
            values[s] = np.array(bins.value_sums) / bins.value_counts
        deviations = (DEVIATION / np.sqrt(sums)).astype(np.float32)
        return AllocationModel(tuple(strategies), self.depths, weights, deviations, values, self.updates)

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        return {
            "depths": list(self.depths),
            "updates": self.updates,
            "strategies": {
                name: {
                    "weights": [dict(regression.weights) for regression in bins.regressions],
                    "sums": [dict(regression.optimizer.g2) for regression in bins.regressions],
                    "value_sums": bins.value_sums,
                    "value_counts": bins.value_counts,
                    "met": sorted(bins.met),
                }
                for name, bins in self.bins.items()
            },
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], depths: tuple[int, ...]) -> AllocationLearner:
        """The learner that `to_state` was asked of. A changed depth ladder begins anew: its bins mean other ranks."""
        learner = cls(depths)
        if tuple(state["depths"]) != depths:
            return learner
        learner.updates = state["updates"]
        for name, saved in state["strategies"].items():
            learner.bins[name] = _Bins(
                [_regression(w, g) for w, g in zip(saved["weights"], saved["sums"], strict=True)],
                list(saved["value_sums"]),
                list(saved["value_counts"]),
                set(saved["met"]),
            )
        return learner


def seed_of(text: str) -> int:
    """A seed that is the same for the same text in every process."""
    return zlib.crc32(text.encode())


def _flag(strategy: str) -> str:
    return f"missed:{strategy}"


def _prior_of_flag(own: str, other: str) -> float:
    return MISSED_BESIDE if own.partition(".")[0] == other.partition(".")[0] else 0.0


def _regression(weights: Mapping[str, float], sums: Mapping[str, float]) -> Any:
    optimizer: Any = _AdaGrad(STEP)
    optimizer.g2 = defaultdict(lambda: ACCUMULATOR, sums)
    regression = linear_model.LogisticRegression(optimizer=optimizer, intercept_lr=0.0)
    regression._weights = utils.VectorDict(dict(weights))
    return regression

"""How the chain of `allocation_model` is learned: one River logistic regression for every strategy and rank bin.

A wanted document (one that was acted on) gives every strategy that answered a label: the bin it stands in, or missed
up to the depth asked. The regressions of the bins up to there take one step each; later bins were not asked for and
learn nothing. The missed-flags are a random subset of the misses really seen, so that the chain may be asked in any
order.

All regressions that an observation teaches take their steps at once, in arrays: River's dictionaries cost ten times as
much. Each has its own weights, so nothing changes by that.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
from river import linear_model, optim

from honeyguide_orchestrator.allocation_model import AllocationModel, Floats
from honeyguide_orchestrator.situation import FEATURES

log = structlog.get_logger("honeyguide.allocation_learner")

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

_FLAG = "missed:"

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


Doubles = npt.NDArray[np.float64]

COLUMNS = (*FEATURES, MISSES)
"""Features that every regression has; the flags of strategies follow, in the order in which they were met."""


class _AdaGrad(optim.AdaGrad):
    """River's, on arrays."""

    g2: Any

    def _step_with_vector(self, w: Any, g: Any) -> Any:
        self.g2 += g * g
        w -= self.learning_rate * g / np.sqrt(self.g2 + self.eps)
        return w


class _Regressions(linear_model.LogisticRegression):
    """River's, many at once: a row of `table` and of `sums` (AdaGrad's) for each, a column for each feature."""

    # Arrays, where River's own have dictionaries.
    _weights: Any
    optimizer: Any

    def __init__(self) -> None:
        super().__init__(optimizer=_AdaGrad(STEP), intercept_lr=0.0)
        self.table: Doubles = np.zeros((0, len(COLUMNS)))
        self.sums: Doubles = np.zeros((0, len(COLUMNS)))

    def add_rows(self, count: int) -> None:
        """Adds regressions of which nothing was learned."""
        self.table = np.concatenate([self.table, np.zeros((count, self.table.shape[1]))])
        self.sums = np.concatenate([self.sums, np.full((count, self.sums.shape[1]), ACCUMULATOR)])

    def add_column(self) -> None:
        """Adds a feature of which nothing was learned."""
        rows = len(self.table)
        self.table = np.concatenate([self.table, np.zeros((rows, 1))], axis=1)
        self.sums = np.concatenate([self.sums, np.full((rows, 1), ACCUMULATOR)], axis=1)

    def learn_rows(self, rows: Sequence[int], x: Doubles, y: npt.NDArray[np.bool_], w: float) -> None:
        """One step of each of these regressions, all different.

        Args:
            rows: which, [n].
            x: each one's features, [n, columns].
            y: each one's label, [n].
            w: what the observation counts for.
        """
        places = np.array(rows, np.intp)
        self._weights = self.table[places]
        self.optimizer.g2 = self.sums[places]
        self._fit(x, y, w, get_grad=self._gradients)  # type: ignore[no-untyped-call]
        self.table[places], self.sums[places] = self._weights, self.optimizer.g2

    def _gradients(self, x: Doubles, y: npt.NDArray[np.bool_], w: float) -> tuple[Doubles, float]:
        slopes = w * self.loss.gradient(y.astype(np.int8), (self._weights * x).sum(axis=1))
        return slopes[:, None] * x, 0.0  # there is no intercept to learn


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
class AllocationLearner:
    """Learns the chain. Deterministic: the same observations in the same order give the same model.

    Strategies may be added at any time; each begins with the prior of its kind.

    strategies: known by name, with their places. value_sums, value_counts: [strategies, bins], what finds were worth.
    """

    depths: tuple[int, ...]
    strategies: dict[str, int] = field(default_factory=dict)
    updates: int = 0
    value_sums: Doubles = field(init=False, repr=False)
    value_counts: Doubles = field(init=False, repr=False)
    _flags: dict[str, int] = field(default_factory=dict, repr=False)
    _regressions: _Regressions = field(default_factory=_Regressions, repr=False)

    def __post_init__(self) -> None:
        self.value_sums = np.zeros((0, len(self.depths)))
        self.value_counts = np.zeros((0, len(self.depths)))

    def ensure(self, traits: StrategyTraits) -> None:
        """Makes sure that a strategy is known."""
        if traits.name in self.strategies:
            return
        rows = self._add(traits.name)
        table = self._regressions.table
        table[rows, COLUMNS.index("bias")] = LATER_BINS[traits.prior]
        table[rows.start, COLUMNS.index("bias")] = FIRST_BIN[traits.prior]
        table[rows, COLUMNS.index(MISSES)] = MISSED

    def learn_more(self, asked: Mapping[str, int], ranks: Mapping[str, int], reward: float) -> None:
        """Takes in that a document that was learned of before, and found at these ranks, earned so much more."""
        for name, rank in ranks.items():
            if name in self.strategies and rank <= asked.get(name, 0) and rank <= self.depths[-1]:
                self.value_sums[self.strategies[name], bisect_left(self.depths, rank)] += reward

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
            x: context features of the decision; where they are not as many as `FEATURES`, nothing is learned.
            asked: depth by strategy, of those that answered.
            ranks: rank (from 1) of the wanted document by strategy, where it was found.
            reward: its graded reward in [0, 1], or None if nothing was acted on.
            seed: makes the random subset of misses reproducible (same decision, same subset).
        """
        if len(x) != len(FEATURES):
            log.warning("nothing learned from a context of another version", features=len(x), known=len(FEATURES))
            return
        self.updates += 1
        learning = [name for name in asked if name in self.strategies]
        if not learning:
            return
        missed = [name for name in asked if name not in ranks]
        features = self._features(x, learning, missed, seed)
        rows: list[int] = []
        of: list[int] = []
        found: list[int] = []
        for i, name in enumerate(learning):
            strategy = self.strategies[name]
            bins = min(bisect_left(self.depths, asked[name]) + 1, len(self.depths))
            here = bisect_left(self.depths, ranks[name]) if name in ranks else bins
            count = min(bins, here + 1)
            rows += range(strategy * len(self.depths), strategy * len(self.depths) + count)
            of += [i] * count
            if here < count:
                found.append(len(rows) - 1)
                if reward is not None:
                    self.value_sums[strategy, here] += reward
                    self.value_counts[strategy, here] += 1
        labels = np.zeros(len(rows), np.bool_)
        labels[found] = True
        weight = 1.0 if reward is not None else UNWANTED_WEIGHT
        self._regressions.learn_rows(rows, features[of], labels, weight)

    def _features(self, x: Floats, learning: Sequence[str], missed: Sequence[str], seed: int) -> Doubles:
        """[len(learning), columns]: the context, and a random subset of the others' misses."""
        flags = [self._flag(name) for name in missed]
        features = np.zeros((len(learning), self._regressions.table.shape[1]))
        features[:, : len(FEATURES)] = x
        others = [
            (i, flag)
            for i, name in enumerate(learning)
            for other, flag in zip(missed, flags, strict=True)
            if other != name
        ]
        if others:  # a generator is dear to make
            told = np.random.default_rng(seed).random(len(others)) < KNOWN_SHARE
            whose, columns = np.array(others, np.intp)[told].T
            features[whose, columns] = 1.0
            features[:, len(FEATURES)] = np.bincount(whose, minlength=len(learning))
        return features

    def model(self, strategies: Sequence[str]) -> AllocationModel:
        """The chain as arrays, for these strategies (all known)."""
        columns = [*range(len(FEATURES)), *(self._flag(strategy) for strategy in strategies)]
        places = [self.strategies[strategy] for strategy in strategies]
        table = self._by_strategy(self._regressions.table)[places]
        weights = table[:, :, columns]
        weights[:, :, len(FEATURES) :] += table[:, :, [COLUMNS.index(MISSES)]]
        deviations = DEVIATION / np.sqrt(self._by_strategy(self._regressions.sums)[places][:, :, columns])
        values = (self.value_sums / self.value_counts)[places]
        return AllocationModel(
            tuple(strategies),
            self.depths,
            weights.astype(np.float32),
            deviations.astype(np.float32),
            values.astype(np.float32),
            self.updates,
        )

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        table, sums = self._by_strategy(self._regressions.table), self._by_strategy(self._regressions.sums)
        return {
            "depths": list(self.depths),
            "updates": self.updates,
            "columns": list(self._columns()),
            "strategies": {
                name: {
                    "weights": table[place].tolist(),
                    "sums": sums[place].tolist(),
                    "value_sums": self.value_sums[place].tolist(),
                    "value_counts": self.value_counts[place].tolist(),
                }
                for name, place in self.strategies.items()
            },
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], depths: tuple[int, ...]) -> AllocationLearner:
        """The learner that `to_state` was asked of. A changed depth ladder begins anew: its bins mean other ranks."""
        learner = cls(depths)
        if tuple(state["depths"]) != depths:
            return learner
        learner.updates = state["updates"]
        for name in state["columns"]:
            if name.startswith(_FLAG):
                learner._flag(name.removeprefix(_FLAG))
        places = learner._columns()
        saved = [column for column, name in enumerate(state["columns"]) if name in places]
        columns = [places[state["columns"][column]] for column in saved]
        for name, one in state["strategies"].items():
            rows = learner._add(name)
            learner._regressions.table[rows, columns] = np.array(one["weights"])[:, saved]
            learner._regressions.sums[rows, columns] = np.array(one["sums"])[:, saved]
            learner.value_sums[-1], learner.value_counts[-1] = one["value_sums"], one["value_counts"]
        return learner

    def _columns(self) -> dict[str, int]:
        """Columns by feature."""
        flags = {f"{_FLAG}{strategy}": column for strategy, column in self._flags.items()}
        return {**{name: column for column, name in enumerate(COLUMNS)}, **flags}

    def _by_strategy(self, rows: Doubles) -> Doubles:
        return rows.reshape(len(self.strategies), len(self.depths), rows.shape[1])

    def _add(self, name: str) -> slice:
        """Makes a strategy known; returns the rows of its regressions."""
        self.strategies[name] = len(self.strategies)
        bins = len(self.depths)
        begin = len(self._regressions.table)
        self._regressions.add_rows(bins)
        for other, column in self._flags.items():
            self._regressions.table[begin:, column] = _prior_of_flag(name, other)
        self.value_sums = np.vstack(
            [self.value_sums, [VALUE_PRIOR * VALUE_PRIOR_DECAY**b * VALUE_PRIOR_COUNT for b in range(bins)]]
        )
        self.value_counts = np.vstack([self.value_counts, [VALUE_PRIOR_COUNT] * bins])
        self._flag(name)
        return slice(begin, begin + bins)

    def _flag(self, strategy: str) -> int:
        """The column that tells of a strategy's miss; a new one begins with the prior weights."""
        column = self._flags.get(strategy)
        if column is None:
            column = self._flags[strategy] = self._regressions.table.shape[1]
            self._regressions.add_column()
            for own, rows in zip(self.strategies, self._by_strategy(self._regressions.table), strict=True):
                rows[:, column] = _prior_of_flag(own, strategy)
        return column


def seed_of(text: str) -> int:
    """A seed that is the same for the same text in every process."""
    return zlib.crc32(text.encode())


def _prior_of_flag(own: str, other: str) -> float:
    return MISSED_BESIDE if own.partition(".")[0] == other.partition(".")[0] else 0.0

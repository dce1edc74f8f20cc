"""How rankers are learned: the linear one with every action, the trees from time to time, and who may serve.

The linear ranker is a listwise softmax over what was shown, one step an action. The probability that document d of the
list is the one wanted is softmax(s w . f(d)); an action takes one AdaGrad step (Duchi et al. 2011) on its negative
logarithm (ListNet's top-one loss, Cao et al. 2007), weighted by the inverse of the probability that its position is
looked at (Joachims, Swaminathan and Schnabel 2017), cut at `PROPENSITY_MIN`. What serves is not the last step's weights
but their running average, which forgets early steps (polynomial-decay averaging, Shamir and Zhang 2013): single actions
are noisy.

The scale s is learned beside the weights, once for rows that show what memory knows of the query and once for those
that do not (a temperature, as in Guo et al. 2017). It changes no order. But a prior that orders well and is too sure of
it, as one is whose features tell the same thing several times, would otherwise be made less sure by pulling every
weight towards 0, which does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.candidate_features import NAMES_KEPT, is_known
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.examination import PRIOR_POWER, Examination
from honeyguide_orchestrator.example import Example
from honeyguide_orchestrator.lambdamart import Groups, fit
from honeyguide_orchestrator.ranker import RankerModel
from honeyguide_orchestrator.ranker_evidence import GateEvidence, earned
from honeyguide_orchestrator.ranker_prior import prior_weight, weights_of
from honeyguide_orchestrator.trees import Trees, why_unavailable

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

STEP = 0.1
ACCUMULATOR = 1.0
PROPENSITY_MIN = 0.15
WEIGHT_IN_MEMORY_MAX = 2.0
PULL = 1e-4
"""How strongly each step pulls weights back to the prior."""

SCALE_STEP = 0.3
"""AdaGrad's step on the logarithm of a scale."""

SCALE_LOG_MAX = 2.0
"""Scales stay within a factor of e^2."""

AVERAGE_DECAY = 3.0
AVERAGE_MEMORY = 1_000.0
"""The average's rate is (decay + 1) / (steps + decay), and never less than 1 / memory: tastes change."""

REFIT_MIN = 200
"""Actions before trees are fitted first."""

REFIT_GROWTH = 0.25
REFIT_ACTIONS_MAX = 5_000
"""They are fitted anew when actions grew by this share, or by this number."""


@dataclass(slots=True)
class Scale:
    """What scores are multiplied by before they become chances: e^log, learned with AdaGrad."""

    log: float = 0.0
    sum: float = ACCUMULATOR

    @property
    def value(self) -> float:
        """The scale."""
        return math.exp(self.log)

    def learn(self, slope: float) -> None:
        """Takes one step against the slope of the loss along the scale's logarithm."""
        self.sum += slope**2
        self.log = min(max(self.log - SCALE_STEP * slope / self.sum**0.5, -SCALE_LOG_MAX), SCALE_LOG_MAX)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the features of a search stand in the learner's arrays, and their prior weights; both [K]."""

    places: npt.NDArray[np.intp]
    prior: Floats


class LinearLearner:
    """Learns the linear ranker. Deterministic.

    What is learned is kept in arrays, by feature in the order met: the weights after the last step; their running
    average, which serves; and AdaGrad's sums of squared slopes. A feature that no step has moved has its prior's weight
    and is not told of.

    scales: of rows that know the query, and of rows that do not. count: steps taken.
    """

    def __init__(self) -> None:
        self.count = 0
        self.scales = (Scale(), Scale())
        self._places: dict[str, int] = {}
        self._columns: dict[tuple[str, ...], _Columns] = {}
        self._steps: Doubles = np.zeros(0)
        self._learned: Doubles = np.zeros(0)
        self._sums: Doubles = np.zeros(0)
        self._moved: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)

    def learn(self, example: Example, weight: float, seed: int) -> None:
        """Takes one step, scaled by `weight`.

        seed: decides whether this step sees what memory knows of the query; in half of the steps it does not, or
            memory would crowd out what unseen queries depend on.
        """
        rows, wanted = example.rows, example.row
        if seed % 2:
            rows, kept = example.rows_without_query_memory
            if not kept[wanted]:
                return
            wanted, rows = int(kept[:wanted].sum()), rows[kept]
        columns = self._of(example.names)
        places = columns.places
        current = self._steps[places].astype(np.float32)
        scale = self.scales[0 if is_known(rows, example.names) else 1]
        scores = rows @ current
        chances = np.exp(scale.value * (scores - scores.max()))
        chances /= chances.sum()
        gradient = weight * scale.value * (chances @ rows - rows[wanted]) + PULL * (current - columns.prior)
        scale.learn(weight * scale.value * float(chances @ scores - scores[wanted]))
        slopes = gradient.astype(np.float64)
        self._moved[places] |= slopes != 0
        sums = self._sums[places] + slopes * slopes
        self._sums[places] = sums
        self._steps[places] -= STEP * slopes / np.sqrt(sums)
        self.count += 1
        rate = max((AVERAGE_DECAY + 1) / (self.count + AVERAGE_DECAY), 1.0 / AVERAGE_MEMORY)
        self._learned += rate * (self._steps - self._learned)

    def weights_of(self, names: tuple[str, ...]) -> Floats:
        """What serves: the learned weights of these features, or their prior, [len(names)]."""
        places = self._of(names).places  # which may add to what is learned
        return self._learned[places].astype(np.float32)

    def prior_of(self, names: tuple[str, ...]) -> Floats:
        """The prior weights of these features, [len(names)]; not to be changed."""
        return self._of(names).prior

    @property
    def learned(self) -> dict[str, float]:
        """What serves, by name: the weights of the features that a step has moved."""
        return self._told(self._learned)

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        return {
            "steps": self._told(self._steps),
            "learned": self.learned,
            "sums": self._told(self._sums),
            "count": self.count,
            "scales": [asdict(scale) for scale in self.scales],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> LinearLearner:
        """The learner that `to_state` was asked of."""
        learner = cls()
        known, new = (Scale(**values) for values in state["scales"])
        learner.count, learner.scales = state["count"], (known, new)
        names = tuple(state["learned"])
        places = learner._of(names).places
        for array, told in (
            (learner._steps, state["steps"]),
            (learner._learned, state["learned"]),
            (learner._sums, state["sums"]),
        ):
            array[places] = [told[name] for name in names]
        learner._moved[places] = True
        return learner

    def _told(self, values: Doubles) -> dict[str, float]:
        return {
            name: value
            for name, value, moved in zip(self._places, values.tolist(), self._moved.tolist(), strict=True)
            if moved
        }

    def _of(self, names: tuple[str, ...]) -> _Columns:
        columns = self._columns.get(names)
        if columns is None:
            self._meet([name for name in names if name not in self._places])
            places = np.array([self._places[name] for name in names], np.intp)
            columns = _Columns(places, weights_of(names, {}))
            if len(self._columns) < NAMES_KEPT:
                self._columns[names] = columns
        return columns

    def _meet(self, names: Sequence[str]) -> None:
        """Adds features that no step has moved."""
        prior = np.array([prior_weight(name) for name in names], np.float64)
        self._places.update(zip(names, range(len(self._places), len(self._places) + len(names)), strict=True))
        self._steps, self._learned = np.append(self._steps, prior), np.append(self._learned, prior)
        self._sums = np.append(self._sums, np.full(len(names), ACCUMULATOR))
        self._moved = np.append(self._moved, np.zeros(len(names), np.bool_))


@dataclass(frozen=True, slots=True)
class MemoryWeights:
    """What counts for how much in memory, by where it stood: the powers of position bias, see `Examination`."""

    power: float
    power_shown: float

    def of_impression(self, position: int) -> float:
        """How much it counts that a document was shown at a position: how likely that is looked at."""
        return looked_at(position, self.power, least=0.0)

    def of_action(self, position: int) -> float:
        """How much memory shall count an action on what stood at a position, 0 = not known, against one at the first.

        The inverse of the chance to be looked at, as the linear ranker weighs it. But memory counts only a few actions
        of most queries: so it is corrected by no more than swaps show, as people may act on what they look for wherever
        it stands; and cut at `WEIGHT_IN_MEMORY_MAX`, as a stray click far down must not outweigh the others.
        """
        if not position:
            return 1.0
        return min(1.0 / looked_at(position, self.power_shown), WEIGHT_IN_MEMORY_MAX)


@dataclass(slots=True)
class RankerLearner:
    """Learns all rankers, and keeps the evidence by which they are let to serve.

    groups: what trees are fitted on. Not part of the state: it is large, and the decision log has it all.
    fitted_at: actions seen when a fit was last begun; after a restart, those behind the trees there are.
    """

    linear: LinearLearner = field(default_factory=LinearLearner)
    evidence: GateEvidence = field(default_factory=GateEvidence)
    trees: Trees | None = None
    actions: int = 0
    fitted_at: int = 0
    examination: Examination = field(default_factory=Examination)
    groups: Groups = field(default_factory=Groups)

    def trees_earn(self, examples: Sequence[Example]) -> list[float | None]:
        """What the trees earn by each of these actions, asked at once; None while there are none."""
        if not examples or self.trees is None or why_unavailable():
            return [None] * len(examples)
        shown = [(example.features[: example.shown], example.names) for example in examples]
        scores = self.trees.scores_of_each(shown)
        return [earned(each, example.row) for each, example in zip(scores, examples, strict=True)]

    def learn(self, example: Example, seed: int, trees_earn: float | None) -> None:
        """Takes in one action: weighs the evidence first, then learns from it.

        trees_earn: by this action.
        """
        weight = 1.0 / self.looked_at(example.position)
        if not example.earlier:
            self._weigh_evidence(example, weight, trees_earn)
            self.actions += 1
        self.groups.add(example)
        self.linear.learn(example, weight * example.news, seed)

    def closed(self, record: DecisionRecord, acted_on: Collection[str]) -> None:
        """Takes in a decision whose time for feedback is over: what swaps tell of position bias.

        An interleaved page is in no ranker's order, and says nothing of what a swap does to one. Nor does what a page
        was filled with, which no swap ever moves.
        """
        if record.trial is not None and record.trial.teams:
            return
        page = record.document_ids[: min(record.page_size, record.decided)]
        positions = [position for position, document_id in enumerate(page, 1) if document_id in acted_on]
        self.examination.closed(record.scores[: len(page)], record.swapped_at, positions)

    @property
    def looked_at(self) -> Callable[[int], float]:
        """How likely a position is looked at, as far as swaps tell by now."""
        return partial(looked_at, power=self.examination.power)

    @property
    def memory_weights(self) -> MemoryWeights:
        """What positions are worth to memory, as far as swaps tell by now."""
        return MemoryWeights(self.examination.power, self.examination.power_shown)

    def _weigh_evidence(self, example: Example, weight: float, trees: float | None) -> None:
        shown = example.features[: example.shown]
        weights = (self.linear.prior_of(example.names), self.linear.weights_of(example.names))
        prior, linear = (earned(shown @ each, example.row) for each in weights)
        # As when it was ranked: what people acted on may stand further down.
        self.evidence.of(is_known(example.features, example.names)).weigh(prior, linear, trees, weight)

    @property
    def refit_due(self) -> bool:
        """Whether enough happened since trees were fitted last."""
        growth = min(REFIT_GROWTH * self.fitted_at, REFIT_ACTIONS_MAX)
        return self.actions - self.fitted_at >= max(growth, REFIT_MIN) and not why_unavailable()

    def refit(self) -> None:
        """Fits trees here and now; for whoever has no event loop to keep free."""
        self.fitted_at = self.actions
        self.trees = fit(dict(self.groups.kept), self.linear.learned, self.looked_at, self.actions, Event())

    def model(self) -> RankerModel:
        """What replicas need."""
        return RankerModel(self.linear.learned, self.trees, self.evidence)

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        return {
            "linear": self.linear.to_state(),
            "evidence": self.evidence.to_state(),
            "trees": self.trees.to_state() if self.trees else None,
            "actions": self.actions,
            "examination": self.examination.to_state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RankerLearner:
        """The learner that `to_state` was asked of, without its groups."""
        trees = state["trees"]
        return cls(
            LinearLearner.from_state(state["linear"]),
            GateEvidence.from_state(state["evidence"]),
            Trees.from_state(trees) if trees else None,
            state["actions"],
            trees["actions"] if trees else 0,
            examination=Examination.from_state(state["examination"]),
        )


def looked_at(position: int, power: float = PRIOR_POWER, least: float = PROPENSITY_MIN) -> float:
    """Probability position ** -power that a position is looked at; cut, so that no single action weighs too much."""
    return max(float(position**-power), least)

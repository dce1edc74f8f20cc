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

from honeyguide_orchestrator.candidate_features import is_known
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.examination import PRIOR_POWER, Examination
from honeyguide_orchestrator.example import ROWS_MAX, Example, without_query_memory
from honeyguide_orchestrator.lambdamart import Groups, fit
from honeyguide_orchestrator.ranker import RankerModel
from honeyguide_orchestrator.ranker_evidence import GateEvidence, earned
from honeyguide_orchestrator.ranker_prior import prior_weight, weights_of
from honeyguide_orchestrator.trees import Trees, why_unavailable

Floats = npt.NDArray[np.float32]

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


@dataclass(slots=True)
class LinearLearner:
    """Learns the linear ranker. Deterministic.

    steps: the weights after the last step. learned: their running average, which serves. sums: AdaGrad's, of squared
    slopes. All by feature name; a feature never seen has its prior's weight. scales: of rows that know the query, and
    of rows that do not.
    """

    steps: dict[str, float] = field(default_factory=dict)
    learned: dict[str, float] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0
    scales: tuple[Scale, Scale] = field(default_factory=lambda: (Scale(), Scale()))

    def learn(self, example: Example, weight: float, seed: int) -> None:
        """Takes one step, scaled by `weight`.

        seed: decides whether this step sees what memory knows of the query; in half of the steps it does not, or
            memory would crowd out what unseen queries depend on.
        """
        names, wanted = example.names, example.row
        rows = example.features[: max(example.shown, ROWS_MAX)]
        if seed % 2:
            rows, kept = without_query_memory(rows, names)
            if not kept[wanted]:
                return
            wanted, rows = int(kept[:wanted].sum()), rows[kept]
        current, prior = weights_of(names, self.steps), weights_of(names, {})
        scale = self.scales[0 if is_known(rows, names) else 1]
        scores = rows @ current
        chances = np.exp(scale.value * (scores - scores.max()))
        chances /= chances.sum()
        gradient = weight * scale.value * (chances @ rows - rows[wanted]) + PULL * (current - prior)
        scale.learn(weight * scale.value * float(chances @ scores - scores[wanted]))
        self.count += 1
        rate = max((AVERAGE_DECAY + 1) / (self.count + AVERAGE_DECAY), 1.0 / AVERAGE_MEMORY)
        for name, old, slope in zip(names, current.tolist(), gradient.tolist(), strict=True):
            if slope:
                total = self.sums.get(name, ACCUMULATOR) + slope**2
                self.sums[name] = total
                self.steps[name] = old - STEP * slope / total**0.5
        learned = self.learned
        for name, last in self.steps.items():
            mean = learned[name] if name in learned else prior_weight(name)
            learned[name] = mean + rate * (last - mean)

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        return {
            "steps": self.steps,
            "learned": self.learned,
            "sums": self.sums,
            "count": self.count,
            "scales": [asdict(scale) for scale in self.scales],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> LinearLearner:
        """The learner that `to_state` was asked of."""
        known, new = (Scale(**values) for values in state["scales"])
        return cls(dict(state["steps"]), dict(state["learned"]), dict(state["sums"]), state["count"], (known, new))


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
        self._weigh_evidence(example, weight, trees_earn)
        self.actions += 1
        self.groups.add(example)
        self.linear.learn(example, weight * example.grade, seed)

    def closed(self, record: DecisionRecord, acted_on: Collection[str]) -> None:
        """Takes in a decision whose time for feedback is over: what swaps tell of position bias."""
        page = record.document_ids[: record.page_size]
        positions = [position for position, document_id in enumerate(page, 1) if document_id in acted_on]
        self.examination.closed(record.scores[: len(page)], record.swapped_at, positions)

    @property
    def looked_at(self) -> Callable[[int], float]:
        """How likely a position is looked at, as far as swaps tell by now."""
        return partial(looked_at, power=self.examination.power)

    def weight_in_memory(self, position: int) -> float:
        """How much memory shall count an action on what stood at a position, 0 = not known, against one at the first.

        The inverse of the chance to be looked at, as the linear ranker weighs it. But memory counts only a few actions
        of most queries: so it is corrected by no more than swaps show, as people may act on what they look for wherever
        it stands; and cut at `WEIGHT_IN_MEMORY_MAX`, as a stray click far down must not outweigh the others.
        """
        if not position:
            return 1.0
        return min(1.0 / looked_at(position, self.examination.power_shown), WEIGHT_IN_MEMORY_MAX)

    def _weigh_evidence(self, example: Example, weight: float, trees: float | None) -> None:
        shown = example.features[: example.shown]
        prior, linear = (
            earned(shown @ weights_of(example.names, weights), example.row) for weights in ({}, self.linear.learned)
        )
        self.evidence.of(is_known(shown, example.names)).weigh(prior, linear, trees, weight)

    @property
    def refit_due(self) -> bool:
        """Whether enough happened since trees were fitted last."""
        growth = min(REFIT_GROWTH * self.fitted_at, REFIT_ACTIONS_MAX)
        return self.actions - self.fitted_at >= max(growth, REFIT_MIN) and not why_unavailable()

    def refit(self) -> None:
        """Fits trees here and now; for whoever has no event loop to keep free."""
        self.fitted_at = self.actions
        self.trees = fit(dict(self.groups.kept), dict(self.linear.learned), self.looked_at, self.actions, Event())

    def model(self) -> RankerModel:
        """What replicas need."""
        return RankerModel(dict(self.linear.learned), self.trees, self.evidence)

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


def looked_at(position: int, power: float = PRIOR_POWER) -> float:
    """Probability position ** -power that a position is looked at, cut so that no single action weighs too much."""
    return max(float(position**-power), PROPENSITY_MIN)

"""How the linear ranker is learned: listwise softmax over what was shown, one step an action.

The probability that document d of the shown list is the one wanted is softmax(w . f(d)); an action takes one AdaGrad
step (Duchi et al. 2011) on its negative logarithm (ListNet's top-one loss, Cao et al. 2007), weighted by the inverse
of the probability that its position is looked at (Joachims, Swaminathan and Schnabel 2017), cut at `PROPENSITY_MIN`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.candidate_features import OF_QUERY_MEMORY
from honeyguide_orchestrator.ranker import RankerModel, prior_weight, weight_of

Floats = npt.NDArray[np.float32]

STEP = 0.1
ACCUMULATOR = 1.0
EXAMINATION_POWER = 0.7
"""Positions are looked at with probability position ** -power, until swaps tell better."""

PROPENSITY_MIN = 0.15
PULL = 1e-4
"""How strongly each step pulls weights back to the prior."""

EVIDENCE_MEMORY = 500.0
"""Actions over which the gate's running means reach."""

EVIDENCE_MIN = 50
"""Actions before the learned weights may serve."""


@dataclass(slots=True)
class LinearLearner:
    """Learns the linear ranker, and keeps the evidence by which it is let to serve. Deterministic."""

    learned: dict[str, float] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    advantage: float = 0.0
    events: int = 0

    def learn(self, names: Sequence[str], shown: Floats, wanted: int, position: int, seed: int) -> None:
        """Takes one step.

        Args:
            names: the features' names.
            shown: [n, len(names)], features of the documents shown, in the order shown.
            wanted: row of the document acted on.
            position: its position over all pages, from 1.
            seed: decides whether this step sees what memory knows of the query; in half of the steps it does not, or
                memory would crowd out what unseen queries depend on.
        """
        weight = 1.0 / max(examination(position), PROPENSITY_MIN)
        learned = np.array([weight_of(name, self.learned) for name in names], np.float32)
        prior = np.array([prior_weight(name) for name in names], np.float32)
        self._weigh_evidence(shown, learned, prior, wanted, weight)
        rows = shown.copy()
        if seed % 2:
            rows[:, [i for i, name in enumerate(names) if name.startswith(OF_QUERY_MEMORY)]] = 0.0
        scores = rows @ learned
        chances = np.exp(scores - scores.max())
        chances /= chances.sum()
        gradient = weight * (chances @ rows - rows[wanted]) + PULL * (learned - prior)
        for name, old, slope in zip(names, learned, gradient, strict=True):
            if slope:
                total = self.sums.get(name, ACCUMULATOR) + float(slope) ** 2
                self.sums[name] = total
                self.learned[name] = float(old) - STEP * float(slope) / total**0.5

    def _weigh_evidence(self, shown: Floats, learned: Floats, prior: Floats, wanted: int, weight: float) -> None:
        """Prequential: both rankers are asked before the learned one has seen this action."""
        gains = []
        for weights in (learned, prior):
            scores = shown @ weights
            better = int((scores > scores[wanted]).sum())
            ties = int((scores == scores[wanted]).sum()) - 1
            gains.append(1.0 / np.log2(2.0 + better + ties / 2))
        self.events += 1
        rate = max(1.0 / self.events, 1.0 / EVIDENCE_MEMORY)
        self.advantage += rate * (weight * float(gains[0] - gains[1]) - self.advantage)

    def model(self) -> RankerModel:
        """What replicas need."""
        serves = self.events >= EVIDENCE_MIN and self.advantage > 0
        return RankerModel(dict(self.learned), self.advantage, self.events, serves)

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        return {"learned": self.learned, "sums": self.sums, "advantage": self.advantage, "events": self.events}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> LinearLearner:
        """The learner that `to_state` was asked of."""
        return cls(dict(state["learned"]), dict(state["sums"]), state["advantage"], state["events"])


def examination(position: int) -> float:
    """Probability that a position (from 1) is looked at."""
    return float(position**-EXAMINATION_POWER)

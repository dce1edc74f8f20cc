"""Which types of documents people choose in which situation, beyond what ranks and scores already tell.

A multinomial logit with the ranker's scores as offset: the probability that document d of a list is the one wanted is
softmax(s(d) + W[type(d)] . x), with s(d) the linear ranker's score without affinity and without what memory knows of
the query, and x the context of the decision. So a type is worth what it adds, and worth it to queries that look alike,
never seen ones included. Each action takes one AdaGrad step (Duchi et al. 2011) on the negative logarithm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.example import ROWS_MAX, Example, without_query_memory
from honeyguide_orchestrator.ranker_prior import weights_of
from honeyguide_orchestrator.situation import FEATURES

Floats = npt.NDArray[np.float32]

AFFINITY = "type_affinity"
"""The ranker's feature that it feeds."""

STEP = 0.1
PULL = 1e-3
"""How strongly each step pulls weights back to zero."""

AFFINITY_MAX = 4.0
"""Largest affinity told, up or down."""

TYPES_MAX = 1_000


@dataclass(slots=True)
class TypeAffinity:
    """By type, the weights of the context's features [len(FEATURES)], and AdaGrad's sums of squared slopes."""

    weights: dict[str, Floats] = field(default_factory=dict)
    sums: dict[str, Floats] = field(default_factory=dict)

    def learn(
        self, example: Example, types: Sequence[str], x: Floats, ranker_weights: Mapping[str, float], weight: float
    ) -> None:
        """Takes in one action.

        Args:
            types: of the documents in the order shown, at least as many as the example has rows.
            x: the context's features.
            ranker_weights: the linear ranker's, learned, by feature.
            weight: how much the action counts.
        """
        rows = example.features[: max(example.shown, ROWS_MAX)]
        if len(set(types[: len(rows)])) < 2:
            return
        rows, kept = without_query_memory(rows, example.names)
        if not kept[example.row]:
            return
        offered = [type for type, keep in zip(types, kept.tolist(), strict=False) if keep]
        wanted = types[example.row]
        distinct = dict.fromkeys(offered)
        if len(distinct) < 2 or len(self.weights.keys() | distinct) > TYPES_MAX:
            return
        ranker = weights_of(example.names, ranker_weights)
        if AFFINITY in example.names:
            ranker[example.names.index(AFFINITY)] = 0.0
        affinity = self.of(x)
        scores = rows[kept] @ ranker + [affinity.get(type, 0.0) for type in offered]
        chances = np.exp(scores - scores.max())
        chances /= chances.sum()
        places = {type: place for place, type in enumerate(distinct)}
        shares = np.bincount([places[type] for type in offered], chances).tolist()
        for type, share in zip(distinct, shares, strict=True):
            weights = self.weights.setdefault(type, np.zeros(len(FEATURES), np.float32))
            sums = self.sums.setdefault(type, np.ones(len(FEATURES), np.float32))
            slope = weight * (share - float(type == wanted)) * x + PULL * weights
            sums += slope**2
            weights -= STEP * slope / np.sqrt(sums)

    def of(self, x: Floats) -> Mapping[str, float]:
        """By type, how much a document of it is worth more in this context, in [-AFFINITY_MAX, AFFINITY_MAX]; 0 says
        nothing for or against, and so does a type that is left out."""
        if not self.weights:
            return {}
        worth = np.clip(np.stack(list(self.weights.values())) @ x, -AFFINITY_MAX, AFFINITY_MAX)
        return dict(zip(self.weights, worth.tolist(), strict=True))

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        return {
            "features": FEATURES,
            "weights": {type: row.tolist() for type, row in self.weights.items()},
            "sums": {type: row.tolist() for type, row in self.sums.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TypeAffinity:
        """What `to_state` was asked of; what was learned of other features is of no use."""
        if tuple(state.get("features", ())) != FEATURES:
            return cls()
        return cls(*({type: np.array(row, np.float32) for type, row in state[n].items()} for n in ("weights", "sums")))

"""Which types of documents people choose in which situation, beyond what ranks and scores already tell.

A multinomial logit with the ranker's scores as offset: the probability that document d of a list is the one wanted is
softmax(s(d) + W[type(d)] . x), with s(d) the linear ranker's score without affinity and without what memory knows of
the query, and x the context of the decision. So a type is worth what it adds, and worth it to queries that look alike,
never seen ones included. Each action takes one AdaGrad step (Duchi et al. 2011) on the negative logarithm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.example import Example
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


class TypeAffinity:
    """By type, the weights of the context's features, and AdaGrad's sums of squared slopes: [types, len(FEATURES)]."""

    def __init__(self) -> None:
        self._types: dict[str, int] = {}
        self._weights: Floats = np.zeros((0, len(FEATURES)), np.float32)
        self._sums: Floats = np.ones((0, len(FEATURES)), np.float32)

    def learn(self, example: Example, types: Sequence[str], x: Floats, ranker: Floats, weight: float) -> None:
        """Takes in one action.

        Args:
            types: of the documents in the order shown, at least as many as the example has rows.
            x: the context's features; nothing is learned from a context that has others than `FEATURES`.
            ranker: the linear ranker's weights, learned, of the example's features.
            weight: how much the action counts.
        """
        if len(set(types[: len(example.rows)])) < 2 or len(x) != len(FEATURES):
            return
        rows, kept = example.rows_without_query_memory
        if not kept[example.row]:
            return
        offered = [type for type, keep in zip(types, kept.tolist(), strict=False) if keep]
        places = {type: place for place, type in enumerate(dict.fromkeys(offered))}
        new = [type for type in places if type not in self._types]
        if len(places) < 2 or len(self._types) + len(new) > TYPES_MAX:
            return
        self._meet(new)
        own = [self._types[type] for type in places]
        of = np.array([places[type] for type in offered], np.intp)
        weights = self._weights[own]
        if AFFINITY in example.names:
            ranker = ranker.copy()
            ranker[example.names.index(AFFINITY)] = 0.0
        scores = rows[kept] @ ranker + _told(weights, x)[of]
        chances = np.exp(scores - scores.max())
        missing = np.bincount(of, chances / chances.sum())
        missing[places[types[example.row]]] -= 1.0
        slopes = (weight * missing).astype(np.float32)[:, None] * x + PULL * weights
        self._sums[own] += slopes**2
        self._weights[own] = weights - STEP * slopes / np.sqrt(self._sums[own])

    def of(self, x: Floats) -> Mapping[str, float]:
        """By type, how much a document of it is worth more in this context, in [-AFFINITY_MAX, AFFINITY_MAX]; 0 says
        nothing for or against, and so does a type that is left out."""
        return dict(zip(self._types, _told(self._weights, x).tolist(), strict=True))

    def _meet(self, types: Sequence[str]) -> None:
        """Adds types of which nothing was learned."""
        if types:
            self._types.update(zip(types, range(len(self._types), len(self._types) + len(types)), strict=True))
            grown = (len(types), len(FEATURES))
            self._weights = np.concatenate([self._weights, np.zeros(grown, np.float32)])
            self._sums = np.concatenate([self._sums, np.ones(grown, np.float32)])

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        return {
            "features": FEATURES,
            "weights": dict(zip(self._types, self._weights.tolist(), strict=True)),
            "sums": dict(zip(self._types, self._sums.tolist(), strict=True)),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TypeAffinity:
        """What `to_state` was asked of; what was learned of other features is of no use."""
        affinity = cls()
        if tuple(state.get("features", ())) == FEATURES:
            affinity._meet(list(state["weights"]))
            for type, place in affinity._types.items():
                affinity._weights[place], affinity._sums[place] = state["weights"][type], state["sums"][type]
        return affinity


def _told(weights: Floats, x: Floats) -> Floats:
    told: Floats = np.clip(weights @ x, -AFFINITY_MAX, AFFINITY_MAX)
    return told

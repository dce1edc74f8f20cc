"""Many lists of candidates become one, and nothing is forgotten of who found what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide.candidates import CREATED_DAY, POPULARITY, Q2E, Q2E_ACTIONS, RECENCY, TREND, Candidates
from honeyguide_orchestrator.query_evidence import NOTHING_REMEMBERED, Remembered

Floats = npt.NDArray[np.float32]

SHARED_FEATURES = (POPULARITY, CREATED_DAY, Q2E, Q2E_ACTIONS, RECENCY, TREND)


@dataclass(frozen=True, slots=True)
class Merged:
    """N distinct candidates and the S strategies that answered, as columns.

    ranks: [N, S] int16, rank from 1 in each strategy's list, 0 = not in it.
    scores: [N, S] float32, the strategies' own scores, 0 where not found.
    shared: by name of `SHARED_FEATURES`, [N] float32, the largest value that any strategy told.
    remembered: what memory ties to the query, candidates and other documents.
    """

    document_ids: tuple[str, ...]
    types: tuple[str, ...]
    strategies: tuple[str, ...]
    ranks: npt.NDArray[np.int16]
    scores: Floats
    shared: Mapping[str, Floats]
    remembered: Remembered = NOTHING_REMEMBERED

    def __len__(self) -> int:
        return len(self.document_ids)


def merge(answers: Mapping[str, Candidates], remembered: Remembered = NOTHING_REMEMBERED) -> Merged:
    """Merges the candidates of the strategies that answered; candidates come in order of first appearance.

    `remembered` is what memory ties to the query, whoever found it.
    """
    rows: dict[str, int] = {}
    types: list[str] = []
    placed: list[npt.NDArray[np.int64]] = []
    for candidates in answers.values():
        own = np.empty(len(candidates), np.int64)
        for i, (document_id, type) in enumerate(zip(candidates.document_ids, candidates.types, strict=True)):
            row = rows.get(document_id)
            if row is None:
                row = rows[document_id] = len(rows)
                types.append(type)
            elif type and not types[row]:
                types[row] = type
            own[i] = row
        placed.append(own)
    count, strategies = len(rows), len(answers)
    ranks = np.zeros((count, strategies), np.int16)
    scores = np.zeros((count, strategies), np.float32)
    shared = {name: np.zeros(count, np.float32) for name in SHARED_FEATURES}
    for s, (own, candidates) in enumerate(zip(placed, answers.values(), strict=True)):
        ranks[own, s] = np.arange(1, len(own) + 1)
        scores[own, s] = candidates.scores
        for name, column in candidates.features.items():
            if name in shared:
                shared[name][own] = np.maximum(shared[name][own], column)
    return Merged(tuple(rows), tuple(types), tuple(answers), ranks, scores, shared, remembered)

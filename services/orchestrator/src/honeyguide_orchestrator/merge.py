"""Many lists of candidates become one, and nothing is forgotten of who found what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

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
    found = list(answers.values())
    ids = list(chain.from_iterable(candidates.document_ids for candidates in found))
    distinct = tuple(dict.fromkeys(ids))
    rows = dict(zip(distinct, range(len(distinct)), strict=True))
    placed = np.fromiter(map(rows.__getitem__, ids), np.intp, len(ids))
    lengths = np.array([len(candidates) for candidates in found], np.intp)
    ranks = np.zeros((len(distinct), len(found)), np.int16)
    scores = np.zeros((len(distinct), len(found)), np.float32)
    shared = {name: np.zeros(len(distinct), np.float32) for name in SHARED_FEATURES}
    if ids:
        lists = np.arange(len(found)).repeat(lengths)
        begins = lengths.cumsum() - lengths
        ranks[placed, lists] = np.arange(1, len(ids) + 1) - begins[lists]
        scores[placed, lists] = np.concatenate([candidates.scores for candidates in found])
    for name in {name for candidates in found for name in candidates.features} & shared.keys():
        nothing = np.zeros(len(ids), np.float32)
        told = [one.features.get(name, nothing[: len(one)]) for one in found]
        np.maximum.at(shared[name], placed, np.concatenate(told))
    types = _types(ids, list(chain.from_iterable(candidates.types for candidates in found)))
    return Merged(distinct, tuple(map(types.__getitem__, distinct)), tuple(answers), ranks, scores, shared, remembered)


def _types(ids: Sequence[str], types: Sequence[str]) -> dict[str, str]:
    """The type of every document: the first that was told and is not empty."""
    told = dict(zip(reversed(ids), reversed(types), strict=True))
    if "" in told.values():
        told.update((id, type) for id, type in zip(reversed(ids), reversed(types), strict=True) if type)
    return told

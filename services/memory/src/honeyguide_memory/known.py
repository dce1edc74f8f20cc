"""What memory ties to one query, document by document: evidence for a ranker, whatever strategy finds the document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from honeyguide.candidates import Q2E_LONG, Q2E_PRIOR, Q2E_SHORT, Q2E_SHOWN, RECENCY
from honeyguide_memory.mass import HalfLives, Masses

Floats = npt.NDArray[np.float32]

DOCUMENTS_MAX = 300
FEATURES = (Q2E_PRIOR, Q2E_SHORT, Q2E_LONG, RECENCY, Q2E_SHOWN)
"""Columns of `Known.features`; see `honeyguide.memory.v1.RecallResponse` for their meaning."""


@dataclass(frozen=True, slots=True)
class Known:
    """Documents and their features, [len(document_ids), len(FEATURES)]."""

    document_ids: tuple[str, ...] = ()
    features: Floats = field(default_factory=lambda: np.empty((0, len(FEATURES)), np.float32))


def known(
    observed: Masses, impressions: Mapping[bytes, float], prior: Mapping[bytes, float], now_s: float, lives: HalfLives
) -> Known:
    """Puts together what was observed, what was shown and what is expected; the least expected are left out beyond 300.

    Args:
        observed: the query's own pairs.
        impressions: how often documents were shown for it, each time by how likely they were looked at.
        prior: what is expected of it before any action.
        now_s, lives: as of when, and how fast recency fades.
    """
    documents = sorted(prior)
    likelihoods = np.fromiter(map(prior.__getitem__, documents), np.float64, len(documents))
    met = list(dict.fromkeys((*observed.targets, *impressions)))[: max(len(observed), DOCUMENTS_MAX)]
    likeliest = np.argsort(-likelihoods, kind="stable")[: max(0, DOCUMENTS_MAX - len(met))]
    rows = dict.fromkeys([*met, *(documents[i] for i in likeliest.tolist())])
    features = np.zeros((len(rows), len(FEATURES)), np.float32)
    acted = len(observed)
    features[:, 0] = [prior.get(document, 0.0) for document in rows]
    features[:acted, 1] = observed.short
    features[:acted, 2] = observed.long
    features[:acted, 3] = np.exp2(np.maximum(0.0, now_s - observed.last_s) / -lives.short_s)
    if impressions:
        features[:, 4] = [impressions.get(document, 0.0) for document in rows]
    return Known(tuple(document.decode() for document in rows), features)

"""A small decision record for tests, which say only what matters to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from honeyguide.documents import Context
from honeyguide.query import Understanding
from honeyguide_orchestrator.candidate_features import feature_names
from honeyguide_orchestrator.decision_log import DecisionRecord, LoggedStrategy
from honeyguide_orchestrator.fanout import Status
from honeyguide_orchestrator.situation import FEATURES


def decision_record(
    id: str = "d1",
    *,
    query: str = "halo",
    answered: tuple[str, ...] = ("lexical.bm25",),
    document_ids: tuple[str, ...] = ("x", "y"),
    **more: Any,
) -> DecisionRecord:
    """A search for films whose strategies all found all documents, in the order shown, on one page.

    Arrays have the shapes that `answered` and `document_ids` ask for; all features are 1, all scores 0. more: other
    fields, as they are.
    """
    rows, lists = len(document_ids), len(answered)
    fields = {
        "understanding": Understanding(query, query),
        "context": Context(1_000.0),
        "scope": "",
        "policy": "squarecb",
        "snapshot_version": 1,
        "propensity": 1.0,
        "propensity_estimated": False,
        "strategies": tuple(LoggedStrategy(name, 20, 1.0, Status.OK, rows, 0.001) for name in answered),
        "x": np.ones(len(FEATURES), np.float32),
        "ranker": "gated",
        "types": ("film",) * rows,
        "scores": np.zeros(rows, np.float32),
        "ranks": np.tile(np.arange(1, rows + 1, dtype=np.int16)[:, None], lists),
        "features": np.ones((rows, len(feature_names(answered))), np.float32),
        "strategy_scores": np.zeros((rows, lists), np.float32),
        "page_size": rows,
    }
    return DecisionRecord(id=id, query=query, answered=answered, document_ids=document_ids, **(fields | more))

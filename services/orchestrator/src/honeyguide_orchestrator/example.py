"""What rankers learn from: one action on one decision, and the features that were seen when it was ranked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.attribution import Credit
from honeyguide_orchestrator.candidate_features import (
    CONTENT,
    NAMES_KEPT,
    OF_QUERY_MEMORY,
    best_rank,
    feature_names,
    standing_of,
)
from honeyguide_orchestrator.query_evidence import expected_by_match, on_log_scale

Floats = npt.NDArray[np.float32]

ROWS_MAX = 30
"""Documents of a decision that are learned from: those shown, and below them some that would have come next. Those tell
a ranker what the lower ranks look like; without them it learns only to order a first page, and misjudges the rest."""

FED_BY_ANY_QUERY = ("trend", "actions_", "called", "memory.popular:")
"""Prefixes of the features that count actions on a document whatever the query. Those on this very query are among
them, and cannot be told apart afterwards; so they are hidden with what memory knows of the query. `expected` goes by
such counts too, and by those of the query's words; of it, what the lists tell is left."""


@dataclass(frozen=True)
class Example:
    """One action.

    query: normalised. features: [M, K] of the first M documents in the order shown, columns `names`. position: of the
    document acted on, from 1. grade: what the action says of it, in (0, 1], undiscounted; earlier: what others said
    before, which was learned from, 0 = nothing.
    """

    decision_id: str
    query: str
    names: tuple[str, ...]
    features: Floats
    shown: int
    position: int
    grade: float
    earlier: float = 0.0

    @property
    def news(self) -> float:
        """What the action says beyond that."""
        return self.grade - self.earlier

    @property
    def row(self) -> int:
        """Of the document acted on."""
        return self.position - 1

    @property
    def rows(self) -> Floats:
        """Features of the documents that are learned from."""
        return self.features[: max(self.shown, ROWS_MAX)]

    @cached_property
    def rows_without_query_memory(self) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """See `without_query_memory`; worked out once for all who learn from this action."""
        return without_query_memory(self.rows, self.names)


def example_of(credit: Credit) -> Example | None:
    """The example in an attributed action; None if its document stood below those whose features are kept, or if these
    are of another version."""
    record = credit.record
    if credit.position > len(record.features) or not record.has_todays_features:
        return None
    undiscounted = float(np.log2(1 + credit.position))
    return Example(
        decision_id=record.id,
        query=record.understanding.normalized_query,
        names=feature_names(record.answered),
        features=record.features,
        shown=-(-credit.position // record.page_size) * record.page_size,
        position=credit.position,
        grade=min(1.0, credit.reward * undiscounted),
        earlier=min(1.0, credit.earlier * undiscounted),
    )


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where features stand: those hidden, and of the lists `found` and `top`; lists: whose `top` they are; content: of
    the lists that look at the content, what `standing_of` goes by, [lists, 3]."""

    hidden: list[int]
    found: list[int]
    top: list[int]
    lists: list[str]
    content: npt.NDArray[np.intp]


@lru_cache(maxsize=NAMES_KEPT)
def _columns(names: tuple[str, ...]) -> _Columns:
    top = {i: name.removesuffix(":top") for i, name in enumerate(names) if name.endswith(":top")}
    content = [
        [names.index(f"{name}:{feature}") for feature in ("reciprocal_rank", "top", "score")]
        for name in top.values()
        if "expected" in names and name.startswith(CONTENT)
    ]
    return _Columns(
        [i for i, name in enumerate(names) if name.startswith((*OF_QUERY_MEMORY, *FED_BY_ANY_QUERY))],
        [i for i, name in enumerate(names) if name.endswith(":found")],
        list(top),
        list(top.values()),
        np.array(content, np.intp).reshape(-1, 3),
    )


def without_query_memory(features: Floats, names: tuple[str, ...]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The features as they had been if memory had not known this query.

    What summarises the lists is computed anew from those that are left. Documents that only memory found would not
    have been candidates: the second answer tells, for every row, whether it would have been one.
    """
    rows, columns = features.copy(), _columns(names)
    rows[:, columns.hidden] = 0.0
    if not columns.found:
        return rows, np.ones(len(rows), bool)
    lists = rows[:, columns.found].sum(axis=1)
    if "agreement" in names:
        rows[:, names.index("agreement")] = lists / len(columns.found)
    if "expected" in names:
        rows[:, names.index("expected")] = on_log_scale(expected_by_match(standing_of(rows[:, columns.content])))
    if "best_rank" in names:
        rows[:, names.index("best_rank")] = best_rank(rows[:, columns.top], columns.lists)
    return rows, lists > 0

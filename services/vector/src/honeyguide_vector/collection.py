"""Embedded documents in memory: their vectors, the graph over them, and what filters and features need of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide.candidates import CREATED_DAY, NO_CANDIDATES, POPULARITY, Candidates
from honeyguide.documents import Document, Filter
from honeyguide_vector.encoder import Vectors
from honeyguide_vector.graph import Rows
from honeyguide_vector.lock import ReadWriteLock
from honeyguide_vector.postings import Postings
from honeyguide_vector.saved_graph import Held
from honeyguide_vector.segmented_graph import SegmentedGraph

# Documents entered under one hold of the lock: about 5 ms, which is how long a search may have to wait.
ENTERED_AT_ONCE = 16
FILTERS_REMEMBERED_MAX = 64
ROWS_MIN = 1_024
# By which share the arrays grow when they are full.
GROWTH = 0.25
# Vectors that stay in the processor's cache, and few enough for the product to stay on this thread: larger ones wake
# the linear algebra library's own threads, which on busy cores cost ten times what they save.
SCORED_AT_ONCE = 1_024
# What the graph spends on one neighbour that it looks at, in rows that are scored in the same time (measured with
# 17,472 documents of 384 numbers: 1.5 us against 0.8 us, nearly all of it reading the row's vector).
NEIGHBOUR_COST_ROWS = 2


@dataclass(frozen=True, slots=True)
class _Allowed:
    """The rows that a filter leaves, as a sorted list and as a mask."""

    rows: Rows
    mask: npt.NDArray[np.bool_]


class Collection:
    """Documents with embeddings, by cosine. Safe to call from several threads.

    Rows number the documents and are the graph's keys; the row of a deleted document is used again. The graph proposes,
    the vectors in it score: so a document's score is the same whether the graph or a full scan found it.
    """

    def __init__(self, graph: SegmentedGraph) -> None:
        self._graph = graph
        self._lock = ReadWriteLock()
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._ids: list[str] = []
        self._types: list[str] = []
        self._popularity = np.zeros(ROWS_MIN, np.float32)
        self._created_day = np.zeros(ROWS_MIN, np.float32)
        self._held = np.zeros(ROWS_MIN, np.bool_)
        self._postings = Postings()
        self._filters: OrderedDict[tuple[object, ...], _Allowed] = OrderedDict()
        self.changes = 0
        """Changes begun so far; searches in between may find different documents."""

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, document_id: str) -> bool:
        return document_id in self._rows

    @property
    def memory_bytes(self) -> int:
        """Memory of the graph, which has the vectors."""
        with self._lock.reading():  # usearch crashes where it is asked while it adds
            return self._graph.memory_bytes

    def documents_by_type(self) -> dict[str, int]:
        """How many documents of each type are held."""
        with self._lock.reading():
            return self._postings.rows_by_type()

    # ------------------------------------------------------------------------------------------------------- changing

    def restore(self, held: Held) -> None:
        """Fills an empty collection over a graph that was loaded."""
        with self._lock.writing():
            self.changes += 1
            self._ids, self._types = held.ids, held.types
            self._popularity, self._created_day = held.popularity, held.created_day
            self._rows = {id: row for row, id in enumerate(held.ids) if id}
            self._held = np.fromiter(map(bool, held.ids), np.bool_, len(held.ids))
            self._free = np.flatnonzero(~self._held).tolist()
            self._postings = Postings.of_lists(held.postings, len(held.ids))

    def held(self) -> Held:
        """What is held, to be saved; only for the one thread that changes the collection."""
        count = len(self._ids)
        columns = self._popularity[:count], self._created_day[:count]
        return Held(self._ids, self._types, *columns, self._postings.lists())

    def put(self, documents: Sequence[Document]) -> None:
        """Inserts or replaces documents, which all have an embedding of unit length; visible on return."""
        for begin in range(0, len(documents), ENTERED_AT_ONCE):
            with self._lock.writing():
                self._put(documents[begin : begin + ENTERED_AT_ONCE])

    def remove(self, document_ids: Iterable[str]) -> int:
        """Removes documents; returns how many there were."""
        with self._lock.writing():
            self.changes += 1
            rows = [self._rows.pop(id) for id in dict.fromkeys(document_ids) if id in self._rows]
            if rows:
                self._graph.remove(np.array(rows, np.int64))
                self._filters.clear()
            for row in rows:
                self._clear(row)
            return len(rows)

    def _put(self, documents: Sequence[Document]) -> None:
        self.changes += 1
        self._filters.clear()
        newest = {document.id: document for document in documents}
        rows: dict[str, int] = {}
        moved: dict[int, Document] = {}
        for id, document in newest.items():
            row = self._rows.get(id)
            if row is None:
                row = self._free.pop() if self._free else self._append_row()
                moved[row] = document
            elif not self._graph.has(row, _embedding(document)):
                moved[row] = document
            rows[id] = row
        if moved:
            self._move(moved)
        for id, document in newest.items():
            self._set(rows[id], document)

    def _move(self, moved: Mapping[int, Document]) -> None:
        """Puts vectors under rows; where there is no memory for them, those documents are not held any more."""
        rows = np.fromiter(moved, np.int64, len(moved))
        try:
            self._graph.remove(rows)
            self._graph.add(rows, np.stack([_embedding(document) for document in moved.values()]))
        except BaseException:
            self._graph.remove(rows)
            for row, document in moved.items():
                self._rows.pop(document.id, None)
                self._clear(row)
            raise

    def _set(self, row: int, document: Document) -> None:
        self._postings.put(row, document.type, document.attributes)
        self._rows[document.id] = row
        self._ids[row] = document.id
        self._types[row] = document.type
        self._popularity[row] = document.popularity
        self._created_day[row] = document.created_day
        self._held[row] = True

    def _clear(self, row: int) -> None:
        self._postings.remove(row)
        self._held[row] = False
        self._ids[row] = self._types[row] = ""
        self._free.append(row)

    def _append_row(self) -> int:
        row = len(self._ids)
        self._ids.append("")
        self._types.append("")
        if row >= len(self._held):
            # New arrays, not resized ones: a reader may hold the old.
            more = max(ROWS_MIN, int(GROWTH * len(self._held)))
            self._popularity = np.concatenate([self._popularity, np.zeros(more, np.float32)])
            self._created_day = np.concatenate([self._created_day, np.zeros(more, np.float32)])
            self._held = np.concatenate([self._held, np.zeros(more, np.bool_)])
        return row

    # ------------------------------------------------------------------------------------------------------ searching

    def vectors(self, document_ids: Sequence[str]) -> tuple[list[str], Vectors]:
        """Those of the documents that are held, and their embeddings, one row each."""
        with self._lock.reading():
            held = [id for id in document_ids if id in self._rows]
            return held, self._graph.vectors(np.array([self._rows[id] for id in held], np.int64))

    def nearest(
        self,
        vectors: Vectors,
        depth: int,
        filter: Filter,
        excluded_ids: Iterable[str] = (),
        weights: Vectors | None = None,
    ) -> Candidates:
        """The documents most like any of the vectors, best first.

        Args:
            vectors: one or more unit vectors, [n, dimension].
            depth: documents wanted; fewer come only if fewer satisfy the filter.
            filter: holds for everything returned.
            excluded_ids: further documents that are not wanted.
            weights: what the cosine to each vector is multiplied with, 1 if not given; a document's score is its best.
        """
        with self._lock.reading():
            allowed = self._allowed(filter)
            unwanted = {self._rows[id] for id in (*filter.excluded_ids, *excluded_ids) if id in self._rows}
            excluded = np.fromiter(unwanted, np.int64, len(unwanted))
            if allowed is not None:
                excluded = excluded[allowed.mask[excluded]]
            rows = self._by_graph(vectors, depth, allowed, excluded)
            if rows is None:
                rows = self._by_scan(allowed, excluded)
            if not len(rows):
                return NO_CANDIDATES
            return self._candidates(rows, vectors, weights, depth)

    def _allowed(self, filter: Filter) -> _Allowed | None:
        """The rows that the filter's types and conditions leave; None = all."""
        if not (filter.types or filter.conditions or filter.excluded_conditions):
            return None
        key = (filter.types, filter.conditions, filter.excluded_conditions)
        known = self._filters.get(key)
        if known is None:
            rows = self._postings.matching(filter)
            mask = np.zeros(len(self._held), np.bool_)
            mask[rows] = True
            known = _Allowed(rows, mask)
            # Readers may do this side by side: at worst one filter is worked out twice, or leaves early.
            self._filters[key] = known
            while len(self._filters) > FILTERS_REMEMBERED_MAX:
                self._filters.popitem(last=False)
        return known

    def _by_graph(self, vectors: Vectors, depth: int, allowed: _Allowed | None, excluded: Rows) -> Rows | None:
        """Rows among which the graph has the nearest `depth` to every vector, or None where a scan is cheaper."""
        available = len(self._rows) if allowed is None else len(allowed.rows)
        wanted = min(depth, available - len(excluded))
        if wanted <= 0:
            return np.empty(0, np.int64)
        # As many neighbours as hold enough that are allowed, if those lie anywhere; more if they do not.
        count = wanted + len(excluded)
        if allowed is not None:
            count = int(1.2 * count * len(self._rows) / available) + 10
        while self._graph.neighbours_looked_at(count) * NEIGHBOUR_COST_ROWS <= available:
            lists = [self._permitted(self._graph.nearest(vector, count), allowed, excluded) for vector in vectors]
            if min(map(len, lists)) >= wanted:
                return lists[0] if len(lists) == 1 else _distinct(np.concatenate(lists))
            count *= 4
        return None

    def _by_scan(self, allowed: _Allowed | None, excluded: Rows) -> Rows:
        return self._permitted(np.flatnonzero(self._held) if allowed is None else allowed.rows, None, excluded)

    def _permitted(self, rows: Rows, allowed: _Allowed | None, excluded: Rows) -> Rows:
        if allowed is not None:
            rows = rows[allowed.mask[rows]]
        if len(excluded):
            wanted = np.ones(len(self._held), np.bool_)
            wanted[excluded] = False
            rows = rows[wanted[rows]]
        return rows

    def _candidates(self, rows: Rows, vectors: Vectors, weights: Vectors | None, depth: int) -> Candidates:
        scores = np.full(len(rows), -np.inf, np.float32)
        for begin in range(0, len(rows), SCORED_AT_ONCE):
            some = slice(begin, begin + SCORED_AT_ONCE)
            vectors_of_rows = self._graph.vectors(rows[some])
            for i, vector in enumerate(vectors):
                similarities = vectors_of_rows @ vector
                if weights is not None:
                    similarities *= weights[i]
                np.maximum(scores[some], similarities, out=scores[some])
        if depth < len(rows):
            top = np.argpartition(-scores, depth - 1)[:depth]
            rows, scores = rows[top], scores[top]
        best = np.lexsort((rows, -scores))
        rows, scores = rows[best], scores[best]
        places = rows.tolist()
        return Candidates(
            document_ids=[self._ids[row] for row in places],
            scores=np.asarray(scores, np.float32),
            types=[self._types[row] for row in places],
            features={POPULARITY: self._popularity[rows], CREATED_DAY: self._created_day[rows]},
        )


def _distinct(rows: Rows) -> Rows:
    # Not numpy.unique: its first call imports numpy.ma, which takes longer than a search may.
    rows = np.sort(rows)
    return rows[np.flatnonzero(np.diff(rows, prepend=-1))]


def _embedding(document: Document) -> Vectors:
    if document.embedding is None:
        raise ValueError(f"{document.id} has no embedding")
    return document.embedding

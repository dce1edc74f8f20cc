"""What documents are called: by their titles, and by the queries that people acted on them for.

Each document is a bag of words and letter trigrams, its title's and, once for every action, those of the query: naive
Bayes over them tells how likely a query is for a document, log P(q | d) = sum over its parts g of log P(g | d), with
P(g | d) = (n(g, d) + A P(g)) / (n(d) + A) (Zhai and Lafferty 2004, Dirichlet smoothing). Trigrams see through
misspellings, beginnings and compounds that no list of whole words does; and what others typed counts, whatever they
typed. Parts overlap, so their evidence is not independent: `EVIDENCE_SHARE` of the sum counts.

That tells something only where it is known of nearly all candidates, as in a small catalogue: a document never met may
be called anything. Documents are met when they are shown or acted on for the first time; of a catalogue of which more
than `DOCUMENTS_MAX` were, everything is forgotten, and no more is learned.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from honeyguide.documents import Document
from honeyguide.text import words

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Parts = npt.NDArray[np.uint16]

BUCKETS = 4_096
"""Words and trigrams are hashed into so many."""

DOCUMENTS_MAX = 1_000
FETCHED_MAX = 200
"""Documents met at a time: looking them up must not hold up learning."""

PARTS_MAX = 1_024
"""Of a document; queries that would bring more are left out."""

TEXT_CHARS_MAX = 200
"""Of the title, and of what text there is."""

QUERY_CHARS_MAX = 200
SMOOTHING = 0.1
"""A: so many parts of any document are taken to be in each."""

EVIDENCE_SHARE = 0.35
COVERED_MIN = 0.7
"""Share of the candidates that must have been met."""


@dataclass(frozen=True, slots=True)
class _Table:
    """All documents one below the other: parts, how often, and whose they are, by row; `totals` [D], `all` = their
    sum."""

    rows: Mapping[str, int]
    parts: Parts
    counts: Floats
    owners: npt.NDArray[np.int64]
    totals: Doubles
    all: float


@dataclass(slots=True)
class DocumentLanguage:
    """Bags of parts by document: which (ascending), and how often. `closed`: the catalogue is too large."""

    bags: dict[str, tuple[Parts, Floats]] = field(default_factory=dict)
    closed: bool = False
    _table: _Table | None = field(default=None, repr=False, compare=False)

    def unmet(self, document_ids: Sequence[str]) -> list[str]:
        """Those of these documents that were not met, at most `FETCHED_MAX`; none once closed."""
        if self.closed:
            return []
        return [id for id in dict.fromkeys(document_ids) if id not in self.bags][:FETCHED_MAX]

    def meet(self, document: Document) -> None:
        """Takes in what a document is called by itself."""
        if document.id in self.bags or self.closed:
            return
        self._table = None
        if len(self.bags) == DOCUMENTS_MAX:
            self.bags, self.closed = {}, True
        else:
            parts = parts_of(f"{document.title[:TEXT_CHARS_MAX]} {document.text[:TEXT_CHARS_MAX]}")
            self.bags[document.id] = parts, np.ones(len(parts), np.float32)

    def learn(self, document_id: str, query: str, weight: float) -> None:
        """Takes in one action worth `weight`; those worth nothing or less do not tell what a document is called."""
        if weight <= 0 or document_id not in self.bags:
            return
        parts, counts = self.bags[document_id]
        added = parts_of(query[:QUERY_CHARS_MAX])
        new = added[parts.searchsorted(added) == parts.searchsorted(added, "right")]
        if len(parts) + len(new) > PARTS_MAX:
            return
        joined, sums = parts, counts.copy()
        if len(new):  # not so for a query like those before
            joined = np.sort(np.concatenate([parts, new]))
            sums = np.zeros(len(joined), np.float32)
            sums[joined.searchsorted(parts)] = counts
        sums[joined.searchsorted(added)] += weight
        self.bags[document_id] = joined, sums
        self._table = None

    def likelihoods(self, document_ids: Sequence[str], query: str) -> Doubles | None:
        """log P(q | d), as far as it counts, [N]; the mean of the others for a document never met. None where too few
        were met, or nothing in the query was ever met."""
        met = [document_id in self.bags for document_id in document_ids]
        if not met or sum(met) < COVERED_MIN * len(met):
            return None
        table = self._joined()
        parts = parts_of(query[:QUERY_CHARS_MAX])
        places = np.full(BUCKETS, -1)
        places[parts] = np.arange(len(parts))
        place = places[table.parts]
        found = np.flatnonzero(place >= 0)
        counts = np.zeros((len(self.bags), len(parts)))
        counts[table.owners[found], place[found]] = table.counts[found]
        shares = counts.sum(axis=0) / max(table.all, 1.0)
        told = shares > 0
        if not told.any():
            return None
        chosen = [table.rows[document_id] for document_id in document_ids if document_id in table.rows]
        smoothed = counts[chosen][:, told] + SMOOTHING * shares[told]
        sums = np.log(smoothed / (table.totals[chosen] + SMOOTHING)[:, None]).sum(axis=1)
        likelihoods: Doubles = np.full(len(met), sums.mean())
        likelihoods[met] = sums
        return EVIDENCE_SHARE * likelihoods

    def _joined(self) -> _Table:
        if self._table is None:
            self._table = _table_of(
                list(self.bags),
                [len(parts) for parts, _ in self.bags.values()],
                np.concatenate([parts for parts, _ in self.bags.values()]),
                np.concatenate([counts for _, counts in self.bags.values()]),
            )
        return self._table

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        return {
            "closed": self.closed,
            "documents": list(self.bags),
            "sizes": [len(parts) for parts, _ in self.bags.values()],
            "parts": _packed([parts for parts, _ in self.bags.values()], "<u2"),
            "counts": _packed([counts for _, counts in self.bags.values()], "<f4"),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> DocumentLanguage:
        """What `to_state` was asked of."""
        parts = np.frombuffer(base64.b64decode(state["parts"]), "<u2")
        counts = np.frombuffer(base64.b64decode(state["counts"]), "<f4")
        ends = np.cumsum(state["sizes"], dtype=np.int64).tolist()
        places = zip(state["documents"], [0, *ends][:-1], ends, strict=True)
        bags = {id: (parts[begin:end], counts[begin:end]) for id, begin, end in places}
        # Searches need the table, and all bags are one below the other here.
        table = _table_of(state["documents"], state["sizes"], parts, counts) if bags else None
        return cls(bags, state["closed"], table)


NO_LANGUAGE = DocumentLanguage()
"""Before any document was met; not to be learned into."""


@lru_cache(maxsize=4_096)
def parts_of(text: str) -> Parts:
    """The buckets of a text's words and of the trigrams of its letters, word boundaries among them, each once."""
    own = words(text)
    joined = f" {' '.join(own)} "
    parts = {*own, *(joined[i : i + 3] for i in range(len(joined) - 2))} if own else set()
    buckets: Parts = np.array(sorted({crc32(part.encode()) % BUCKETS for part in parts}), np.uint16)
    return buckets


def _table_of(ids: Sequence[str], sizes: Sequence[int], parts: Parts, counts: Floats) -> _Table:
    owners = np.arange(len(ids)).repeat(sizes)
    totals: Doubles = np.bincount(owners, counts, len(ids)).astype(np.float64)
    return _Table(dict(zip(ids, range(len(ids)), strict=True)), parts, counts, owners, totals, float(totals.sum()))


def _packed(arrays: Sequence[npt.NDArray[Any]], dtype: str) -> str:
    # As text, as snapshots are exported as JSON too.
    joined = np.concatenate(arrays) if arrays else np.zeros(0)
    return base64.b64encode(joined.astype(dtype).tobytes()).decode()

"""Records and popularity of many documents, fetched in one batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from honeyguide.documents import DAY_S
from honeyguide_memory.batch import Batch, as_is
from honeyguide_memory.layout import Layout
from honeyguide_memory.mass import HalfLives, Masses, masses
from honeyguide_memory.records import Record, unpack_record


class Shelf:
    """What is kept of a set of documents, as of a time. Documents that are not in the catalogue are not here."""

    def __init__(self, records: Mapping[bytes, Record], popularity: Masses, lives: HalfLives) -> None:
        self.records = records
        self._rows = {document: i for i, document in enumerate(popularity.targets)}
        short, long = np.maximum(popularity.short, 0.0), np.maximum(popularity.long, 0.0)
        short_rate, long_rate = (
            mass * (math.log(2) * DAY_S / half_life_s)
            for mass, half_life_s in ((short, lives.short_s), (long, lives.long_s))
        )
        self._actions: list[float] = long.tolist()
        self._last_s: list[float] = popularity.last_s.tolist()
        self._trends: list[float] = np.log((short_rate + 1.0) / (long_rate + 1.0)).tolist()

    def actions(self, document: bytes) -> float:
        """Decayed net actions on a document, in the long run."""
        row = self._rows.get(document)
        return 0.0 if row is None else self._actions[row]

    def last_s(self, document: bytes) -> float:
        """Time of its newest action, minus infinity = never."""
        row = self._rows.get(document)
        return -math.inf if row is None else self._last_s[row]

    def trend(self, document: bytes) -> float:
        """Logarithm of today's actions a day over those of the long run, one added to both; 0 = as ever."""
        row = self._rows.get(document)
        return 0.0 if row is None else self._trends[row]


class AskedShelf:
    """Documents that a batch asks for; what is kept of them is there once it has run."""

    def __init__(self, batch: Batch, documents: Iterable[bytes], layout: Layout) -> None:
        by_tag: dict[bytes, list[bytes]] = {}
        for document in documents:
            by_tag.setdefault(layout.document_tag(document), []).append(document)
        self._asked = [
            (
                ids,
                batch.ask(("HMGET", tag + b"r", *ids), as_is),
                batch.ask(("HMGET", tag + b"p", *ids), as_is),
            )
            for tag, ids in by_tag.items()
        ]

    def read(self, now_s: float, lives: HalfLives) -> Shelf:
        """What is kept of them as of a time.

        Raises:
            RuntimeError: the batch has not run.
        """
        records: dict[bytes, Record] = {}
        popularity: list[bytes] = []
        for ids, packed, mass in self._asked:
            records.update((id, unpack_record(each)) for id, each in zip(ids, packed.value, strict=True) if each)
            for id, each in zip(ids, mass.value, strict=True):
                if each:
                    popularity += (id, each)
        return Shelf(records, masses(popularity, now_s, lives), lives)

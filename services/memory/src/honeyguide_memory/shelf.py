"""Records and popularity of many documents, fetched in one batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from honeyguide.documents import DAY_S
from honeyguide_memory.batch import Batch
from honeyguide_memory.layout import Layout
from honeyguide_memory.mass import HalfLives, Masses, masses
from honeyguide_memory.records import Record, unpack_record


class Shelf:
    """What is kept of a set of documents, as of a time. Documents that are not in the catalogue are not here."""

    def __init__(self, records: Mapping[bytes, Record], popularity: Masses, lives: HalfLives) -> None:
        self.records = records
        self._popularity = popularity
        self._lives = lives
        self._rows = {document: i for i, document in enumerate(popularity.targets)}

    def actions(self, document: bytes) -> float:
        """Decayed net actions on a document, in the long run."""
        row = self._rows.get(document)
        return 0.0 if row is None else max(0.0, float(self._popularity.long[row]))

    def last_s(self, document: bytes) -> float | None:
        """Time of its newest action, None = never."""
        row = self._rows.get(document)
        return None if row is None else float(self._popularity.last_s[row])

    def trend(self, document: bytes) -> float:
        """Logarithm of today's actions a day over those of the long run, one added to both; 0 = as ever."""
        row = self._rows.get(document)
        if row is None:
            return 0.0
        short_rate = max(0.0, float(self._popularity.short[row])) * math.log(2) * DAY_S / self._lives.short_s
        long_rate = max(0.0, float(self._popularity.long[row])) * math.log(2) * DAY_S / self._lives.long_s
        return math.log((short_rate + 1.0) / (long_rate + 1.0))


async def fetch_shelf(
    batch: Batch, documents: Iterable[bytes], layout: Layout, now_s: float, lives: HalfLives
) -> Shelf:
    """Fetches in one round trip."""
    by_tag: dict[bytes, list[bytes]] = {}
    for document in documents:
        by_tag.setdefault(layout.document_tag(document), []).append(document)
    asked = [
        (
            ids,
            batch.ask(("HMGET", tag + b"r", *ids), list[bytes | None]),
            batch.ask(("HMGET", tag + b"p", *ids), list[bytes | None]),
        )
        for tag, ids in by_tag.items()
    ]
    await batch.run()
    records: dict[bytes, Record] = {}
    popularity: list[bytes] = []
    for ids, packed, mass in asked:
        records.update((id, unpack_record(each)) for id, each in zip(ids, packed.value, strict=True) if each)
        for id, each in zip(ids, mass.value, strict=True):
            if each:
                popularity += (id, each)
    return Shelf(records, masses(popularity, now_s, lives), lives)

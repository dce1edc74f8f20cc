"""The lists of documents by popularity and by age, spread over partitions: asking for the first of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import neg

from honeyguide.documents import Filter
from honeyguide_memory.batch import Batch, Pending, as_is
from honeyguide_memory.layout import Layout

TYPES_ASKED_MAX = 4
FETCH_MAX = 1_000
CONDITION_OVERFETCH = 10
CATALOGUE_SCORE_MAX = 0.01

Entries = list[tuple[bytes, float]]


def wanted_with(depth: int, filter: Filter) -> int:
    """How many entries of a list to look at so that, most likely, `depth` of them pass the filter; at most 1,000."""
    count = depth * (CONDITION_OVERFETCH if filter.conditions else 1) + len(filter.excluded_ids)
    if len(filter.types) > TYPES_ASKED_MAX:
        count *= CONDITION_OVERFETCH
    return min(FETCH_MAX, count)


class ListReader:
    """Asks for the first entries of one kind of list, of all types or of those of a filter."""

    def __init__(self, layout: Layout, depth: int, filter: Filter) -> None:
        self.count = wanted_with(depth, filter)
        share = self.count / layout.partitions
        # Documents are spread by chance: three standard deviations more than a partition's share, and three.
        self._each = min(self.count, math.ceil(share + 3.0 * math.sqrt(share) + 3.0))
        typed = 1 <= len(filter.types) <= TYPES_ASKED_MAX
        self._suffixes = [f":{type}".encode() for type in sorted(filter.types)] if typed else [b""]
        self._tags = layout.tags("d")

    def ask(self, batch: Batch, name: bytes, until: float | None = None) -> Sequence[Pending[list[bytes]]]:
        """Asks for the highest entries, with scores of at most `until`."""
        pending = []
        for tag in self._tags:
            for suffix in self._suffixes:
                key = tag + name + suffix
                if until is None:
                    command = ("ZRANGE", key, 0, self._each - 1, "REV", "WITHSCORES")
                else:
                    command = (
                        "ZRANGE",
                        key,
                        repr(until),
                        "-inf",
                        "BYSCORE",
                        "REV",
                        "LIMIT",
                        0,
                        self._each,
                        "WITHSCORES",
                    )  # type: ignore[assignment]
                pending.append(batch.ask(command, as_is))
        return pending

    def merge(self, lists: Sequence[Pending[list[bytes]]]) -> Entries:
        """The first `count` of all partitions, highest first, ties by id."""
        entries: list[tuple[float, bytes]] = []
        for pending in lists:
            found = pending.value
            entries.extend(zip(map(neg, map(float, found[1::2])), found[::2], strict=True))
        entries.sort()
        return [(document, -negative) for negative, document in entries[: self.count]]


def trending(acted: Entries, catalogue: Entries, now_s: float, half_life_s: float) -> Entries:
    """Documents by decayed actions; those without any, and ties, by the catalogue's own popularity.

    `acted` scores are log2(mass) + time / half-life. The catalogue's popularity adds at most 0.01 actions.
    """
    scores: dict[bytes, float] = {}
    for document, logged in acted:
        scores[document] = 2.0 ** min(60.0, logged - now_s / half_life_s)
    top = max((popularity for _, popularity in catalogue), default=0.0)
    for document, popularity in catalogue:
        scores[document] = scores.get(document, 0.0) + CATALOGUE_SCORE_MAX * popularity / top
    return sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))


def newest(dated: Entries, undated: Entries) -> Entries:
    """Documents with a date of their own and others, each newest first, in turns; scored 1 / rank."""
    turns: list[bytes] = []
    for i in range(max(len(dated), len(undated))):
        turns.extend(entries[i][0] for entries in (dated, undated) if i < len(entries))
    return [(document, 1.0 / rank) for rank, document in enumerate(turns, 1)]

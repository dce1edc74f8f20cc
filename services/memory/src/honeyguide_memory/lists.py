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
DEEPER = 10
LOOKED_UP_MAX = 2_000
"""Entries of a list, beside those of excluded documents, that are looked at before fewer than wanted are answered."""

CATALOGUE_SCORE_MAX = 0.01
LOG2_MAX = 60.0
"""Of the decayed actions that are told."""

Entries = list[tuple[bytes, float]]


class ListReader:
    """Asks for the first entries of one kind of list, of all types or of those of a filter.

    At first for so many (at most 1,000) that, most likely, `depth` of them pass the filter; ten times as many each time
    it goes deeper.
    """

    def __init__(self, layout: Layout, depth: int, filter: Filter) -> None:
        typed = 1 <= len(filter.types) <= TYPES_ASKED_MAX
        self._suffixes = [f":{type}".encode() for type in sorted(filter.types)] if typed else [b""]
        self._tags = layout.tags("d")
        self._excluded = {id.encode() for id in filter.excluded_ids}
        conditional = filter.conditions or filter.excluded_conditions
        count = depth * (CONDITION_OVERFETCH if conditional else 1) + len(self._excluded)
        if len(filter.types) > TYPES_ASKED_MAX:
            count *= CONDITION_OVERFETCH
        self._go_to(min(FETCH_MAX, count))

    def deepen(self) -> bool:
        """Goes deeper from the next question on; False if nothing was left out, or nothing more is to be looked at."""
        count_max = LOOKED_UP_MAX + len(self._excluded)
        if not self._left_out or self._count == count_max:
            return False
        self._go_to(min(DEEPER * self._count, count_max))
        return True

    def _go_to(self, count: int) -> None:
        self._count = count
        self._left_out = False
        share = count / len(self._tags)
        # Documents are spread by chance: three standard deviations more than a partition's share, and three.
        self._each = min(count, math.ceil(share + 3.0 * math.sqrt(share) + 3.0))

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
        """The first of all partitions, highest first, ties by id, without excluded documents."""
        entries: list[tuple[float, bytes]] = []
        for pending in lists:
            found = pending.value
            self._left_out = self._left_out or len(found) == 2 * self._each
            entries.extend(zip(map(neg, map(float, found[1::2])), found[::2], strict=True))
        entries.sort()
        self._left_out = self._left_out or len(entries) > self._count
        first = entries[: self._count]
        return [(document, -negative) for negative, document in first if document not in self._excluded]

    def to_look_up(self, entries: Entries) -> Entries:
        """The first of what was made of merged lists: as many as most likely are enough."""
        enough = with_reserve(min(self._count, LOOKED_UP_MAX))
        self._left_out = self._left_out or len(entries) > enough
        return entries[:enough]


def with_reserve(wanted: int) -> int:
    """How many documents to look up so that as many as are wanted are most likely still there."""
    return wanted + wanted // 4 + 8


def trending(acted: Entries, catalogue: Entries, now_s: float, half_life_s: float) -> Entries:
    """Documents by decayed actions; those without any, and ties, by the catalogue's own popularity.

    `acted` scores are log2(mass) + time / half-life. The catalogue's popularity adds at most 0.01 actions. As of a time
    long before the actions all scores are scaled to the largest that is told.
    """
    scores: dict[bytes, float] = {}
    beyond = max(0.0, max((logged for _, logged in acted), default=0.0) - now_s / half_life_s - LOG2_MAX)
    for document, logged in acted:
        scores[document] = 2.0 ** (logged - now_s / half_life_s - beyond)
    top = max((popularity for _, popularity in catalogue), default=0.0)
    for document, popularity in catalogue:
        scores[document] = scores.get(document, 0.0) + CATALOGUE_SCORE_MAX * popularity / top
    return sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))


def newest(dated: Entries, undated: Entries) -> Entries:
    """Documents with a date of their own and others, each newest first, in turns; scored 1 / rank.

    One that is among both, as versions before let it be, comes once.
    """
    turns: dict[bytes, None] = {}
    for i in range(max(len(dated), len(undated))):
        turns.update((entries[i][0], None) for entries in (dated, undated) if i < len(entries))
    return [(document, 1.0 / rank) for rank, document in enumerate(turns, 1)]

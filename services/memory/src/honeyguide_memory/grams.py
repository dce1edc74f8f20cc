"""How alike two queries are: by shared words and shared character trigrams, so that misspellings still match."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from honeyguide_memory.layout import GRAM_SLOTS, HASH_BYTES

GRAMS_MAX = 64
WORDS_MAX = 16

_POSTING = np.dtype([("query", "<u8"), ("size", "u1")])


def gram_slots(words: Sequence[str]) -> list[int]:
    """Slots of the near index that a query is found under, ascending: of its words whole, and of their trigrams.

    Words are padded by a mark at both ends ("^at$" gives "^at" and "at$"); their order does not matter. Trigrams are
    shared by queries of the same numbers only: another number is another thing, however alike the words ("toy story 2",
    "films before 1990"). At most 64, whole words before trigrams.
    """
    grams: dict[str, None] = {}
    numbers = " ".join(sorted(word for word in words if any(map(str.isdigit, word))))
    for word in words[:WORDS_MAX]:
        grams[f"={word[:64]}"] = None
    for word in words:
        padded = f"^{word}$"
        for i in range(len(padded) - 2):
            grams[numbers + padded[i : i + 3]] = None
        if len(grams) >= GRAMS_MAX:
            break
    chosen = list(grams)[:GRAMS_MAX]
    return sorted({crc32(gram.encode()) % GRAM_SLOTS for gram in chosen})


def posting(query: bytes, slot_count: int) -> bytes:
    """What stands for a query under each of its grams: its id and the number of its grams."""
    return query + bytes([slot_count])


def nearest(
    postings: Sequence[bytes], own: bytes, slot_count: int, similarity_min: float, limit: int
) -> list[tuple[bytes, float]]:
    """Other queries by similarity, most similar first: 2 |A and B| / (|A| + |B|) over grams (Dice's coefficient).

    `postings` are those found under each of the query's `slot_count` grams, joined.
    """
    rows = np.frombuffer(b"".join(postings), _POSTING)
    if not len(rows):
        return []
    queries = np.ascontiguousarray(rows["query"])
    order = queries.argsort()
    ascending = queries[order]
    first = np.flatnonzero(np.concatenate(([True], ascending[1:] != ascending[:-1])))
    keys, shared, sizes = ascending[first], np.diff(first, append=len(rows)), rows["size"][order[first]]
    similarity = 2.0 * shared / (slot_count + sizes.astype(np.float64))
    similarity[keys == int.from_bytes(own, "little")] = 0.0
    # Equal similarities in the order of ids, so that a replay finds the same.
    best = np.lexsort((keys, -similarity))[:limit]
    return [
        (key.to_bytes(HASH_BYTES, "little"), min(1.0, alike))
        for key, alike in zip(keys[best].tolist(), similarity[best].tolist(), strict=True)
        if alike >= similarity_min and alike > 0
    ]

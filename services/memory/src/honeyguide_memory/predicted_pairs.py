"""Predicted pairs as Redis keeps them: of each query the few documents that it was most surely predicted for.

A pair is stale once its document is deleted, or is predicted for other queries than before. Which queries have such
pairs is not kept: they are ignored when read, and leave once they are in the way of others.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from honeyguide.redis_store import RedisStore
from honeyguide.redis_transport import Command
from honeyguide_memory.layout import Layout
from honeyguide_memory.records import stamp_of
from honeyguide_memory.store import PREDICT

_KEPT = struct.Struct("<HHH")
# Bucket, query, score, stamp, length of the document's id; see lua/predict.lua.
_SENT = struct.Struct("<H8sHHH")


class PredictedPair(NamedTuple):
    """A predicted pair: the document, its score (0 to 65,535) and the stamp of the document's version."""

    document: bytes
    score: int
    stamp: int


def kept_pairs(packed: bytes | None) -> list[PredictedPair]:
    """Reads what is kept of a query."""
    pairs: list[PredictedPair] = []
    at = 0
    while packed and at < len(packed):
        score, stamp, length = _KEPT.unpack_from(packed, at)
        at += _KEPT.size
        pairs.append(PredictedPair(packed[at : at + length], score, stamp))
        at += length
    return pairs


class PredictedPairs:
    """Adds pairs to queries that each keep the `per_query_max` surest, in buckets of at most `bucket_bytes`."""

    def __init__(self, store: RedisStore, layout: Layout, bucket_bytes: int, per_query_max: int) -> None:
        self._store, self._layout = store, layout
        self._bounds = bucket_bytes, per_query_max

    def adding(self, pairs: Iterable[tuple[bytes, PredictedPair]]) -> list[Command]:
        """Commands that add pairs, each with the id of its query. What they answer is for `make_room`."""
        return self._commands(pairs, ())

    async def make_room(self, replies: Sequence[Sequence[bytes]]) -> None:
        """Lets pairs that found no room take that of stale ones.

        A round trip if pairs found none, and another if there are stale ones in their way.
        """
        left_out = [sent for packed, *_ in replies for sent in _sent_pairs(packed)]
        if not left_out:
            return
        in_the_way = [
            (query, pair)
            for _, *full in replies
            for query, packed in zip(full[::2], full[1::2], strict=True)
            for pair in kept_pairs(packed)
        ]
        stamps = await self._stamps({pair.document for _, pair in (*left_out, *in_the_way)})
        stale = [(query, pair) for query, pair in in_the_way if stamps.get(pair.document) != pair.stamp]
        queries = {query for query, _ in stale}
        again = [sent for sent in left_out if sent[0] in queries and stamps.get(sent[1].document) == sent[1].stamp]
        await self._store.run(self._commands(again, stale))

    def _commands(
        self, added: Iterable[tuple[bytes, PredictedPair]], stale: Iterable[tuple[bytes, PredictedPair]]
    ) -> list[Command]:
        leaving = self._packed(stale)
        return [
            PREDICT.on([tag], *self._bounds, packed, leaving.get(tag, b""))
            for tag, packed in self._packed(added).items()
        ]

    def _packed(self, pairs: Iterable[tuple[bytes, PredictedPair]]) -> Mapping[bytes, bytes]:
        layout = self._layout
        by_tag: dict[bytes, list[bytes]] = {}
        for query, (document, score, stamp) in pairs:
            packed = _SENT.pack(layout.bucket(query), query, score, stamp, len(document))
            by_tag.setdefault(layout.owner_tag(query), []).append(packed + document)
        return {tag: b"".join(packed) for tag, packed in by_tag.items()}

    async def _stamps(self, documents: Iterable[bytes]) -> dict[bytes, int]:
        """The stamps of those of the documents that there are."""
        by_tag: dict[bytes, list[bytes]] = {}
        for document in documents:
            by_tag.setdefault(self._layout.document_tag(document), []).append(document)
        replies = await self._store.run([("HMGET", tag + b"r", *ids) for tag, ids in by_tag.items()])
        return {
            document: stamp_of(record)
            for ids, records in zip(by_tag.values(), replies, strict=True)
            for document, record in zip(ids, records, strict=True)
            if record
        }


def _sent_pairs(packed: bytes) -> list[tuple[bytes, PredictedPair]]:
    pairs: list[tuple[bytes, PredictedPair]] = []
    at = 0
    while at < len(packed):
        _, query, score, stamp, length = _SENT.unpack_from(packed, at)
        at += _SENT.size
        pairs.append((query, PredictedPair(packed[at : at + length], score, stamp)))
        at += length
    return pairs

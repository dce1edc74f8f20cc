"""Taking the catalogue in: a record, predicted queries and places in the lists for every document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.documents import Document
from honeyguide.redis_store import RedisStore
from honeyguide.retriever import DocumentError, IndexStats
from honeyguide_memory.budget import Budget
from honeyguide_memory.layout import Layout
from honeyguide_memory.predict import predict
from honeyguide_memory.predicted_pairs import PredictedPair, PredictedPairs
from honeyguide_memory.records import pack_record
from honeyguide_memory.settings import MemorySettings
from honeyguide_memory.store import DELETE, UPSERT


class MemoryIndex:
    """Implements `honeyguide.retriever.Index` on Redis, whose persistence is what makes it durable."""

    def __init__(self, store: RedisStore, layout: Layout, settings: MemorySettings, clock: Callable[[], float]) -> None:
        self._store = store
        self._layout = layout
        self._settings = settings
        self._budget = Budget(settings)
        self._predicted = PredictedPairs(store, layout, self._budget.bucket_bytes, settings.predicted_per_query_max)
        self._clock = clock

    async def configure(self, configuration: indexing_pb2.CatalogConfiguration) -> None:
        """Stores the configuration for all replicas. Predictions of documents indexed before stay as they are."""
        await self._store.run([("SET", self._layout.catalogue_key, configuration.SerializeToString())])

    async def upsert(self, documents: Sequence[Document]) -> Sequence[DocumentError]:
        """Inserts or replaces documents."""
        if not documents:
            return ()
        (stored,) = await self._store.run([("GET", self._layout.catalogue_key)])
        configuration = indexing_pb2.CatalogConfiguration.FromString(stored or b"")
        aliases = {attribute.name for attribute in configuration.attributes if attribute.alias}
        texts = {
            attribute.name
            for attribute in configuration.attributes
            if attribute.kind == indexing_pb2.ATTRIBUTE_KIND_TEXT
        }
        layout, settings, now_s = self._layout, self._settings, self._clock()
        upserts: dict[bytes, list[Any]] = {}
        predicted: list[tuple[bytes, PredictedPair]] = []
        for document in documents:
            predictions = predict(document, aliases, texts, settings.predicted_per_document_max)
            id = document.id.encode()
            created = "" if document.created_at_s is None else repr(document.created_at_s)
            upserts.setdefault(layout.document_tag(id), []).extend(
                (id, pack_record(document, predictions.stamp), repr(document.popularity), created, repr(now_s))
            )
            predicted += [(pair.query, PredictedPair(id, pair.score, predictions.stamp)) for pair in predictions.pairs]
        listed_max = -(-settings.listed_max // settings.partitions)
        commands = [UPSERT.on([tag], listed_max, *arguments) for tag, arguments in upserts.items()]
        # After the records: whoever finds a pair finds its document's present stamp.
        replies = await self._store.run([*commands, *self._predicted.adding(predicted)])
        await self._predicted.make_room(replies[len(commands) :])
        return ()

    async def delete(self, document_ids: Sequence[str]) -> int:
        """Removes documents from records and lists; pairs that name them are left out of answers, and make room."""
        by_tag: dict[bytes, list[bytes]] = {}
        for document_id in document_ids:
            id = document_id.encode()
            by_tag.setdefault(self._layout.document_tag(id), []).append(id)
        return sum(await self._store.run([DELETE.on([tag], *ids) for tag, ids in by_tag.items()]))

    async def stats(self) -> IndexStats:
        """Documents by type, Redis's memory, and estimated bytes by kind of what is learned."""
        counts = await self._store.run([("HGETALL", tag + b"n") for tag in self._layout.tags("d")])
        learned = await self._store.run([("HGETALL", tag + b"b") for tag in self._layout.tags("a")])
        owners = await self._store.run(
            [("ZCARD", tag + b"z" + kind.encode()) for tag in self._layout.tags("a") for kind in self._budget.kinds]
        )
        by_type: dict[str, int] = {}
        for reply in counts:
            for type, count in zip(reply[::2], reply[1::2], strict=True):
                if int(count):
                    by_type[type.decode()] = by_type.get(type.decode(), 0) + int(count)
        figures: dict[str, float] = {}
        for reply in learned:
            for kind, size in zip(reply[::2], reply[1::2], strict=True):
                name = f"{self._budget.kinds[kind.decode()]}_bytes"
                figures[name] = figures.get(name, 0.0) + float(size)
        names = [*self._budget.kinds.values()] * self._layout.partitions
        for name, count in zip(names, owners, strict=True):
            figures[name] = figures.get(name, 0.0) + float(count)
        return IndexStats(by_type, await self._store.size_bytes(), figures)

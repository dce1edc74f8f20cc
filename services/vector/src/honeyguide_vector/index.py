"""Takes the catalogue in: encodes what is embedded, journals it, and enters it into the collection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import structlog

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.documents import Document
from honeyguide.folder import lock_folder, size_bytes
from honeyguide.journal import Change, Journal
from honeyguide.retriever import DocumentError, IndexStats
from honeyguide_vector.collection import Collection
from honeyguide_vector.embedded_text import EmbeddingRules, rules_from_proto
from honeyguide_vector.embedding_cache import KEY_BYTES, EmbeddingCache, key_of
from honeyguide_vector.encoder import Encoder, Vectors, unit
from honeyguide_vector.graph import GraphShape
from honeyguide_vector.record import Record, Source, record_from_bytes, source_of
from honeyguide_vector.saved_graph import Saved, load_graph, save_graph
from honeyguide_vector.segmented_graph import SegmentedGraph

log = structlog.get_logger("honeyguide.vector.index")

BATCH = 256
NO_KEY = bytes(KEY_BYTES)
_CONFIGURATION = "configuration"
_ALIGNED = "aligned"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """How the graph is built (see `GraphShape`), searched (`ef_search`) and saved (at most every `save_interval_s`)."""

    m: int
    ef_construction: int
    segment_rows: int
    ef_search: int
    threads: int
    save_interval_s: float


class VectorIndex:
    """The vector service's `honeyguide.replication_servicers.ReplicatedIndex`.

    One thread makes all changes. A change is in the journal before it is seen or acknowledged, and its embedding with
    it, so that nothing acknowledged is lost or encoded again whenever the process ends. A copy is never brought in line
    with configuration and encoder: the index that it copies is, and tells of every document that changes by it.
    """

    def __init__(
        self, folder: Path, encoder: Encoder, cache: EmbeddingCache, settings: GraphSettings, is_copy: bool = False
    ) -> None:
        self._is_copy = is_copy
        self._folder = folder
        self._encoder = encoder
        self._cache = cache
        self._settings = settings
        shape = GraphShape(encoder.dimension, settings.m, settings.ef_construction, settings.segment_rows)
        self._graph = SegmentedGraph(shape, settings.ef_search, settings.threads)
        self.collection = Collection(self._graph)
        self._rules = EmbeddingRules()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._saving: asyncio.Task[None] | None = None
        self._saved_sequence = 0
        self._entered_sequence: int | None = None
        self._encoded = 0
        self._journal: Journal
        self._lock: IO[str]

    async def open(self) -> None:
        """Reads what is held, brings it in line with configuration and encoder, and starts saving from time to time.

        Raises:
            FailedPrecondition: another process holds the folder.
        """
        await self._on_thread(self._open)
        self._saving = asyncio.create_task(self._save_sometimes())

    async def close(self) -> None:
        """Saves and closes."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.gather(self._saving, return_exceptions=True)
        await self._on_thread(self._close)
        self._thread.shutdown()

    async def configure(self, configuration: indexing_pb2.CatalogConfiguration) -> None:
        """Replaces the catalogue's configuration; encodes what is embedded now, or otherwise, and was not before."""
        await self._on_thread(lambda: self._configure(configuration))

    async def upsert(self, documents: Sequence[Document]) -> Sequence[DocumentError]:
        """Inserts or replaces documents; found on return. Those with an embedding of a wrong size are not taken."""
        return await self._on_thread(lambda: self._upsert(documents))

    async def delete(self, document_ids: Sequence[str]) -> int:
        """Removes documents; returns how many there were."""
        return await self._on_thread(lambda: self._delete(document_ids))

    async def copy(
        self, journal_id: str, beginnings: Mapping[str, int], changes: Sequence[Change], newest: int
    ) -> None:
        """See `honeyguide.replication_servicers.ReplicatedIndex`; found on return."""
        await self._on_thread(lambda: self._copy(journal_id, beginnings, changes, newest))

    async def applied(self) -> None:
        """See `honeyguide.replication_servicers.ReplicatedIndex`."""

    @property
    def journal(self) -> Journal:
        """What the collection is made from."""
        return self._journal

    @property
    def configuration(self) -> indexing_pb2.CatalogConfiguration:
        """The catalogue's configuration as it was set last."""
        return indexing_pb2.CatalogConfiguration.FromString(self._journal.setting(_CONFIGURATION) or b"")

    async def stats(self) -> IndexStats:
        """The documents with an embedding; others are in the journal only and are not counted."""
        return await asyncio.to_thread(self._stats)

    async def save(self) -> None:
        """Saves the graph if it changed."""
        await self._on_thread(self._save)

    async def _on_thread(self, work: Callable[[], T]) -> T:
        # A caller that goes away must not leave half of a change: what was begun is finished.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))

    async def _save_sometimes(self) -> None:
        while True:
            await asyncio.sleep(self._settings.save_interval_s)
            try:
                await self.save()
            except Exception as error:  # a full disk now may not be full next time; the journal has everything
                log.error("graph not saved", error=str(error))

    # ------------------------------------------------------------------------------- all below is on the index's thread

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(self._folder)
        try:
            self._journal = Journal(self._folder / "journal.sqlite")
            self._restore()
            self._align()
        except BaseException:
            self._lock.close()
            raise

    def _restore(self) -> None:
        saved = load_graph(self._folder, self._graph, self._journal.sequence)
        if saved is not None:
            self.collection.restore(saved.held)
            self._saved_sequence = saved.sequence
        restored = len(self.collection)
        self._enter_since(self._saved_sequence)
        self._rules = rules_from_proto(self.configuration)
        log.info("opened", documents=len(self.collection), restored=restored, sequence=self._journal.sequence)

    def _enter_since(self, sequence: int) -> None:
        """Enters what the journal has after a number."""
        unusable = False
        for changes in _batches(self._journal.since(sequence)):
            documents = {change.document_id: _embedded_document(change) for change in changes}
            unusable |= any(document is not None and document.embedding is None for document in documents.values())
            # Those of another encoder are encoded anew when the index is brought in line.
            fitting = {id: document for id, document in documents.items() if document and self._fits(document)}
            self.collection.remove(id for id in documents if id not in fitting)
            self.collection.put(list(fitting.values()))
        if unusable:  # and so are these
            self._journal.store_setting(_ALIGNED, b"")

    def _enter_what_failed(self) -> None:
        if self._entered_sequence is not None:
            self._enter_since(self._entered_sequence)
            self._entered_sequence = None

    @contextmanager
    def _entering(self) -> Iterator[None]:
        """For changes: of one that fails half-way (no memory, say) the journal has the rest, which is entered before
        the next."""
        self._enter_what_failed()
        sequence = self._journal.sequence
        try:
            yield
        except BaseException:
            if self._journal.sequence > sequence:
                self._entered_sequence = sequence
            raise

    def _fits(self, document: Document) -> bool:
        return document.embedding is not None and len(document.embedding) == self._encoder.dimension

    def _close(self) -> None:
        try:
            self._save()
        except Exception as error:  # the journal has everything: the next start takes longer, that is all
            log.error("graph not saved", error=str(error))
        self._journal.close()
        self._lock.close()

    def _save(self) -> None:
        sequence = self._journal.sequence
        if sequence == self._saved_sequence:
            return
        self._enter_what_failed()
        save_graph(self._folder, self._graph, Saved(sequence, self.collection.held()))
        self._saved_sequence = sequence

    def _configure(self, configuration: indexing_pb2.CatalogConfiguration) -> None:
        self._journal.store_setting(_CONFIGURATION, configuration.SerializeToString(deterministic=True))
        self._rules = rules_from_proto(configuration)
        self._align()

    def _align(self) -> None:
        """Brings what is held in line with rules and encoder. What was left half done is done at the next open."""
        wanted = b"" if self._is_copy else f"{self._rules.digest} {self._encoder.identity}".encode()
        if self._journal.setting(_ALIGNED) == wanted:
            return
        if self._is_copy:  # whoever goes on with it looks at all of it
            self._journal.store_setting(_ALIGNED, wanted)
            return
        changed, newest = 0, self._journal.sequence
        # Documents rewritten here come again with a new number.
        for changes in _batches(takewhile(lambda change: change.sequence <= newest, self._journal.since(0))):
            records = [record_from_bytes(change.payload) for change in changes if change.payload is not None]
            records = [record for record in records if not self._is_aligned(record)]
            if records:
                changed += len(records)
                self._store([_as_supplied(record, self._encoder.dimension) for record in records])
        self._journal.store_setting(_ALIGNED, wanted)
        if changed:
            log.info("brought in line", documents=changed)

    def _is_aligned(self, record: Record) -> bool:
        document = record.document
        if not self._rules.embeds(document.type):
            return record.source is Source.NONE
        if document.embedding is not None and record.source is not Source.ENCODED:
            return record.source is Source.SUPPLIED and len(document.embedding) == self._encoder.dimension
        text = self._rules.text_of(document)
        if not text:
            return record.source is Source.NONE
        encoded = record.source is Source.ENCODED and document.embedding is not None
        return encoded and record.key == key_of(self._encoder.identity, text)

    def _upsert(self, documents: Sequence[Document]) -> list[DocumentError]:
        errors = []
        taken: dict[str, Document] = {}
        for i, document in enumerate(documents):
            size = self._encoder.dimension if document.embedding is None else len(document.embedding)
            if size != self._encoder.dimension:
                wrong = f"has {size:,} numbers; the encoder's embeddings have {self._encoder.dimension:,}"
                errors.append(DocumentError(i, document.id, "embedding", wrong))
            else:
                taken.pop(document.id, None)  # the last of several wins, in its own place
                taken[document.id] = document
        self._store(list(taken.values()))
        return errors

    def _store(self, documents: Sequence[Document]) -> None:
        """Journals documents with distinct ids, then enters them; those with an embedding bring it themselves."""
        records = self._records(documents)
        with self._entering():
            self._journal.write((record.document.id, record.to_bytes()) for record in records)
            self.collection.remove(r.document.id for r in records if r.source is Source.NONE)
            self.collection.put([r.document for r in records if r.source is not Source.NONE])

    def _records(self, documents: Sequence[Document]) -> list[Record]:
        records: list[Record] = []
        texts: dict[bytes, str] = {}
        for document in documents:
            embedded = self._rules.embeds(document.type)
            text = self._rules.text_of(document) if embedded and document.embedding is None else ""
            if document.embedding is not None:
                source = Source.SUPPLIED if embedded else Source.NONE
                records.append(Record(source, NO_KEY, replace(document, embedding=unit(document.embedding))))
            elif text:
                key = key_of(self._encoder.identity, text)
                texts[key] = text
                records.append(Record(Source.ENCODED, key, document))
            else:
                records.append(Record(Source.NONE, NO_KEY, document))
        if not texts:
            return records
        vectors = self._vectors(texts, [r.document.id for r in records if r.source is Source.ENCODED])
        return [_encoded(record, vectors) if record.source is Source.ENCODED else record for record in records]

    def _vectors(self, texts: dict[bytes, str], document_ids: Sequence[str]) -> dict[bytes, Vectors]:
        """Embeddings of texts by key: from the cache, from what the journal has of these documents, or encoded.

        Texts of which the encoder makes zeros, or what is no number, have none.
        """
        vectors = self._cache.fetch(list(texts))
        if len(vectors) < len(texts):
            for payload in self._journal.fetch([id for id in document_ids if id in self.collection]).values():
                record = record_from_bytes(payload)
                if record.key in texts and record.document.embedding is not None:
                    vectors[record.key] = record.document.embedding
        missing = [key for key in texts if key not in vectors]
        if missing:
            encoded = self._encoder.encode([texts[key] for key in missing])
            self._encoded += len(missing)
            usable = np.isfinite(encoded).all(axis=1) & encoded.any(axis=1)
            made = {missing[i]: encoded[i] for i in np.flatnonzero(usable).tolist()}
            self._cache.store(made)
            vectors.update(made)
        return vectors

    def _copy(self, journal_id: str, beginnings: Mapping[str, int], changes: Sequence[Change], newest: int) -> None:
        with self._entering():
            before = self._journal.sequence
            self._journal.copy(journal_id, beginnings, changes, newest)
            self._enter_since(before)

    def _delete(self, document_ids: Sequence[str]) -> int:
        there = self._journal.fetch(list(dict.fromkeys(document_ids)))
        with self._entering():
            self._journal.write((id, None) for id in there)
            self.collection.remove(there)
        return len(there)

    def _stats(self) -> IndexStats:
        return IndexStats(
            documents_by_type=self.collection.documents_by_type(),
            size_bytes=size_bytes(self._folder),
            figures={
                "memory_bytes": float(self.collection.memory_bytes),
                "dimension": float(self._encoder.dimension),
                "texts_encoded": float(self._encoded),
                "embeddings_cached": float(len(self._cache)),
                "sequence": float(self._journal.sequence),
                "saved_sequence": float(self._saved_sequence),
            },
        )


def _embedded_document(change: Change) -> Document | None:
    """The document as it was journalled; None if it is deleted or was to have no embedding."""
    if change.payload is None or source_of(change.payload) is Source.NONE:
        return None
    return record_from_bytes(change.payload).document


def _encoded(record: Record, vectors: Mapping[bytes, Vectors]) -> Record:
    """The record with its embedding, or as one that has none."""
    vector = vectors.get(record.key)
    if vector is None:
        log.warning("the encoder makes nothing usable of a document", document=record.document.id)
        return Record(Source.NONE, NO_KEY, record.document)
    return replace(record, document=replace(record.document, embedding=vector))


def _as_supplied(record: Record, dimension: int) -> Document:
    """The document as it would be sent: with an embedding only if it came with one that fits."""
    document = record.document
    if document.embedding is None or (record.source is not Source.ENCODED and len(document.embedding) == dimension):
        return document
    if record.source is not Source.ENCODED:
        log.warning("supplied embedding has another size than the encoder's and is replaced", document=document.id)
    return replace(document, embedding=None)


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch

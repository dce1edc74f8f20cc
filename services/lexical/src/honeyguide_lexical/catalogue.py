"""The catalogue as it is taken in: durable at once, searchable within the commit interval."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.documents import Document, document_to_proto
from honeyguide.errors import Unavailable
from honeyguide.journal import Change, Journal
from honeyguide.retriever import DocumentError, IndexStats
from honeyguide_lexical.store import Store, read_changes

log = structlog.get_logger("honeyguide.lexical")
T = TypeVar("T")

COMMIT_DOCUMENTS, COMMIT_BYTES = 2_000, 32 * 2**20
"""So many are committed at once, however soon."""
QUIET_SHARE = 0.125
"""Nothing having come for this share of the commit interval, no more is waited for."""
RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Amount:
    """How much waits."""

    documents: int = 0
    size: int = 0

    def __add__(self, other: _Amount) -> _Amount:
        return _Amount(self.documents + other.documents, self.size + other.size)

    def __sub__(self, other: _Amount) -> _Amount:
        return _Amount(self.documents - other.documents, self.size - other.size)

    def reaches(self, most: _Amount) -> bool:
        """Whether it is as much, in either."""
        return self.documents >= most.documents or self.size >= most.size


_AT_ONCE = _Amount(COMMIT_DOCUMENTS, COMMIT_BYTES)


@dataclass(frozen=True, slots=True)
class _Arrived:
    """Changes that are in the journal, and the number of the last of them."""

    sequence: int
    changes: dict[str, Document | None]
    amount: _Amount


class Catalogue:
    """Implements `honeyguide.replication_servicers.ReplicatedIndex`.

    An upsert or a deletion returns once the journal has it. A background task puts what comes into the index at once.
    It commits that when nothing more comes for a moment, when somebody waits for it, and at the latest so that it ends
    within `commit_interval_s`, if it takes as long as the last one: commits cost much the same however small, and the
    index is built while more arrives. While more than `backlog_max` documents, or `backlog_bytes_max` bytes, wait,
    upserts wait as well.
    `applying` must be an executor of one thread: all that writes to index and lexicon runs there.
    """

    def __init__(
        self,
        store: Store,
        writing: Executor,
        applying: Executor,
        commit_interval_s: float,
        backlog_max: int,
        backlog_bytes_max: int,
    ) -> None:
        self._store = store
        self._writing = writing
        self._applying = applying
        self._commit_interval_s = commit_interval_s
        self._most = _Amount(backlog_max, backlog_bytes_max)
        self._backlog: deque[_Arrived] = deque()
        self._waiting = self._put = _Amount()
        self._put_sequence = 0
        self._first_put_s = math.inf
        self._arrived_s = 0.0
        self._commit_s = 0.0
        self._applied = asyncio.Condition()
        self._arrived = asyncio.Event()
        self._order = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._changing: asyncio.Task[Any] | None = None
        self._closing = False
        self._applied_sequence = store.journal.sequence
        self._wanted_sequence = 0

    def start(self) -> None:
        """Begins to apply what arrives."""
        self._task = asyncio.create_task(self._apply_forever(), name="lexical-apply")

    async def close(self) -> None:
        """Applies what has arrived and stops."""
        self._closing = True
        async with self._order:  # what was begun is queued first, though nobody may wait for it any more
            self._arrived.set()
        if self._task is not None:
            await self._task

    async def configure(self, configuration: indexing_pb2.CatalogConfiguration) -> None:
        """Replaces the catalogue's configuration; returns when what is held is in line with it."""
        kept = indexing_pb2.CatalogConfiguration()
        kept.CopyFrom(configuration)
        await self._run(self._applying, lambda: self._store.configure(kept))

    async def upsert(self, documents: Sequence[Document]) -> Sequence[DocumentError]:
        """Inserts or replaces documents; of several with one id the last counts. Returns no errors."""
        if documents:
            await self._room()
            changes: dict[str, Document | None] = {document.id: document for document in documents}
            await self._change(partial(self._write, changes))
        return []

    async def delete(self, document_ids: Sequence[str]) -> int:
        """Removes documents; returns how many there were."""
        return await self._change(partial(self._delete, list(set(document_ids)))) if document_ids else 0

    async def copy(
        self, journal_id: str, beginnings: Mapping[str, int], changes: Sequence[Change], newest: int
    ) -> None:
        """See `honeyguide.replication_servicers.ReplicatedIndex`."""
        await self._room()
        await self._change(lambda: self._queue(lambda: self._copied(journal_id, beginnings, changes, newest)))

    @property
    def journal(self) -> Journal:
        """What index and lexicon are made from."""
        return self._store.journal

    @property
    def configuration(self) -> indexing_pb2.CatalogConfiguration:
        """The catalogue's configuration as it was set last."""
        return self._store.configuration

    async def stats(self) -> IndexStats:
        """What is held, including all that was acknowledged."""
        await self.applied()
        return await self._run(self._applying, self._stats)

    async def applied(self) -> None:
        """Waits until all that was acknowledged before is searchable."""
        sequence = self._store.journal.sequence
        self._wanted_sequence = sequence
        self._arrived.set()
        async with self._applied:
            await self._applied.wait_for(lambda: self._applied_sequence >= sequence or self._stopped)
        if self._applied_sequence < sequence:
            raise Unavailable("the lexical service is shutting down")

    @property
    def _stopped(self) -> bool:
        return self._task is None or self._task.done()

    async def _room(self) -> None:
        """Waits while too much waits to be indexed."""
        async with self._applied:
            await self._applied.wait_for(lambda: not self._waiting.reaches(self._most) or self._stopped)

    async def _change(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Makes a change once those before it are made."""
        await self._order.acquire()
        # A caller that goes away must not leave half of a change: what was begun is finished.
        task = self._changing = asyncio.create_task(change())
        task.add_done_callback(lambda _: self._order.release())
        return await asyncio.shield(task)

    async def _delete(self, document_ids: Sequence[str]) -> int:
        known = await self._run(self._writing, lambda: self._store.journal.fetch(document_ids))
        if known:
            await self._write(dict.fromkeys(known))
        return len(known)

    async def _write(self, changes: dict[str, Document | None]) -> None:
        await self._queue(lambda: self._journalled(changes))

    async def _queue(self, journal: Callable[[], _Arrived]) -> None:
        """Journals changes and queues them; the order of the journal is that of the queue."""
        if self._closing:
            raise Unavailable("the lexical service is shutting down")
        arrived = await self._run(self._writing, journal)
        self._backlog.append(arrived)
        self._waiting += arrived.amount
        self._arrived_s = time.monotonic()
        self._arrived.set()

    def _journalled(self, changes: dict[str, Document | None]) -> _Arrived:
        payloads = [(id, _payload(document)) for id, document in changes.items()]
        amount = _Amount(len(payloads), sum(len(payload or b"") for _, payload in payloads))
        return _Arrived(self._store.shelf.write(payloads), changes, amount)

    def _copied(
        self, journal_id: str, beginnings: Mapping[str, int], changes: Sequence[Change], newest: int
    ) -> _Arrived:
        read = dict(read_changes(changes))
        amount = _Amount(len(changes), sum(len(change.payload or b"") for change in changes))
        return _Arrived(self._store.shelf.copy(journal_id, beginnings, changes, newest), read, amount)

    async def _apply_forever(self) -> None:
        while not (self._closing and not self._waiting.documents):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._due_s() - time.monotonic() if self._put.documents else None):
                    await self._arrived.wait()
            self._arrived.clear()
            try:
                await self._put_arrived()
                if self._put.documents and self._is_due():
                    await self._commit()
            except Exception:  # a full disk, say: what is journalled is kept and tried again
                log.exception("changes could not be applied")
                if self._closing:
                    return
                await asyncio.sleep(RETRY_S)
                self._arrived.set()

    async def _put_arrived(self) -> None:
        while self._backlog and not self._put.reaches(_AT_ONCE):
            arrived = self._backlog[0]
            await self._run(self._applying, partial(self._store.put, arrived.changes))
            self._backlog.popleft()
            self._put += arrived.amount
            self._put_sequence = arrived.sequence
            self._first_put_s = min(self._first_put_s, time.monotonic())

    def _due_s(self) -> float:
        """When what was put is to be committed."""
        interval_s = self._commit_interval_s
        return min(self._first_put_s + interval_s - self._commit_s, self._arrived_s + QUIET_SHARE * interval_s)

    def _is_due(self) -> bool:
        wanted = self._wanted_sequence > self._applied_sequence and not self._backlog
        return self._closing or wanted or self._put.reaches(_AT_ONCE) or time.monotonic() >= self._due_s()

    async def _commit(self) -> None:
        begin, sequence = time.monotonic(), self._put_sequence
        await self._run(self._applying, partial(self._store.commit, sequence))
        self._commit_s = time.monotonic() - begin
        self._waiting -= self._put
        self._put, self._first_put_s = _Amount(), math.inf
        if self._backlog:
            self._arrived.set()
        async with self._applied:
            self._applied_sequence = sequence
            self._applied.notify_all()

    def _stats(self) -> IndexStats:
        figures = {"waiting": float(self._waiting.documents), **self._store.figures()}
        return IndexStats(self._store.documents_by_type(), self._store.size_bytes(), figures)

    async def _run(self, executor: Executor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, work)


def _payload(document: Document | None) -> bytes | None:
    if document is None:
        return None
    message = document_to_proto(document)
    message.ClearField("embedding")
    return message.SerializeToString()

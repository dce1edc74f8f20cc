"""Replicas of a service that keeps the catalogue on its own disk.

One instance, the primary, takes changes in. The others follow it: they fetch what changed in its journal, keep it under
the same numbers in journals of their own, and bring their indexes up to date from there, as the primary does. Whatever
is sent to a replica to be changed it hands on to the primary, so that callers need not know which is which. What the
primary acknowledged is found on replicas a moment later; without a primary they answer searches as before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import structlog

from honeyguide.api.retrieval.v1 import indexing_pb2, indexing_pb2_grpc, replication_pb2, replication_pb2_grpc
from honeyguide.client import Connection, RemoteConnection
from honeyguide.config import CommonSettings, ReplicatedSettings
from honeyguide.errors import FailedPrecondition, HoneyguideError
from honeyguide.journal import Change, Journal
from honeyguide.replication_servicers import WAIT_S, HandingOn, ReplicationServicer
from honeyguide.retriever import Index
from honeyguide.server import Registration
from honeyguide.servicers import register_index
from honeyguide.telemetry import REPLICA_BEHIND

TIMEOUT_S = 10.0
RETRY_S = 0.5
SAID_EVERY_S = 30.0

log = structlog.get_logger("honeyguide.replication")


class ReplicatedIndex(Index, Protocol):
    """An index made from a journal, which may be a copy of another's."""

    @property
    def journal(self) -> Journal:
        """What it is made from."""
        ...

    @property
    def configuration(self) -> indexing_pb2.CatalogConfiguration:
        """The catalogue's configuration as it was set last."""
        ...

    async def copy(self, journal_id: str, changes: Sequence[Change]) -> None:
        """Takes over changes of the journal of that id, under their numbers; durable on return. See `Journal.copy`."""
        ...


@asynccontextmanager
async def open_replicated(
    service: str, index: ReplicatedIndex, made_by: str, settings: ReplicatedSettings, common: CommonSettings
) -> AsyncIterator[Sequence[Registration]]:
    """Opens the way by which an index gets the catalogue, as `settings` says: from callers, or from its primary.

    Args:
        service: its name, for metrics and logs.
        index: what is replicated.
        made_by: what makes the parts of the journal's payloads that are not the documents' own, the encoder for
            instance; must be the same everywhere.
        settings: tell the primary.
        common: how to call it.

    Raises:
        FailedPrecondition: what is held is not the beginning of the primary's journal, or that one's payloads are made
            by something else.
    """
    feed = Registration(
        "honeyguide.retrieval.v1.ReplicationService",
        replication_pb2_grpc.add_ReplicationServiceServicer_to_server,
        ReplicationServicer(index.journal, lambda: index.configuration, made_by),
    )
    address = settings.followed
    if address is None:
        index.journal.lead()
        yield [register_index(index), feed]
        return
    primary = RemoteConnection(address, common)
    follower = Follower(service, primary, index, made_by)
    try:
        await follower.open()
        handed_on = Registration(
            "honeyguide.retrieval.v1.IndexingService",
            indexing_pb2_grpc.add_IndexingServiceServicer_to_server,
            HandingOn(primary),
        )
        yield [handed_on, feed]
    finally:
        await follower.close()
        await primary.close()


class Follower:
    """Keeps an index a copy of its primary's."""

    def __init__(self, service: str, primary: Connection, index: ReplicatedIndex, made_by: str) -> None:
        self._primary: Any = primary.stub(replication_pb2_grpc.ReplicationServiceStub)
        self._index = index
        self._made_by = made_by
        self._behind = REPLICA_BEHIND.labels(service)
        self._task: asyncio.Task[None] | None = None
        self._said = ("", 0.0)

    async def open(self) -> None:
        """Catches up with the primary, and begins to follow it. Where nothing is held yet, the primary is waited for.

        Raises:
            FailedPrecondition: see `open_replicated`.
        """
        while True:
            try:
                if await self._follow(0.0):
                    break
            except FailedPrecondition:
                raise
            except HoneyguideError as error:
                self._say(error)
                if self._index.journal.sequence:  # what there is is better than nothing
                    break
                await asyncio.sleep(RETRY_S)
        self._task = asyncio.create_task(self._follow_forever(), name="follow-primary")

    async def close(self) -> None:
        """Stops following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow_forever(self) -> None:
        while True:
            try:
                await self._follow(WAIT_S)
            except HoneyguideError as error:
                self._say(error)
                await asyncio.sleep(RETRY_S)
            except Exception:  # a full disk, say: it is tried again
                log.exception("changes could not be copied")
                await asyncio.sleep(RETRY_S)

    async def _follow(self, wait_s: float) -> bool:
        """Fetches and copies some changes; returns whether these were all."""
        journal = self._index.journal
        request = replication_pb2.FetchChangesRequest(journal_id=journal.id, after=journal.sequence)
        request.wait.FromNanoseconds(round(wait_s * 1e9))
        told: replication_pb2.FetchChangesResponse = await self._primary.FetchChanges(
            request, timeout=wait_s + TIMEOUT_S
        )
        if told.made_by != self._made_by:
            raise FailedPrecondition(f"the primary has {told.made_by!r}, this replica {self._made_by!r}")
        if told.configuration != self._index.configuration:
            await self._index.configure(told.configuration)
        changes = [
            Change(change.sequence, change.document_id, change.payload if change.HasField("payload") else None)
            for change in told.changes
        ]
        if changes or told.journal_id != journal.id:
            await self._index.copy(told.journal_id, changes)
        self._behind.set(told.newest - journal.sequence)
        self._said = ("", 0.0)
        return journal.sequence >= told.newest

    def _say(self, error: HoneyguideError) -> None:
        """Logs what keeps it from following, again only where it is something else or a while ago."""
        message, at_s = self._said
        if error.message != message or time.monotonic() - at_s > SAID_EVERY_S:
            log.warning("the primary cannot be followed", error=error.message)
            self._said = (error.message, time.monotonic())

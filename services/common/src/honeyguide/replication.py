"""Replicas of a service that keeps the catalogue on its own disk.

One instance, the primary, takes changes in. The others follow it: they fetch what changed in its journal, keep it under
the same numbers in journals of their own, and bring their indexes up to date from there, as the primary does. Whatever
is sent to a replica to be changed it hands on to the primary, so that callers need not know which is which. What the
primary acknowledged is found on replicas a moment later; without a primary they answer searches as before.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import structlog

from honeyguide.api.retrieval.v1 import replication_pb2, replication_pb2_grpc
from honeyguide.client import Connection, RemoteConnection
from honeyguide.config import CommonSettings, ReplicatedSettings
from honeyguide.errors import FailedPrecondition, HoneyguideError
from honeyguide.journal import Change, Identity
from honeyguide.replication_servicers import (
    HANDED_ON,
    WAIT_S,
    HandingOn,
    ReplicatedIndex,
    ReplicationServicer,
    digest_of,
)
from honeyguide.server import Registration
from honeyguide.servicers import register_index
from honeyguide.telemetry import REPLICA_BEHIND

TIMEOUT_S = 10.0
RETRY_S = 0.5
SAID_EVERY_S = 30.0

log = structlog.get_logger("honeyguide.replication")


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
    address = settings.followed
    feed = Registration(
        "honeyguide.retrieval.v1.ReplicationService",
        replication_pb2_grpc.add_ReplicationServiceServicer_to_server,
        ReplicationServicer(index, made_by, common.message_bytes_max, leads=address is None),
    )
    own = register_index(index)
    if address is None:
        yield [own, feed]
        return
    primary = RemoteConnection(address, common, (HANDED_ON,))
    follower = Follower(service, primary, index, made_by)
    try:
        await follower.open()
        yield [replace(own, servicer=HandingOn(primary, own.servicer)), feed]
    finally:
        await follower.close()
        await primary.close()


class Follower:
    """Keeps an index a copy of its primary's."""

    def __init__(self, service: str, primary: Connection, index: ReplicatedIndex, made_by: str) -> None:
        self._primary: Any = primary.stub(replication_pb2_grpc.ReplicationServiceStub)
        self._index = index
        self._made_by = made_by
        self._configured = digest_of(index.configuration)
        self._behind = REPLICA_BEHIND.labels(service)
        self._task: asyncio.Task[None] | None = None
        self._said = ("", 0.0)

    async def open(self) -> None:
        """Catches up with the primary, and begins to follow it. What was never whole waits for the primary.

        Raises:
            FailedPrecondition: see `open_replicated`.
        """
        while not await self._tried(0.0, refused=True):
            identity = self._index.journal.identity
            if self._said[0] and identity.is_copy and identity.whole:  # what there is is better than nothing
                break
        await self._index.applied()
        self._task = asyncio.create_task(self._follow_forever(), name="follow-primary")

    async def close(self) -> None:
        """Stops following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow_forever(self) -> None:
        while True:
            await self._tried(WAIT_S)

    async def _tried(self, wait_s: float, refused: bool = False) -> bool:
        """Fetches and copies some changes; returns whether these were all. What fails is logged, unless it is a refusal
        that is to be raised, and followed by a pause."""
        try:
            level = await self._follow(wait_s)
        except HoneyguideError as error:
            if refused and isinstance(error, FailedPrecondition):
                raise
            self._say(error.message)
        except Exception as error:  # a full disk, say: it is tried again
            self._say(f"{type(error).__name__}: {error}")
        else:
            self._said = ("", 0.0)
            return level
        self._behind.set(math.nan)
        await asyncio.sleep(RETRY_S)
        return False

    async def _follow(self, wait_s: float) -> bool:
        journal = self._index.journal
        before = journal.identity
        request = replication_pb2.FetchChangesRequest(
            journal_id=before.id,
            after=journal.sequence,
            level=before.level,
            configuration_digest=self._configured,
        )
        request.wait.FromNanoseconds(round(wait_s * 1e9))
        told: replication_pb2.FetchChangesResponse = await self._primary.FetchChanges(
            request, timeout=wait_s + TIMEOUT_S
        )
        if told.made_by != self._made_by:
            raise FailedPrecondition(f"the primary has {told.made_by!r}, this replica {self._made_by!r}")
        if told.HasField("configuration"):
            await self._index.configure(told.configuration)
            self._configured = told.configuration_digest
            return False
        changes = [
            Change(change.sequence, change.document_id, change.payload if change.HasField("payload") else None)
            for change in told.changes
        ]
        beginnings = {beginning.journal_id: beginning.until for beginning in told.beginnings}
        unchanged = Identity(told.journal_id, beginnings, is_copy=True)
        if changes or before != unchanged:
            await self._index.copy(told.journal_id, beginnings, changes, told.newest)
        self._behind.set(told.newest - journal.sequence)
        return journal.sequence >= told.newest

    def _say(self, what: str) -> None:
        """Logs what keeps it from following, again only where it is something else or a while ago."""
        said, at_s = self._said
        if what != said or time.monotonic() - at_s > SAID_EVERY_S:
            log.warning("the primary cannot be followed", error=what)
            self._said = (what, time.monotonic())

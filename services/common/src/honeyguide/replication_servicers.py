"""What replicas are served: by the primary the changes of its journal, and by each replica what it hands on to it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import grpc

from honeyguide.api.retrieval.v1 import indexing_pb2, indexing_pb2_grpc, replication_pb2, replication_pb2_grpc
from honeyguide.client import Connection
from honeyguide.errors import FailedPrecondition, Unavailable
from honeyguide.journal import Change, Journal
from honeyguide.retriever import Index
from honeyguide.servicers import IndexingServicer

WAIT_S = 1.0
"""Longest time that the primary keeps a replica waiting for a change."""
POLL_S = 0.05
PAGE_BYTES, PAGE_CHANGES = 2**20, 2_000
IS_REPLICA = "what is named as the primary is a replica itself: name the instance that takes changes in"
HANDED_ON = ("honeyguide-handed-on", "1")
"""In the metadata of a call that a replica hands on: nobody hands it on again."""


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

    async def copy(
        self, journal_id: str, beginnings: Mapping[str, int], changes: Sequence[Change], newest: int
    ) -> None:
        """Takes over changes of another journal, see `Journal.copy`; durable on return."""
        ...

    async def applied(self) -> None:
        """Waits until what was taken over is found."""
        ...


class ReplicationServicer(replication_pb2_grpc.ReplicationServiceServicer):
    """Tells replicas what changed."""

    def __init__(self, index: ReplicatedIndex, made_by: str, message_bytes_max: int, leads: bool) -> None:
        self._leads = leads
        self._index = index
        self._journal = index.journal
        self._made_by = made_by
        self._page_bytes = min(PAGE_BYTES, message_bytes_max // 4)

    async def FetchChanges(
        self, request: replication_pb2.FetchChangesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> replication_pb2.FetchChangesResponse:
        if not self._leads:
            raise FailedPrecondition(IS_REPLICA)
        if not self._journal.continues(request.journal_id, request.after, request.level):
            held = (
                f"the replica's {request.after:,} changes are not the first of the primary's {self._journal.sequence:,}"
            )
            raise FailedPrecondition(
                f"{held}; if that is the right primary, empty the replica's folder and start it again"
            )
        give_up_s = time.monotonic() + min(request.wait.ToNanoseconds() / 1e9, WAIT_S)
        # Threads write the journal, and would have to wake the loop.
        while request.after == self._journal.sequence and time.monotonic() < give_up_s:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
        return await asyncio.to_thread(self._changes, request)

    def _changes(self, request: replication_pb2.FetchChangesRequest) -> replication_pb2.FetchChangesResponse:
        configuration = self._index.configuration
        response = replication_pb2.FetchChangesResponse(
            made_by=self._made_by, configuration_digest=digest_of(configuration)
        )
        if response.configuration_digest != request.configuration_digest:
            response.configuration.CopyFrom(configuration)
        else:
            self._add_changes(response, request.after)
        identity = self._journal.identity
        response.journal_id = identity.id
        for journal_id, until in identity.beginnings.items():
            response.beginnings.add(journal_id=journal_id, until=until)
        response.newest = self._journal.sequence
        return response

    def _add_changes(self, response: replication_pb2.FetchChangesResponse, after: int) -> None:
        size = 0
        for change in self._journal.since(after):
            size += len(change.payload or b"") + len(change.document_id)
            if response.changes and size > self._page_bytes:  # one alone may be larger
                return
            response.changes.add(sequence=change.sequence, document_id=change.document_id, payload=change.payload)
            if len(response.changes) == PAGE_CHANGES:
                return


class HandingOn(indexing_pb2_grpc.IndexingServiceServicer):
    """What is sent to a replica to be changed, and the question what the catalogue holds, goes on to the primary.

    Args:
        primary: a connection that sends `HANDED_ON` with every call.
        own: tells what this replica holds, where the primary does not answer.
    """

    def __init__(self, primary: Connection, own: IndexingServicer) -> None:
        self._primary: Any = primary.stub(indexing_pb2_grpc.IndexingServiceStub)
        self._own = own

    async def Configure(
        self, request: indexing_pb2.ConfigureRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> indexing_pb2.ConfigureResponse:
        response: indexing_pb2.ConfigureResponse = await self._hand_on(self._primary.Configure, request, context)
        return response

    async def IndexDocuments(
        self, request: indexing_pb2.IndexDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> indexing_pb2.IndexDocumentsResponse:
        response: indexing_pb2.IndexDocumentsResponse = await self._hand_on(
            self._primary.IndexDocuments, request, context
        )
        return response

    async def DeleteDocuments(
        self, request: indexing_pb2.DeleteDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> indexing_pb2.DeleteDocumentsResponse:
        response: indexing_pb2.DeleteDocumentsResponse = await self._hand_on(
            self._primary.DeleteDocuments, request, context
        )
        return response

    async def GetStats(
        self, request: indexing_pb2.GetStatsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> indexing_pb2.GetStatsResponse:
        try:
            response: indexing_pb2.GetStatsResponse = await self._hand_on(self._primary.GetStats, request, context)
        except Unavailable:
            return await self._own.GetStats(request, context)
        return response

    async def _hand_on(self, call: Any, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        if any(name == HANDED_ON[0] for name, _ in context.invocation_metadata() or ()):
            raise FailedPrecondition(IS_REPLICA)
        return await call(request, timeout=context.time_remaining())


def digest_of(configuration: indexing_pb2.CatalogConfiguration) -> bytes:
    """Tells a configuration from others."""
    return hashlib.blake2b(configuration.SerializeToString(deterministic=True), digest_size=16).digest()

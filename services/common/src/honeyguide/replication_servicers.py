"""What replicas are served: by the primary the changes of its journal, and by each replica what it hands on to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc

from honeyguide.api.retrieval.v1 import indexing_pb2, indexing_pb2_grpc, replication_pb2, replication_pb2_grpc
from honeyguide.client import Connection
from honeyguide.errors import FailedPrecondition
from honeyguide.journal import Journal

WAIT_S = 1.0
"""Longest time that the primary keeps a replica waiting for a change."""
POLL_S = 0.05
PAGE_BYTES, PAGE_CHANGES = 2**20, 2_000


class ReplicationServicer(replication_pb2_grpc.ReplicationServiceServicer):
    """Tells replicas what changed."""

    def __init__(
        self, journal: Journal, configuration: Callable[[], indexing_pb2.CatalogConfiguration], made_by: str
    ) -> None:
        self._journal = journal
        self._configuration = configuration
        self._made_by = made_by

    async def FetchChanges(
        self, request: replication_pb2.FetchChangesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> replication_pb2.FetchChangesResponse:
        if not self._journal.continues(request.journal_id, request.after):
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
        return await asyncio.to_thread(self._changes, request.after)

    def _changes(self, after: int) -> replication_pb2.FetchChangesResponse:
        response = replication_pb2.FetchChangesResponse(
            journal_id=self._journal.id, made_by=self._made_by, configuration=self._configuration()
        )
        size = 0
        for change in self._journal.since(after):
            size += len(change.payload or b"") + len(change.document_id)
            if response.changes and size > PAGE_BYTES:  # one alone may be larger
                break
            response.changes.add(sequence=change.sequence, document_id=change.document_id, payload=change.payload)
            if len(response.changes) == PAGE_CHANGES:
                break
        response.newest = self._journal.sequence
        return response


class HandingOn(indexing_pb2_grpc.IndexingServiceServicer):
    """What is sent to a replica to be changed, and the question what the catalogue holds, goes on to the primary."""

    def __init__(self, primary: Connection) -> None:
        self._primary: Any = primary.stub(indexing_pb2_grpc.IndexingServiceStub)

    async def Configure(
        self, request: indexing_pb2.ConfigureRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> indexing_pb2.ConfigureResponse:
        response: indexing_pb2.ConfigureResponse = await self._primary.Configure(
            request, timeout=context.time_remaining()
        )
        return response

    async def IndexDocuments(
        self, request: indexing_pb2.IndexDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> indexing_pb2.IndexDocumentsResponse:
        response: indexing_pb2.IndexDocumentsResponse = await self._primary.IndexDocuments(
            request, timeout=context.time_remaining()
        )
        return response

    async def DeleteDocuments(
        self, request: indexing_pb2.DeleteDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> indexing_pb2.DeleteDocumentsResponse:
        response: indexing_pb2.DeleteDocumentsResponse = await self._primary.DeleteDocuments(
            request, timeout=context.time_remaining()
        )
        return response

    async def GetStats(
        self, request: indexing_pb2.GetStatsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> indexing_pb2.GetStatsResponse:
        response: indexing_pb2.GetStatsResponse = await self._primary.GetStats(
            request, timeout=context.time_remaining()
        )
        return response

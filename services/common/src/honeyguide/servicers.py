"""The servicers that put a `Retriever` and an `Index` on the wire, the same for every service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc

from honeyguide.api.retrieval.v1 import indexing_pb2, indexing_pb2_grpc, retriever_pb2, retriever_pb2_grpc
from honeyguide.candidates import candidates_to_proto
from honeyguide.documents import Document, document_from_proto
from honeyguide.errors import InvalidArgument
from honeyguide.query import query_from_proto
from honeyguide.retriever import Answer, DocumentError, Index, Retriever
from honeyguide.server import Registration

STRATEGIES_PER_CALL_MAX = 64
DOCUMENTS_PER_CALL_MAX = 1_000
DELETIONS_PER_CALL_MAX = 10_000


def register_retriever(retriever: Retriever) -> Registration:
    """A retriever, ready for a server."""
    return Registration(
        "honeyguide.retrieval.v1.RetrieverService",
        retriever_pb2_grpc.add_RetrieverServiceServicer_to_server,
        RetrieverServicer(retriever),
    )


def register_index(index: Index) -> Registration:
    """An index, ready for a server."""
    return Registration(
        "honeyguide.retrieval.v1.IndexingService",
        indexing_pb2_grpc.add_IndexingServiceServicer_to_server,
        IndexingServicer(index),
    )


class RetrieverServicer(retriever_pb2_grpc.RetrieverServiceServicer):
    """Puts a `Retriever` on the wire."""

    def __init__(self, retriever: Retriever, clock: Callable[[], float] = time.time) -> None:
        self._retriever = retriever
        self._strategies = {strategy.name: strategy for strategy in retriever.strategies}
        self._clock = clock

    async def ListStrategies(
        self, request: retriever_pb2.ListStrategiesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> retriever_pb2.ListStrategiesResponse:
        return retriever_pb2.ListStrategiesResponse(
            strategies=[
                retriever_pb2.Strategy(
                    name=strategy.name,
                    description=strategy.description,
                    kind=strategy.kind.value,
                    depth_max=strategy.depth_max,
                    needs=[need.value for need in strategy.needs],
                    dependable=strategy.dependable,
                )
                for strategy in self._strategies.values()
            ]
        )

    async def Retrieve(
        self, request: retriever_pb2.RetrieveRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> retriever_pb2.RetrieveResponse:
        depths = self._depths(request)
        answers = await self._retriever.retrieve(query_from_proto(request, self._clock()), depths)
        response = retriever_pb2.RetrieveResponse()
        for name in depths:
            response.results.append(answer_to_proto(name, answers[name]))
        return response

    def _depths(self, request: retriever_pb2.RetrieveRequest) -> dict[str, int]:
        if not 1 <= len(request.strategies) <= STRATEGIES_PER_CALL_MAX:
            raise InvalidArgument(
                "strategies", f"{len(request.strategies)} asked; 1 to {STRATEGIES_PER_CALL_MAX} allowed"
            )
        depths: dict[str, int] = {}
        for asked in request.strategies:
            strategy = self._strategies.get(asked.strategy)
            if strategy is None:
                known = ", ".join(self._strategies)
                raise InvalidArgument("strategies.strategy", f"{asked.strategy[:80]!r} is not one of {known}")
            if asked.strategy in depths:
                raise InvalidArgument("strategies.strategy", f"{asked.strategy} is asked twice")
            if asked.depth < 1:
                raise InvalidArgument("strategies.depth", f"{asked.strategy} is asked for 0 candidates; 1 or more")
            depths[asked.strategy] = min(asked.depth, strategy.depth_max)
        return depths


class IndexingServicer(indexing_pb2_grpc.IndexingServiceServicer):
    """Puts an `Index` on the wire; documents are checked here, once for all services."""

    def __init__(self, index: Index) -> None:
        self._index = index

    async def Configure(
        self, request: indexing_pb2.ConfigureRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> indexing_pb2.ConfigureResponse:
        await self._index.configure(request.configuration)
        return indexing_pb2.ConfigureResponse()

    async def IndexDocuments(
        self, request: indexing_pb2.IndexDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> indexing_pb2.IndexDocumentsResponse:
        if len(request.documents) > DOCUMENTS_PER_CALL_MAX:
            raise InvalidArgument("documents", f"{len(request.documents):,}; at most {DOCUMENTS_PER_CALL_MAX:,}")
        documents: list[Document] = []
        positions: list[int] = []
        errors: list[DocumentError] = []
        for i, message in enumerate(request.documents):
            try:
                documents.append(document_from_proto(message, keep_message=True))
                positions.append(i)
            except InvalidArgument as error:
                first = error.violations[0]
                errors.append(DocumentError(i, message.id[:512], first.field, first.description))
        for refused in await self._index.upsert(documents):
            position = positions[refused.index]
            errors.append(DocumentError(position, refused.document_id, refused.field, refused.description))
        return indexing_pb2.IndexDocumentsResponse(
            errors=[
                indexing_pb2.DocumentError(
                    index=error.index, document_id=error.document_id, field=error.field, description=error.description
                )
                for error in sorted(errors, key=lambda error: error.index)
            ]
        )

    async def DeleteDocuments(
        self, request: indexing_pb2.DeleteDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> indexing_pb2.DeleteDocumentsResponse:
        if len(request.document_ids) > DELETIONS_PER_CALL_MAX:
            raise InvalidArgument("document_ids", f"{len(request.document_ids):,}; at most {DELETIONS_PER_CALL_MAX:,}")
        return indexing_pb2.DeleteDocumentsResponse(deleted=await self._index.delete(list(request.document_ids)))

    async def GetStats(
        self, request: indexing_pb2.GetStatsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> indexing_pb2.GetStatsResponse:
        stats = await self._index.stats()
        return indexing_pb2.GetStatsResponse(
            document_count=sum(stats.documents_by_type.values()),
            documents_by_type=dict(stats.documents_by_type),
            size_bytes=stats.size_bytes,
            figures=dict(stats.figures),
        )


def answer_to_proto(name: str, answer: Answer) -> retriever_pb2.StrategyCandidates:
    """Writes one strategy's answer."""
    if answer.candidates is not None:
        message = candidates_to_proto(name, answer.candidates)
    else:
        status = retriever_pb2.STRATEGY_STATUS_LATE if answer.late else retriever_pb2.STRATEGY_STATUS_FAILED
        message = retriever_pb2.StrategyCandidates(strategy=name, status=status, message=answer.failure)
    message.elapsed.FromNanoseconds(round(answer.elapsed_s * 1e9))
    return message

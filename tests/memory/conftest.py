"""A memory service on a real Valkey, called over gRPC or in the same process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from honeyguide.api.memory.v1 import memory_pb2, memory_pb2_grpc
from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2, indexing_pb2_grpc, retriever_pb2, retriever_pb2_grpc
from honeyguide.candidates import Candidates, candidates_from_proto
from honeyguide.client import in_process, open_channel, over_channel
from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.documents import (
    Context,
    Document,
    Filter,
    context_to_proto,
    document_to_proto,
    filter_to_proto,
    time_to_proto,
)
from honeyguide.server import Registration, Server
from honeyguide_memory.service import open_service
from honeyguide_memory.settings import MemorySettings

STUBS = {
    "RetrieverService": retriever_pb2_grpc.RetrieverServiceStub,
    "IndexingService": indexing_pb2_grpc.IndexingServiceStub,
    "MemoryService": memory_pb2_grpc.MemoryServiceStub,
}
NOW_S = 1_700_000_000.0


@dataclass
class Memory:
    """The three services, with shorthands."""

    retriever: Any
    index: Any
    memory: Any
    events: int = 0
    sent: list[memory_pb2.Action] = field(default_factory=list)

    def action(
        self, query: str, document: str, time_s: float = NOW_S, weight: float = 1.0, event: str = "", **who: str
    ) -> memory_pb2.Action:
        self.events += 1
        return memory_pb2.Action(
            event_id=event or f"event-{self.events}",
            normalized_query=query,
            document_id=document,
            weight=weight,
            time=time_to_proto(time_s),
            context=document_pb2.Context(**who),
        )

    async def record(self, *actions: memory_pb2.Action) -> int:
        return (await self.memory.RecordActions(memory_pb2.RecordActionsRequest(actions=actions))).recorded

    async def act(self, query: str, document: str, time_s: float = NOW_S, weight: float = 1.0, **who: str) -> int:
        return await self.record(self.action(query, document, time_s, weight, **who))

    def page(self, query: str, documents: Sequence[str], time_s: float = NOW_S, id: str = "") -> memory_pb2.Impressions:
        """A page whose positions are looked at with probabilities 1, 1/2, 1/3 ..."""
        self.events += 1
        return memory_pb2.Impressions(
            page_id=id or f"page-{self.events}",
            normalized_query=query,
            document_ids=documents,
            looked_at=[1 / position for position in range(1, len(documents) + 1)],
            time=time_to_proto(time_s),
        )

    async def show(self, *pages: memory_pb2.Impressions) -> int:
        return (await self.memory.RecordImpressions(memory_pb2.RecordImpressionsRequest(pages=pages))).recorded

    async def put(self, *documents: Document) -> None:
        for begin in range(0, len(documents), 1_000):
            batch = [document_to_proto(document) for document in documents[begin : begin + 1_000]]
            response = await self.index.IndexDocuments(indexing_pb2.IndexDocumentsRequest(documents=batch))
            assert not response.errors

    async def recall(
        self,
        query: str = "",
        time_s: float = NOW_S,
        depth: int = 0,
        filter: Filter = Filter(),  # noqa: B008 - frozen
        **who: str,
    ) -> memory_pb2.RecallResponse:
        context = context_to_proto(Context(time_s=time_s, **who))
        return await self.memory.Recall(
            memory_pb2.RecallRequest(
                normalized_query=query, context=context, filter=filter_to_proto(filter), depth=depth
            )
        )

    async def ask(
        self,
        strategies: str | Sequence[str],
        query: str = "",
        depth: int = 10,
        time_s: float = NOW_S,
        filter: Filter = Filter(),  # noqa: B008 - frozen
        **who: str,
    ) -> dict[str, Candidates]:
        names = [strategies] if isinstance(strategies, str) else strategies
        response = await self.retriever.Retrieve(
            retriever_pb2.RetrieveRequest(
                query=query,
                context=context_to_proto(Context(time_s=time_s, **who)),
                filter=filter_to_proto(filter),
                strategies=[retriever_pb2.StrategyDepth(strategy=name, depth=depth) for name in names],
            )
        )
        assert [result.message for result in response.results] == [""] * len(names)
        return {result.strategy: candidates_from_proto(result) for result in response.results}

    async def ids(self, strategy: str, query: str = "", **more: Any) -> list[str]:
        return list((await self.ask(strategy, query, **more))[strategy].document_ids)


@contextlib.asynccontextmanager
async def connected(registrations: Sequence[Registration], over_grpc: bool) -> AsyncIterator[Memory]:
    by_name = {registration.name.rpartition(".")[2]: registration for registration in registrations}
    if not over_grpc:
        yield Memory(*(in_process(by_name[name].servicer) for name in STUBS))
        return
    common = CommonSettings(drain_s=0)
    server = Server("honeyguide-memory", common, ServerSettings(), registrations)
    await server.start()
    async with open_channel(f"127.0.0.1:{server.port}", common) as channel:
        yield Memory(*(over_channel(channel, stub, None) for stub in STUBS.values()))
    await server.stop()


@pytest.fixture
def settings(redis_url: str, key_prefix: str) -> MemorySettings:
    return MemorySettings(redis_url=redis_url, key_prefix=key_prefix)


@pytest.fixture(params=["grpc", "in_process"])
async def memory(request: pytest.FixtureRequest, settings: MemorySettings) -> AsyncIterator[Memory]:
    """The service as it comes, over each way to call it."""
    async with (
        open_service(settings, clock=lambda: NOW_S) as registrations,
        connected(registrations, request.param == "grpc") as memory,
    ):
        yield memory


@pytest.fixture
def opened(settings: MemorySettings) -> Callable[..., contextlib.AbstractAsyncContextManager[Memory]]:
    """Opens a service with other settings, called in the same process."""

    @contextlib.asynccontextmanager
    async def open_with(clock: Callable[[], float] = lambda: NOW_S, **changes: Any) -> AsyncIterator[Memory]:
        async with (
            open_service(settings.model_copy(update=changes), clock) as registrations,
            connected(registrations, False) as memory,
        ):
            yield memory

    return open_with

"""The lexical service over a temporary folder, in process and over real gRPC on loopback: one suite for both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from honeyguide.api.lexical.v1 import lexical_pb2, lexical_pb2_grpc
from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2, indexing_pb2_grpc, retriever_pb2, retriever_pb2_grpc
from honeyguide.client import Connection, LocalConnection, RemoteConnection
from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.documents import Document, Value, document_to_proto
from honeyguide.server import Server
from honeyguide_lexical.service import open_service
from honeyguide_lexical.settings import LexicalSettings


class Client:
    """The three services of one lexical service, with shorter calls for tests."""

    def __init__(self, connection: Connection) -> None:
        self.retriever: Any = connection.stub(retriever_pb2_grpc.RetrieverServiceStub)
        self.index: Any = connection.stub(indexing_pb2_grpc.IndexingServiceStub)
        self.lexical: Any = connection.stub(lexical_pb2_grpc.LexicalServiceStub)

    async def put(self, *documents: Document, settle: bool = True) -> list[indexing_pb2.DocumentError]:
        response = await self.index.IndexDocuments(
            indexing_pb2.IndexDocumentsRequest(documents=[document_to_proto(d) for d in documents])
        )
        if settle:
            await self.stats()
        return list(response.errors)

    async def delete(self, *ids: str) -> int:
        response = await self.index.DeleteDocuments(indexing_pb2.DeleteDocumentsRequest(document_ids=ids))
        await self.stats()
        return int(response.deleted)

    async def stats(self) -> indexing_pb2.GetStatsResponse:
        response: indexing_pb2.GetStatsResponse = await self.index.GetStats(indexing_pb2.GetStatsRequest())
        return response

    async def configure(self, *attributes: indexing_pb2.AttributeConfiguration, **more: Any) -> None:
        configuration = indexing_pb2.CatalogConfiguration(attributes=attributes, **more)
        await self.index.Configure(indexing_pb2.ConfigureRequest(configuration=configuration))

    async def ask(
        self,
        strategy: str,
        query: str,
        depth: int = 10,
        filter: document_pb2.Filter | None = None,
        interpretations: Sequence[document_pb2.Interpretation] = (),
    ) -> retriever_pb2.StrategyCandidates:
        response = await self.retriever.Retrieve(
            retriever_pb2.RetrieveRequest(
                query=query,
                filter=filter,
                understanding=document_pb2.QueryUnderstanding(interpretations=interpretations),
                strategies=[retriever_pb2.StrategyDepth(strategy=strategy, depth=depth)],
            )
        )
        result: retriever_pb2.StrategyCandidates = response.results[0]
        assert result.status == retriever_pb2.STRATEGY_STATUS_OK, result.message
        return result

    async def ids(self, strategy: str, query: str, **more: Any) -> list[str]:
        return list((await self.ask(strategy, query, **more)).document_ids)

    async def recognize(self, query: str) -> lexical_pb2.RecognizeSpansResponse:
        request = lexical_pb2.RecognizeSpansRequest(normalized_query=query)
        response: lexical_pb2.RecognizeSpansResponse = await self.lexical.RecognizeSpans(request)
        return response

    async def complete(self, prefix: str, limit: int = 10, filter: document_pb2.Filter | None = None) -> list[str]:
        request = lexical_pb2.CompleteTitlesRequest(prefix=prefix, limit=limit, filter=filter)
        return [c.title for c in (await self.lexical.CompleteTitles(request)).completions]

    async def fetch(self, *ids: str, query: str = "", text_bytes_max: int = 0) -> list[lexical_pb2.FetchedDocument]:
        request = lexical_pb2.FetchDocumentsRequest(document_ids=ids, query=query, text_bytes_max=text_bytes_max)
        return list((await self.lexical.FetchDocuments(request)).documents)


@asynccontextmanager
async def open_local(folder: Path) -> AsyncIterator[Client]:
    async with open_service(LexicalSettings(data_dir=folder, commit_interval_s=0.05)) as registrations:
        yield Client(LocalConnection(registrations))


@asynccontextmanager
async def open_remote(folder: Path) -> AsyncIterator[Client]:
    async with AsyncExitStack() as stack:
        settings = LexicalSettings(data_dir=folder, commit_interval_s=0.05)
        registrations = await stack.enter_async_context(open_service(settings))
        server = Server("lexical", CommonSettings(drain_s=0), ServerSettings(), registrations)
        await server.start()
        stack.push_async_callback(server.stop)
        connection = RemoteConnection(f"127.0.0.1:{server.port}", CommonSettings())
        stack.push_async_callback(connection.close)
        yield Client(connection)


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_local(tmp_path) as opened:
        yield opened


@pytest.fixture
def opener() -> Callable[[Path], AbstractAsyncContextManager[Client]]:
    """Opens a service over a folder, in process."""
    return open_local


@pytest.fixture(params=[open_local, open_remote], ids=["in_process", "grpc"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    """A service that holds the dozen documents of `CATALOGUE`."""
    async with request.param(tmp_path) as opened:
        await opened.put(*CATALOGUE)
        yield opened


def film(id: str, title: str, popularity: float, text: str = "", **attributes: Value | tuple[Value, ...]) -> Document:
    values = {name: value if isinstance(value, tuple) else (value,) for name, value in attributes.items()}
    return Document(id, "film", title, text, values, popularity, created_at_s=86_400.0 * 10_000)


CATALOGUE = (
    film(
        "f1", "Star Wars", 90, "A farm boy joins rebels against an empire.", genre=("Adventure", "Sci-Fi"), year=1977.0
    ),
    film("f2", "Amélie", 60, "A shy waitress in Paris helps others.", genre=("Comedy", "Romance"), year=2001.0),
    film("f3", "Spider-Man", 80, "A bitten student climbs walls.", genre="Action", cast="Tobey Maguire", year=2002.0),
    film("f4", "The Making of a Saga", 1, "How star wars films were made: star after star, wars after wars. " * 8),
    film("f5", "Love Actually", 70, "Ten stories of love in London.", genre=("Comedy", "Romance"), year=2003.0),
    film("f6", "Love", 5, "A young man remembers.", genre="Drama", year=2015.0, subtitled=True),
    film("f7", "Paris, Texas", 40, "A man walks out of the desert.", genre="Drama", year=1984.0, subtitled=False),
    Document("p1", "person", "Taylor Swift", popularity=100),
    Document("p2", "person", "Elizabeth Taylor", popularity=50),
    Document("t1", "track", "Love Story", "", {"artist": ("Taylor Swift",)}, 75),
    Document("t2", "track", "Lover", "", {"artist": ("Taylor Swift",)}, 65),
    Document("t3", "track", "Crazy in Love", "", {"artist": ("Beyoncé",)}, 85),
)

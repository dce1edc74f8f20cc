"""The vector service over a temporary folder with the real encoder: one suite in process and over gRPC on loopback."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import bokeh_sampledata
import pytest

from honeyguide.api.retrieval.v1 import indexing_pb2, indexing_pb2_grpc, retriever_pb2, retriever_pb2_grpc
from honeyguide.api.vector.v1 import vector_pb2_grpc
from honeyguide.candidates import Candidates, candidates_from_proto
from honeyguide.client import LocalConnection, RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide.documents import Document, Filter, document_to_proto, filter_to_proto
from honeyguide.server import Server
from honeyguide_vector.encoder import Encoder, Vectors
from honeyguide_vector.encoders import Encoders, open_encoders
from honeyguide_vector.service import open_service
from honeyguide_vector.settings import VectorSettings

FILMS = 2_400  # enough for the graph to be asked instead of a scan


class CountingEncoder:
    """The real encoder, and the texts it was given."""

    def __init__(self, encoder: Encoder, identity: str | None = None) -> None:
        self._encoder = encoder
        self.dimension = encoder.dimension
        self.identity = identity or encoder.identity
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.texts.extend(texts)
        return self._encoder.encode(texts)


class Client:
    """The services of one vector service, with shorter calls."""

    def __init__(self, connection: Any, encoder: CountingEncoder) -> None:
        self.retriever = connection.stub(retriever_pb2_grpc.RetrieverServiceStub)
        self.index = connection.stub(indexing_pb2_grpc.IndexingServiceStub)
        self.vector = connection.stub(vector_pb2_grpc.VectorServiceStub)
        self.encoder = encoder

    async def put(self, *documents: Document) -> list[indexing_pb2.DocumentError]:
        request = indexing_pb2.IndexDocumentsRequest(documents=[document_to_proto(d) for d in documents])
        return list((await self.index.IndexDocuments(request)).errors)

    async def delete(self, *ids: str) -> int:
        return int((await self.index.DeleteDocuments(indexing_pb2.DeleteDocumentsRequest(document_ids=ids))).deleted)

    async def configure(self, *types: indexing_pb2.TypeConfiguration) -> None:
        configuration = indexing_pb2.CatalogConfiguration(types=types)
        await self.index.Configure(indexing_pb2.ConfigureRequest(configuration=configuration))

    async def stats(self) -> indexing_pb2.GetStatsResponse:
        return await self.index.GetStats(indexing_pb2.GetStatsRequest())

    async def ask(
        self,
        strategy: str = "dense",
        query: str = "",
        depth: int = 10,
        filter: Filter | None = None,
        session: Sequence[str] = (),
        user: Sequence[str] = (),
    ) -> Candidates:
        response = await self.retriever.Retrieve(
            retriever_pb2.RetrieveRequest(
                query=query,
                filter=filter_to_proto(filter or Filter()),
                strategies=[retriever_pb2.StrategyDepth(strategy=f"vector.{strategy}", depth=depth)],
                taste=retriever_pb2.Taste(session_document_ids=session, user_document_ids=user),
            )
        )
        (result,) = response.results
        assert result.status == retriever_pb2.STRATEGY_STATUS_OK, result.message
        return candidates_from_proto(result)

    async def ids(self, *args: Any, **kwargs: Any) -> list[str]:
        return list((await self.ask(*args, **kwargs)).document_ids)


Opener = Callable[..., AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def open_client(
    how: str, folder: Path, encoders: Encoders, identity: str | None = None, **settings: Any
) -> AsyncIterator[Client]:
    counting = CountingEncoder(encoders.documents, identity)
    read = VectorSettings(data_dir=folder, **settings)
    async with open_service(read, encoders=Encoders(encoders.queries, counting)) as registrations:
        if how == "in_process":
            yield Client(LocalConnection(registrations), counting)
            return
        common = CommonSettings(drain_s=0.1)
        server = Server("vector", common, read, registrations)
        await server.start()
        connection = RemoteConnection(f"127.0.0.1:{server.port}", common)
        try:
            yield Client(connection, counting)
        finally:
            await connection.close()
            await server.stop()


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vector-cache")


@pytest.fixture(scope="session")
def encoders(model_cache: Path) -> Encoders:
    return open_encoders(VectorSettings(), model_cache)


@pytest.fixture(params=["in_process", "grpc"])
async def client(request: pytest.FixtureRequest, tmp_path: Path, encoders: Encoders) -> AsyncIterator[Client]:
    async with open_client(request.param, tmp_path / "data", encoders) as opened:
        yield opened


@pytest.fixture
def open_again(tmp_path: Path, encoders: Encoders) -> Opener:
    """Opens the service in process over the test's folder, or another."""

    def open_one(folder: Path | None = None, **more: Any) -> AbstractAsyncContextManager[Client]:
        return open_client("in_process", folder or tmp_path / "data", encoders, **more)

    return open_one


@pytest.fixture(scope="session")
def films(encoders: Encoders) -> list[Document]:
    """Real films with year, genres and the embedding of their title."""
    path = Path(bokeh_sampledata.__file__).parent / "_data" / "movies.db"
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    rows = database.execute(
        "SELECT ID, Title, Year, Genre, imdbVotes FROM omdb WHERE Title != '' ORDER BY imdbVotes DESC LIMIT ?", (FILMS,)
    ).fetchall()
    database.close()
    vectors = encoders.documents.encode([row[1] for row in rows])
    return [
        Document(
            id=f"film-{id}",
            type="film" if year < 2005 else "recent",
            title=title,
            attributes={"year": (float(year),), "genre": tuple((genre or "None").split(", "))},
            popularity=float(votes or 0),
            created_at_s=(year - 1970) * 365.25 * 86_400,
            embedding=vector,
        )
        for (id, title, year, genre, votes), vector in zip(rows, vectors, strict=True)
    ]


@pytest.fixture(scope="session")
def queries(encoders: Encoders) -> Vectors:
    """Embeddings of what people might look for among films."""
    return encoders.queries.encode(
        [
            "space horror", "love story in paris", "gangster", "a heist gone wrong", "a dog saves a family",
            "school for wizards", "zombie outbreak", "war in vietnam", "wedding comedy", "time travel", "courtroom",
            "car chase", "haunted house", "superhero origin", "martial arts revenge", "slasher", "western outlaw",
            "musical on broadway", "toys come alive", "bank robbery", "cold war spy", "boxing champion",
            "prison escape", "alien invasion", "shark attack", "road trip with friends", "high school prom",
            "serial killer and detective", "christmas", "vampires", "the king of england", "lost in the desert",
        ]
    )  # fmt: skip

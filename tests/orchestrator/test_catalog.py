"""The catalogue over real gRPC and a real Redis; services that keep documents in a dictionary stand behind it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest

from honeyguide.api.lexical.v1 import lexical_pb2
from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2
from honeyguide.api.search.v1 import catalog_pb2, catalog_pb2_grpc
from honeyguide.client import in_process, over_channel
from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.documents import document_to_proto
from honeyguide.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable
from honeyguide.redis_store import RedisStore
from honeyguide.redis_transport import ServerTransport
from honeyguide.retriever import DocumentError, IndexStats
from honeyguide.server import Server
from honeyguide.servicers import IndexingServicer
from honeyguide_orchestrator.catalog import Catalog
from honeyguide_orchestrator.catalog_facts import NumericAttribute, SeenNumeric
from honeyguide_orchestrator.catalog_servicer import register_catalog
from honeyguide_orchestrator.catalog_store import CatalogStore
from honeyguide_orchestrator.catalog_watch import CatalogWatch
from honeyguide_orchestrator.ordered_pipeline import ordered_pipeline

Proto = document_pb2.Document


class DictionaryIndex:
    """An `Index` that keeps documents in memory, refuses what it is told to, and fails when it is told to."""

    def __init__(self, refused: str = "") -> None:
        self.documents: dict[str, Proto] = {}
        self.configuration = indexing_pb2.CatalogConfiguration()
        self.refused = refused
        self.failure: Exception | None = None
        self.batches = 0

    async def configure(self, configuration: indexing_pb2.CatalogConfiguration) -> None:
        self._fail()
        self.configuration = configuration

    async def upsert(self, documents) -> list[DocumentError]:  # type: ignore[no-untyped-def]
        self._fail()
        self.batches += 1
        errors = []
        for i, document in enumerate(documents):
            if document.id == self.refused:
                errors.append(DocumentError(i, document.id, "text", "is not liked"))
            else:
                self.documents[document.id] = document_to_proto(document)
        return errors

    async def delete(self, document_ids) -> int:  # type: ignore[no-untyped-def]
        self._fail()
        return sum(self.documents.pop(id, None) is not None for id in document_ids)

    async def stats(self) -> IndexStats:
        self._fail()
        return IndexStats({"film": len(self.documents)}, 0, {})

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class DocumentServicer:
    """Fetches from a `DictionaryIndex`."""

    def __init__(self, index: DictionaryIndex) -> None:
        self.index = index

    async def FetchDocuments(
        self, request: lexical_pb2.FetchDocumentsRequest, context: object
    ) -> lexical_pb2.FetchDocumentsResponse:
        found = (self.index.documents.get(id) for id in request.document_ids)
        return lexical_pb2.FetchDocumentsResponse(
            documents=[lexical_pb2.FetchedDocument(document=document) for document in found if document]
        )


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class World:
    """A catalogue and all that it needs."""

    def __init__(self, redis: RedisStore, key_prefix: str) -> None:
        self.indexes = {"lexical": DictionaryIndex(), "vector": DictionaryIndex(), "memory": DictionaryIndex()}
        self.clock = Clock()
        self.store = CatalogStore(redis, key_prefix)
        self.catalog = Catalog(
            {name: in_process(IndexingServicer(index)) for name, index in self.indexes.items()},
            in_process(DocumentServicer(self.indexes["lexical"])),
            self.store,
        )


@pytest.fixture
def world(store: RedisStore, key_prefix: str) -> World:
    return World(store, key_prefix)


def film(id: str, title: str = "", year: float | None = None, embedding: bytes = b"") -> Proto:
    document = Proto(id=id, type="film", title=title, embedding=embedding)
    if year is not None:
        document.attributes["year"].values.add(number=year)
    return document


# ----------------------------------------------------------------------------------------------------- documents


async def test_documents_reach_every_service_and_come_back(world: World) -> None:
    upserted = await world.catalog.upsert([film("a", "Heat"), film("b", "Up")])
    assert (upserted.count, upserted.errors) == (2, ())
    for index in world.indexes.values():
        assert set(index.documents) == {"a", "b"}
    assert (await world.catalog.get_document("a")).title == "Heat"
    with pytest.raises(NotFound, match="'c'"):
        await world.catalog.get_document("c")
    with pytest.raises(InvalidArgument, match="document_id"):
        await world.catalog.get_document("")
    stats = await world.catalog.stats()
    assert {name: s.document_count for name, s in stats.items()} == {"lexical": 2, "vector": 2, "memory": 2}
    assert await world.catalog.delete(["a", "a", "x"]) == 1
    assert all(set(index.documents) == {"b"} for index in world.indexes.values())


async def test_a_document_that_is_wrong_is_reported_and_the_others_taken(world: World) -> None:
    documents = [film("a"), Proto(id="bad", type="Not A Type"), film("b"), Proto(id="", type="film")]
    upserted = await world.catalog.upsert(documents)
    assert upserted.count == 2
    assert [(e.index, e.document_id, e.field) for e in upserted.errors] == [(1, "bad", "type"), (3, "", "id")]
    assert set(world.indexes["vector"].documents) == {"a", "b"}


async def test_nothing_is_sent_if_no_document_is_right(world: World) -> None:
    upserted = await world.catalog.upsert([Proto(id="x")])
    assert upserted.count == 0
    assert all(index.batches == 0 for index in world.indexes.values())


async def test_a_document_that_one_service_refuses_does_not_count(world: World) -> None:
    world.indexes["vector"].refused = world.indexes["memory"].refused = "b"
    upserted = await world.catalog.upsert([Proto(id="bad"), film("a"), film("b")])
    assert upserted.count == 1
    assert [(e.index, e.document_id) for e in upserted.errors] == [(0, "bad"), (2, "b")]
    assert upserted.errors[1].description == "vector: is not liked; memory: is not liked"


async def test_of_one_id_twice_the_last_valid_document_wins(world: World) -> None:
    upserted = await world.catalog.upsert([film("a", "first"), film("a", "second"), Proto(id="a", type="!")])
    assert upserted.count == 1
    assert [e.index for e in upserted.errors] == [2]
    assert world.indexes["memory"].documents["a"].title == "second"


async def test_embeddings_go_only_where_they_are_used_and_the_request_stays_as_it_was(world: World) -> None:
    embedding = np.ones(4, dtype="<f4").tobytes()
    document = film("a", embedding=embedding)
    await world.catalog.upsert([document])
    assert document.embedding == embedding
    held = {name: bool(index.documents["a"].embedding) for name, index in world.indexes.items()}
    assert held == {"lexical": False, "vector": True, "memory": False}


async def test_a_service_that_is_down_is_named_and_sending_again_mends_it(world: World) -> None:
    world.indexes["vector"].failure = Unavailable("connection refused")
    with pytest.raises(Unavailable, match="vector: connection refused"):
        await world.catalog.upsert([film("a")])
    with pytest.raises(Unavailable, match="vector"):
        await world.catalog.delete(["a"])
    with pytest.raises(Unavailable, match="vector"):
        await world.catalog.stats()
    world.indexes["vector"].failure = ResourceExhausted("full")
    with pytest.raises(ResourceExhausted, match="vector: full"):
        await world.catalog.upsert([film("a")])
    world.indexes["vector"].failure = None
    assert (await world.catalog.upsert([film("a")])).count == 1
    assert all(set(index.documents) == {"a"} for index in world.indexes.values())


async def test_requests_are_bounded(world: World) -> None:
    for documents in ([], [film(str(i)) for i in range(1_001)]):
        with pytest.raises(InvalidArgument, match="1 to 1,000"):
            await world.catalog.upsert(documents)
    large = [Proto(id=str(i), type="film", text="x" * 800_000) for i in range(4)]
    with pytest.raises(InvalidArgument, match="3 MiB"):
        await world.catalog.upsert(large)
    for ids in ([], ["x"] * 10_001):
        with pytest.raises(InvalidArgument, match="1 to 10,000"):
            await world.catalog.delete(ids)
    with pytest.raises(InvalidArgument, match=r"document_ids\[1\]"):
        await world.catalog.delete(["x", "\x00"])


# -------------------------------------------------------------------------------------------------- configuration


def attribute(name: str, **more: object) -> indexing_pb2.AttributeConfiguration:
    return indexing_pb2.AttributeConfiguration(name=name, **more)  # type: ignore[arg-type]


async def test_the_configuration_reaches_every_service_and_every_replica(world: World) -> None:
    configuration = indexing_pb2.CatalogConfiguration(
        types=[indexing_pb2.TypeConfiguration(name="film", embedded=True, embedded_attributes=["genre"])],
        attributes=[attribute("year", kind=indexing_pb2.ATTRIBUTE_KIND_NUMBER)],
        language="en",
    )
    assert await world.store.configuration() == indexing_pb2.CatalogConfiguration()
    watch = CatalogWatch(world.catalog, world.store, world.clock)
    await watch.refresh()
    await world.catalog.configure(configuration)
    assert all(index.configuration == configuration for index in world.indexes.values())
    assert watch.configuration() == indexing_pb2.CatalogConfiguration()
    world.clock.now_s += 1
    watch.configuration()  # old: fetched again behind the caller's back
    async with asyncio.timeout(5):
        while watch.configuration() != configuration or not watch.facts().numeric:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert watch.facts().numeric == (NumericAttribute("year"),)
    await watch.close()


@pytest.mark.parametrize(
    ("configuration", "field"),
    [
        (indexing_pb2.CatalogConfiguration(types=[indexing_pb2.TypeConfiguration(name="A b")]), r"types\[0\].name"),
        (indexing_pb2.CatalogConfiguration(types=[indexing_pb2.TypeConfiguration(name="a")] * 2), "twice"),
        (indexing_pb2.CatalogConfiguration(attributes=[attribute("")]), r"attributes\[0\].name"),
        (indexing_pb2.CatalogConfiguration(attributes=[attribute("a"), attribute("a")]), r"attributes\[1\].*twice"),
        (indexing_pb2.CatalogConfiguration(attributes=[attribute("a", kind=99)]), "99 is not one of"),
        (indexing_pb2.CatalogConfiguration(attributes=[attribute("a", boost=-1)]), r"attributes\[0\].boost"),
        (indexing_pb2.CatalogConfiguration(attributes=[attribute("a", boost=math.nan)]), "boost"),
        (indexing_pb2.CatalogConfiguration(title_boost=math.inf), "title_boost"),
        (indexing_pb2.CatalogConfiguration(language="english"), "language"),
    ],
)
async def test_a_wrong_configuration_changes_nothing(
    world: World, configuration: indexing_pb2.CatalogConfiguration, field: str
) -> None:
    with pytest.raises(InvalidArgument, match=field):
        await world.catalog.configure(configuration)
    assert await world.store.configuration() == indexing_pb2.CatalogConfiguration()


# ---------------------------------------------------------------------------------------------------------- facts


async def test_ranges_of_numeric_attributes_grow_with_the_documents(world: World) -> None:
    watch = CatalogWatch(world.catalog, world.store, world.clock)
    await world.catalog.upsert([film("a", year=1994.5), film("b", year=1980), film("c")])
    await watch.refresh()
    assert watch.facts().numeric == (NumericAttribute("year", low=1980, high=1994.5, count=2),)
    assert watch.facts().document_count == 3
    timed = film("d", year=2020)
    timed.attributes["released"].values.add().time.FromSeconds(86_400)
    await world.catalog.upsert([timed])
    world.clock.now_s += 5
    await watch.refresh()
    assert watch.facts().numeric == (
        NumericAttribute("year", low=1980, high=2020, count=3),
        NumericAttribute("released", is_time=True, low=86_400, high=86_400, count=1),
    )
    # What the configuration calls a keyword is none, whatever was seen.
    keyword = attribute("year", kind=indexing_pb2.ATTRIBUTE_KIND_KEYWORD)
    await world.catalog.configure(indexing_pb2.CatalogConfiguration(attributes=[keyword]))
    world.clock.now_s += 1
    await watch.refresh()
    assert [numeric.name for numeric in watch.facts().numeric] == ["released"]
    # Where it calls some numeric attributes recognized, the others are not looked for.
    year = attribute("year", kind=indexing_pb2.ATTRIBUTE_KIND_NUMBER, recognized=True)
    await world.catalog.configure(indexing_pb2.CatalogConfiguration(attributes=[year]))
    world.clock.now_s += 1
    await watch.refresh()
    assert [numeric.name for numeric in watch.facts().numeric] == ["year"]


async def test_documents_indexed_again_and_again_carry_an_attribute_no_more_often(world: World) -> None:
    watch = CatalogWatch(world.catalog, world.store, world.clock)
    for _ in range(30):
        await world.catalog.upsert([film("a", year=1994)])
        await world.catalog.upsert([film(id) for id in "bcdefghijklmnopqrst"])
    await watch.refresh()
    assert watch.facts().numeric == (NumericAttribute("year", low=1994, high=1994, count=1),)
    assert watch.facts().document_count == 20


def test_counts_made_before_documents_were_counted_are_still_read() -> None:
    year, price = (NumericAttribute(name, low=1, high=2, count=count) for name, count in (("year", 90), ("price", 30)))
    seen = {"year": year, "price": price}
    assert [one.count for one in SeenNumeric(seen, 0).within(200).values()] == [90, 30]
    assert [one.count for one in SeenNumeric(seen, 0).within(9).values()] == [9, 3]
    assert [one.count for one in SeenNumeric(seen, 100).within(9).values()] == [9, 3]
    assert SeenNumeric({}, 0).within(9) == {}


async def test_facts_stay_when_redis_or_a_service_does_not_answer(world: World) -> None:
    watch = CatalogWatch(world.catalog, world.store, world.clock)
    await world.catalog.upsert([film("a", year=1994)])
    await watch.refresh()
    before = watch.facts()
    world.indexes["lexical"].failure = Unavailable("gone")
    world.clock.now_s += 5
    await watch.refresh()
    assert watch.facts() == before

    unreachable = CatalogStore(RedisStore(ServerTransport("redis://127.0.0.1:1", 1, 1.0), ()), "x")
    with pytest.raises(Unavailable, match="Redis"):
        await unreachable.configuration()


# ---------------------------------------------------------------------------------------------------------- the wire


@pytest.fixture
async def remote(world: World) -> AsyncIterator[catalog_pb2_grpc.CatalogServiceAsyncStub]:
    server = Server("orchestrator", CommonSettings(drain_s=0), ServerSettings(), [register_catalog(world.catalog)])
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
    yield over_channel(channel, catalog_pb2_grpc.CatalogServiceStub, None)  # type: ignore[type-var,arg-type]
    await channel.close()
    await server.stop()


async def test_a_stream_is_answered_in_order_and_at_once(world: World, remote: object) -> None:
    sent: asyncio.Queue[catalog_pb2.UpsertDocumentsRequest | None] = asyncio.Queue()

    async def requests() -> AsyncIterator[catalog_pb2.UpsertDocumentsRequest]:
        while (request := await sent.get()) is not None:
            yield request

    responses = remote.UpsertDocuments(requests(), timeout=20)  # type: ignore[attr-defined]
    sent.put_nowait(catalog_pb2.UpsertDocumentsRequest(documents=[film("a"), Proto(id="bad")]))
    first = await anext(responses)  # without the next request being sent
    assert first.upserted == 1
    assert [(e.index, e.document_id, e.field) for e in first.errors] == [(1, "bad", "type")]
    for i in range(20):
        sent.put_nowait(catalog_pb2.UpsertDocumentsRequest(documents=[film(f"{i}-{j}") for j in range(i + 1)]))
    sent.put_nowait(None)
    assert [response.upserted async for response in responses] == list(range(1, 21))
    document = (await remote.GetDocument(catalog_pb2.GetDocumentRequest(document_id="a"), timeout=5)).document  # type: ignore[attr-defined]
    assert document.id == "a"
    deletions = remote.DeleteDocuments([catalog_pb2.DeleteDocumentsRequest(document_ids=["a"])], timeout=5)  # type: ignore[attr-defined]
    assert [response.deleted async for response in deletions] == [1]
    stats = await remote.GetCatalogStats(catalog_pb2.GetCatalogStatsRequest(), timeout=5)  # type: ignore[attr-defined]
    assert stats.services["vector"].document_count == 210
    configured = catalog_pb2.ConfigureCatalogRequest(
        configuration=indexing_pb2.CatalogConfiguration(attributes=[attribute("a", boost=-1)])
    )
    with pytest.raises(InvalidArgument, match="boost"):
        await remote.ConfigureCatalog(configured, timeout=5)  # type: ignore[attr-defined]


async def test_a_wrong_request_ends_the_stream_after_the_answers_before_it(remote: object) -> None:
    requests = [
        catalog_pb2.UpsertDocumentsRequest(documents=[film("a")]),
        catalog_pb2.UpsertDocumentsRequest(),
        catalog_pb2.UpsertDocumentsRequest(documents=[film("b")]),
    ]
    responses = remote.UpsertDocuments(requests, timeout=5)  # type: ignore[attr-defined]
    assert (await anext(responses)).upserted == 1
    with pytest.raises(InvalidArgument, match="1 to 1,000"):
        await anext(responses)


async def test_the_pipeline_is_bounded_and_keeps_one_key_in_order() -> None:
    running: set[int] = set()
    most = 0
    done: list[int] = []
    read = 0

    async def requests() -> AsyncIterator[int]:
        nonlocal read
        for i in range(30):
            read += 1
            yield i

    async def work(request: int) -> int:
        nonlocal most
        running.add(request)
        most = max(most, len(running))
        assert request == 0 or request % 3 or all(other % 3 for other in running - {request}), "shares a key"
        await asyncio.sleep(0.003 if request % 2 else 0.001)
        running.remove(request)
        done.append(request)
        return request

    pipeline = ordered_pipeline(requests(), work, lambda i: ["shared"] if i % 3 == 0 else [str(i)], 4)
    assert await anext(pipeline) == 0
    await asyncio.sleep(0.05)
    assert read <= 6  # nobody takes the answers: 4 in flight, and one that waits for room
    assert [request async for request in pipeline] == list(range(1, 30))
    assert most <= 4
    assert done != sorted(done)  # it did work side by side


async def test_the_pipeline_ends_what_it_started() -> None:
    cancelled = asyncio.Event()

    async def requests() -> AsyncIterator[int]:
        yield 0
        yield 1
        await asyncio.sleep(60)

    async def work(request: int) -> int:
        if request == 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise
        return request

    pipeline = ordered_pipeline(requests(), work, lambda i: [str(i)], 4)
    assert await anext(pipeline) == 0
    await asyncio.sleep(0.01)
    await pipeline.aclose()
    assert cancelled.is_set()

    async def broken() -> AsyncIterator[int]:
        yield 0
        raise Unavailable("the client went away")

    failing = ordered_pipeline(broken(), work, lambda i: [str(i)], 4)
    assert await anext(failing) == 0
    with pytest.raises(Unavailable):
        await anext(failing)

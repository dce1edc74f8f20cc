"""Whatever comes in, the answer says what was wrong with which field, and the next search works."""

from __future__ import annotations

import asyncio
import math
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from redis.asyncio import Redis

from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2
from honeyguide.api.search.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    feedback_pb2,
    feedback_pb2_grpc,
    learning_pb2,
    learning_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
)
from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.documents import Document, document_to_proto
from honeyguide.server import Server
from honeyguide_orchestrator.keys import Keys
from honeyguide_standalone.engine import Engine

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIX = "test-bad-input"
INVALID = grpc.StatusCode.INVALID_ARGUMENT
SEARCH = "/honeyguide.search.v1.SearchService/Search"
Until = Callable[..., Awaitable[Any]]
FEEDBACK = "/honeyguide.search.v1.FeedbackService/StreamFeedback"


class Client:
    """The public API over real gRPC."""

    def __init__(self, channel: grpc.aio.Channel, port: int, redis_url: str) -> None:
        self.channel = channel
        self.target = f"127.0.0.1:{port}"
        self.redis_url = redis_url
        self.searches: Any = search_pb2_grpc.SearchServiceStub(channel)
        self.feedback: Any = feedback_pb2_grpc.FeedbackServiceStub(channel)
        self.catalog: Any = catalog_pb2_grpc.CatalogServiceStub(channel)
        self.learning: Any = learning_pb2_grpc.LearningServiceStub(channel)

    async def search(self, **fields: Any) -> search_pb2.SearchResponse:
        return await self.searches.Search(search_pb2.SearchRequest(**fields), timeout=20)

    async def send(self, *events: feedback_pb2.FeedbackEvent) -> list[feedback_pb2.EventAcknowledgement]:
        request = feedback_pb2.StreamFeedbackRequest(events=events)
        (response,) = await drained(self.feedback.StreamFeedback(iter([request]), timeout=20))
        return list(response.acknowledgements)

    async def upsert(self, *documents: document_pb2.Document) -> catalog_pb2.UpsertDocumentsResponse:
        request = catalog_pb2.UpsertDocumentsRequest(documents=documents)
        (response,) = await drained(self.catalog.UpsertDocuments(iter([request]), timeout=20))
        return response

    async def still_works(self) -> None:
        response = await self.search(query="park 3")
        assert "d3" in [result.document.id for result in response.results]
        assert not response.failures


async def drained(call: Any) -> list[Any]:
    return [response async for response in call]


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, list[str]]:
    """The status code, and the fields that the error's details name; each with words on what was wrong."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    status = rpc_status.from_call(raised.value)
    fields = []
    for detail in status.details if status else ():
        bad_request = error_details_pb2.BadRequest()
        if detail.Unpack(bad_request):
            assert all(violation.description for violation in bad_request.field_violations)
            fields = [violation.field for violation in bad_request.field_violations]
    assert "Traceback" not in (raised.value.details() or "")
    return raised.value.code(), fields


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory, redis_url: str, until: Until) -> AsyncIterator[Client]:
    documents = [
        Document(f"d{n}", "film", f"Park {n}", "A film about a park", {"year": (1990.0 + n,)}, popularity=n)
        for n in range(12)
    ]
    async with Engine(tmp_path_factory.mktemp("engine"), redis_url, PREFIX) as engine:
        server = Server("orchestrator", CommonSettings(), ServerSettings(), engine.registrations)
        await server.start()
        assert not await engine.api.index(documents)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            client = Client(channel, server.port, redis_url)
            await until(lambda: client.search(query="park", page_size=50), lambda found: len(found.results) >= 12)
            yield client
        await server.stop()


def condition(**kind: Any) -> dict[str, Any]:
    return {"filter": document_pb2.Filter(attributes=[document_pb2.AttributeCondition(attribute="year", **kind)])}


def number(value: float) -> document_pb2.Value:
    return document_pb2.Value(number=value)


def at(time_s: float) -> Timestamp:
    return Timestamp(seconds=int(time_s))


# ------------------------------------------------------------------------------------------------------------- search


@pytest.mark.parametrize("query", ["", "   ", "!?", "x" * 2_000, "日本 🎬 ﷽", "a" * 500 + " " + "b " * 700])
async def test_odd_queries_are_searched(client: Client, query: str) -> None:
    response = await client.search(query=query)
    assert response.decision_id
    assert not response.failures
    await client.still_works()


async def test_an_empty_query_recommends(client: Client) -> None:
    assert (await client.search()).results


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"query": "x" * 2_001}, "query", id="2,001 characters"),
        pytest.param({"query": "a\x00b"}, "query", id="NUL"),
        pytest.param(condition(), "filter.attributes[0]", id="no condition"),
        pytest.param(condition(equals=document_pb2.Value()), "filter.attributes[0].equals", id="no value"),
        pytest.param(condition(equals=number(math.nan)), "filter.attributes[0].equals", id="not a number"),
        pytest.param(condition(any_of=document_pb2.Values()), "filter.attributes[0].any_of", id="none of any"),
        pytest.param(
            condition(range=document_pb2.Range(min=number(2), max=number(1))),
            "filter.attributes[0].range",
            id="min>max",
        ),
        pytest.param(
            condition(range=document_pb2.Range(min=document_pb2.Value(text="a"))),
            "filter.attributes[0].range.min",
            id="range of texts",
        ),
        pytest.param({"filter": document_pb2.Filter(types=["No Type"])}, "filter.types", id="type"),
        pytest.param(
            {"filter": document_pb2.Filter(excluded_document_ids=[str(n) for n in range(10_001)])},
            "filter.excluded_document_ids",
            id="10,001 excluded",
        ),
        pytest.param({"page_size": 101}, "page_size", id="page of 101"),
        pytest.param({"page_size": 2**32 - 1}, "page_size", id="huge page"),
        pytest.param({"page_token": "bm9uc2Vuc2U="}, "page_token", id="forged token"),
        pytest.param({"page_token": "§" * 600}, "page_token", id="token of other characters"),
        pytest.param({"policy": "nonsense"}, "policy", id="policy"),
        pytest.param({"ranker": "nonsense"}, "ranker", id="ranker"),
        pytest.param({"view": 99}, "view", id="view"),
        pytest.param({"context": document_pb2.Context(user_id="u" * 257)}, "context.user_id", id="user"),
        pytest.param(
            {"context": document_pb2.Context(time=Timestamp(seconds=10**13))}, "context.time", id="year 300000"
        ),
        pytest.param({"context": document_pb2.Context(time=at(time.time() + 3_600))}, "context.time", id="in an hour"),
    ],
)
async def test_a_wrong_search_names_its_field(client: Client, fields: dict[str, Any], field: str) -> None:
    assert await refused(client.search(query=fields.pop("query", "park"), **fields)) == (INVALID, [field])
    await client.still_works()


async def test_10_megabytes_are_refused(client: Client) -> None:
    code, _ = await refused(client.search(query="x" * 10_000_000))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    await client.still_works()


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        pytest.param(b"\x0a\x03\xed\xa0\x80", "request", id="lone surrogate"),
        pytest.param(b"\x0a\x02\xff\xfe", "request", id="not UTF-8"),
        pytest.param(b"\x0a\x7fcut off", "request", id="cut off"),
        pytest.param(b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "page_size", id="page of -1"),
    ],
)
async def test_bytes_that_no_client_library_sends(client: Client, raw: bytes, field: str) -> None:
    call = client.channel.unary_unary(SEARCH)
    assert await refused(call(raw, timeout=20)) == (INVALID, [field])
    await client.still_works()


async def test_a_stream_with_a_message_that_is_none(client: Client) -> None:
    call = client.channel.stream_stream(FEEDBACK)
    good = feedback_pb2.StreamFeedbackRequest(events=[event(event_id="before-nonsense")]).SerializeToString()
    responses = call(iter([good, b"\x0a\x7fcut off"]), timeout=20)
    first = feedback_pb2.StreamFeedbackResponse.FromString(await anext(aiter(responses)))
    assert first.acknowledgements[0].status == feedback_pb2.EVENT_STATUS_ACCEPTED
    assert await refused(drained(responses)) == (INVALID, ["request"])
    await client.still_works()


async def test_a_filter_on_an_attribute_that_nobody_has_finds_nothing(client: Client) -> None:
    wanted = document_pb2.AttributeCondition(attribute="nonsense", equals=document_pb2.Value(text="x"))
    for policy in ("", "full_depth"):
        response = await client.search(
            query="park", filter=document_pb2.Filter(attributes=[wanted]), policy=policy, untracked=True
        )
        assert not response.results
        assert not response.failures


async def test_a_token_goes_with_its_query_and_filter(client: Client) -> None:
    first = await client.search(query="park", page_size=3)
    token = first.next_page_token
    assert await refused(client.search(query="parks", page_token=token)) == (INVALID, ["page_token"])
    other = condition(equals=number(1993))
    assert await refused(client.search(query="park", page_token=token, **other)) == (INVALID, ["page_token"])
    flipped = ("B" if token[20] == "A" else "A").join((token[:20], token[21:]))
    assert await refused(client.search(query="park", page_token=flipped)) == (INVALID, ["page_token"])
    assert (await client.search(query="park", page_token=token)).decision_id == first.decision_id


async def test_a_token_of_a_decision_that_is_gone_is_stale(client: Client) -> None:
    first = await client.search(query="park", page_size=3)
    async with Redis.from_url(client.redis_url) as redis:
        assert await redis.delete(Keys(PREFIX).decision(first.decision_id))
    assert await refused(client.search(query="park", page_token=first.next_page_token)) == (INVALID, ["page_token"])
    await client.still_works()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"prefix": "x" * 201}, "prefix", id="201 characters"),
        pytest.param({"prefix": "x", "limit": 51}, "limit", id="51"),
        pytest.param({"prefix": "a\x00"}, "prefix", id="NUL"),
        pytest.param({"prefix": "x", "filter": document_pb2.Filter(types=["?"])}, "filter.types", id="type"),
    ],
)
async def test_a_wrong_suggest_names_its_field(client: Client, fields: dict[str, Any], field: str) -> None:
    assert await refused(client.searches.Suggest(search_pb2.SuggestRequest(**fields))) == (INVALID, [field])
    await client.still_works()


# ----------------------------------------------------------------------------------------------------------- feedback


def event(**fields: Any) -> feedback_pb2.FeedbackEvent:
    given = {"event_id": "e", "document_id": "d3", "action": feedback_pb2.ACTION_TYPE_CLICK, "query": "park"}
    return feedback_pb2.FeedbackEvent(**{**given, **fields})


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"event_id": ""}, "event_id", id="no id"),
        pytest.param({"event_id": "e" * 129}, "event_id", id="129 bytes"),
        pytest.param({"event_id": "a\x00"}, "event_id", id="NUL in id"),
        pytest.param({"document_id": ""}, "document_id", id="no document"),
        pytest.param({"action": feedback_pb2.ACTION_TYPE_UNSPECIFIED}, "action", id="unspecified"),
        pytest.param({"action": 77}, "action", id="unknown action"),
        pytest.param({"action": feedback_pb2.ACTION_TYPE_PLAY, "seconds": math.nan}, "seconds", id="NaN seconds"),
        pytest.param({"action": feedback_pb2.ACTION_TYPE_PLAY, "seconds": -1}, "seconds", id="negative seconds"),
        pytest.param({"time": at(-1)}, "time", id="before 1970"),
        pytest.param({"time": at(time.time() + 3_600)}, "time", id="in an hour"),
        pytest.param({"time": Timestamp(seconds=2**62)}, "time", id="no such time"),
        pytest.param({"query": "x" * 2_001}, "query", id="2,001 characters"),
        pytest.param({"context": document_pb2.Context(user_id="\x00")}, "context.user_id", id="NUL in user"),
    ],
)
async def test_a_wrong_event_is_rejected_and_the_others_are_taken(
    client: Client, request: pytest.FixtureRequest, fields: dict[str, Any], field: str
) -> None:
    good = event(event_id=f"good {request.node.callspec.id}"[:128])
    rejected, accepted = await client.send(event(**fields), good)
    assert (rejected.status, rejected.field) == (feedback_pb2.EVENT_STATUS_REJECTED, field)
    assert rejected.description
    assert accepted.status == feedback_pb2.EVENT_STATUS_ACCEPTED
    await client.still_works()


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_request_holds_1_to_1000_events(client: Client, count: int) -> None:
    events = [event(event_id=f"many-{n}") for n in range(count)]
    assert await refused(client.send(*events)) == (INVALID, ["events"])
    await client.still_works()


async def test_an_event_of_an_unknown_decision_is_kept_and_counted_and_a_second_one_is_not(
    client: Client, until: Until
) -> None:
    async def counts() -> tuple[int, int]:
        progress = await client.learning.GetProgress(learning_pb2.GetProgressRequest())
        return progress.events["unknown_decision"], sum(progress.events.values())

    async with Redis.from_url(client.redis_url) as redis:
        accepted = await redis.xlen(Keys(PREFIX).events(0))
    before, _ = await until(counts, lambda now: now[1] == accepted)
    stray = event(event_id="stray", decision_id="nobody-knows-it")
    (first,) = await client.send(stray)
    again, same, _ = await client.send(stray, stray, event(event_id="stray 2", decision_id="nobody-knows-it"))
    assert first.status == feedback_pb2.EVENT_STATUS_ACCEPTED
    assert again.status == same.status == feedback_pb2.EVENT_STATUS_DUPLICATE
    assert await until(counts, lambda now: now[1] >= accepted + 2) == (before + 2, accepted + 2)


# ---------------------------------------------------------------------------------------------------------- catalogue


def film(**fields: Any) -> document_pb2.Document:
    return document_pb2.Document(**{"id": "wrong", "type": "film", "title": "Wrong", **fields})


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"id": ""}, "id", id="no id"),
        pytest.param({"id": "i" * 513}, "id", id="513 bytes"),
        pytest.param({"id": "a\nb"}, "id", id="line end in id"),
        pytest.param({"type": ""}, "type", id="no type"),
        pytest.param({"type": "A Film"}, "type", id="type"),
        pytest.param({"title": "a\x00"}, "title", id="NUL in title"),
        pytest.param({"title": "x" * 2_001}, "title", id="2,001 characters"),
        pytest.param({"popularity": math.nan}, "popularity", id="NaN"),
        pytest.param({"popularity": -1.0}, "popularity", id="negative"),
        pytest.param({"embedding": floats(1, 2, 3)}, "embedding", id="3 dimensions"),
        pytest.param({"embedding": b"12345"}, "embedding", id="5 bytes"),
        pytest.param({"embedding": floats(*[math.inf] * 384)}, "embedding", id="infinite"),
        pytest.param({"attributes": {"year": document_pb2.Values(values=[number(math.inf)])}}, "attributes.year"),
        pytest.param({"attributes": {"year": document_pb2.Values(values=[document_pb2.Value()])}}, "attributes.year"),
        pytest.param({"created_at": Timestamp(seconds=2**50)}, "created_at", id="no such time"),
    ],
)
async def test_a_wrong_document_is_named_and_the_others_are_taken(
    client: Client, fields: dict[str, Any], field: str
) -> None:
    good = document_to_proto(Document("d0", "film", "Park 0", "A film about a park"))
    response = await client.upsert(film(**fields), good)
    assert response.upserted == 1
    (error,) = response.errors
    assert (error.index, error.field) == (0, field)
    assert error.description
    await client.still_works()


async def test_a_document_refused_by_one_service_is_found_by_none(client: Client) -> None:
    response = await client.upsert(film(id="half", title="Halfway", embedding=floats(1, 2)))
    assert response.upserted == 0
    assert (await refused(get(client, "half")))[0] is grpc.StatusCode.NOT_FOUND


def get(client: Client, id: str) -> Any:
    return client.catalog.GetDocument(catalog_pb2.GetDocumentRequest(document_id=id))


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_request_holds_1_to_1000_documents(client: Client, count: int) -> None:
    documents = [film(id=f"many-{n}") for n in range(count)]
    assert await refused(client.upsert(*documents)) == (INVALID, ["documents"])
    assert (await refused(get(client, "many-0")))[0] is grpc.StatusCode.NOT_FOUND
    await client.still_works()


async def delete(client: Client, ids: Iterable[str]) -> int:
    request = catalog_pb2.DeleteDocumentsRequest(document_ids=ids)
    (response,) = await drained(client.catalog.DeleteDocuments(iter([request])))
    return response.deleted


async def test_deletes(client: Client) -> None:
    assert await delete(client, ["nobody", "nothing"]) == 0
    assert await refused(delete(client, [])) == (INVALID, ["document_ids"])
    assert await refused(delete(client, ["fine", ""])) == (INVALID, ["document_ids[1]"])
    await client.still_works()


async def test_documents_that_are_not_there(client: Client) -> None:
    assert await refused(get(client, "nobody")) == (grpc.StatusCode.NOT_FOUND, [])
    assert await refused(get(client, "")) == (INVALID, ["document_id"])


YEAR = indexing_pb2.AttributeConfiguration(name="year", kind=indexing_pb2.ATTRIBUTE_KIND_NUMBER)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"attributes": [YEAR, YEAR]}, "attributes[1].name", id="attribute twice"),
        pytest.param({"types": [{"name": "film"}] * 2}, "types[1].name", id="type twice"),
        pytest.param({"types": [{"name": "A Film"}]}, "types[0].name", id="type"),
        pytest.param({"attributes": [{"name": "year", "kind": 99}]}, "attributes[0].kind", id="kind"),
        pytest.param({"title_boost": -1}, "title_boost", id="boost"),
        pytest.param({"language": "english"}, "language", id="language"),
    ],
)
async def test_a_wrong_configuration_names_its_field(client: Client, fields: dict[str, Any], field: str) -> None:
    request = catalog_pb2.ConfigureCatalogRequest(configuration=indexing_pb2.CatalogConfiguration(**fields))
    assert await refused(client.catalog.ConfigureCatalog(request)) == (INVALID, [field])
    await client.still_works()


# ----------------------------------------------------------------------------------------------------------- learning


async def test_wrong_questions_about_learning(client: Client) -> None:
    export = client.learning.ExportDecisions(learning_pb2.ExportDecisionsRequest(format=99))
    assert await refused(drained(export)) == (INVALID, ["format"])
    since = learning_pb2.ExportDecisionsRequest(since=Timestamp(seconds=2**50))
    assert await refused(drained(client.learning.ExportDecisions(since))) == (INVALID, ["since"])
    progress = client.learning.GetProgress(learning_pb2.GetProgressRequest(points=1_001))
    assert await refused(progress) == (INVALID, ["points"])
    await client.still_works()


# ------------------------------------------------------------------------------------------------------- command line


async def command(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `honeyguide ARGUMENTS`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "honeyguide_standalone", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_user_errors_are_one_line_and_exit_code_2(client: Client, tmp_path: Path) -> None:
    here = ("--target", client.target, "--data-dir", str(tmp_path))
    cases = (
        (("search", "park", "--filter", "nonsense", *here), "--filter"),
        (("search", "x" * 2_001, *here), "query: is 2,001 characters long"),
        (("search", "park", "--target", "127.0.0.1:1"), "127.0.0.1:1 does not answer"),
    )
    ended = await asyncio.gather(*(command(*arguments) for arguments, _ in cases))
    for (_, told), (code, out, err) in zip(cases, ended, strict=True):
        assert (code, out) == (2, "")
        assert told in err
        assert len(err.splitlines()) == 1, err
    await client.still_works()


async def test_an_unknown_attribute_in_a_filter_finds_nothing(client: Client, tmp_path: Path) -> None:
    here = ("--target", client.target, "--data-dir", str(tmp_path))
    code, out, err = await command("search", "park", "--filter", "nonsense=1", "--json", *here)
    assert (code, err) == (0, "")
    assert '"results"' not in out
    _, out, _ = await command("search", "park", "--filter", "nonsense=1", *here)
    assert "no document passes the filter" in out


async def test_malformed_lines_are_named_and_the_others_are_indexed(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "films.jsonl"
    lines = [
        b'{"id": "c1", "type": "film", "title": "Command line"}',
        b"not json",
        b'{"type": "film"}',
        b'{"id": "c2", "type": "film", "title": "\\ud800"}',
        b'{"id": "c3", "type": "film", "title": "\xff"}',
        b'{"id": "c4", "type": "film", "popularity": NaN}',
        b'{"id": "c5", "type": "film", "embedding": [1, 2]}',
        b'["id", "c6"]',
        b'{"id": "c7", "type": "film", "colour": "red"}',
        b"[" * 100_000,
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    code, out, err = await command("index", str(path), "--target", client.target, "--data-dir", str(tmp_path))
    assert code == 1
    assert "1 documents indexed" in out
    assert [line.split(": ")[0] for line in err.splitlines()] == [f"{path}:{n}" for n in range(2, 11)], err
    assert (await get(client, "c1")).document.title == "Command line"
    await client.still_works()

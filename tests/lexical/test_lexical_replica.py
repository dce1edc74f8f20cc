"""Replicas of the lexical service, over real gRPC: they have what their primary has, whatever happens in between."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from honeyguide.api.retrieval.v1 import indexing_pb2, replication_pb2, replication_pb2_grpc
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide.documents import Document
from honeyguide.errors import FailedPrecondition, InvalidArgument, Unavailable
from honeyguide.server import Server
from honeyguide_lexical.service import open_service
from honeyguide_lexical.settings import LexicalSettings

from .conftest import Client, film

COMMON = CommonSettings(drain_s=0)


class Served(Client):
    """A lexical service with a port of its own."""

    def __init__(self, connection: RemoteConnection, port: int) -> None:
        super().__init__(connection)
        self.replication: Any = connection.stub(replication_pb2_grpc.ReplicationServiceStub)
        self.port = port

    async def names(self, query: str) -> list[str]:
        return sorted(await self.ids("lexical.bm25", query))


@asynccontextmanager
async def serve(folder: Path, primary: str | None = None, port: int = 0) -> AsyncIterator[Served]:
    settings = LexicalSettings(data_dir=folder, commit_interval_s=0.05, port=port, primary=primary)
    async with open_service(settings, COMMON) as registrations:
        server = Server("lexical", COMMON, settings, registrations)
        await server.start()
        connection = RemoteConnection(f"127.0.0.1:{server.port}", COMMON)
        try:
            yield Served(connection, server.port)
        finally:
            await connection.close()
            await server.stop()


async def until(ask: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    end_s = time.monotonic() + 20
    while (answer := await ask()) != wanted:
        assert time.monotonic() < end_s, f"{answer} is not {wanted}"
        await asyncio.sleep(0.02)


def at(served: Served) -> str:
    return f"127.0.0.1:{served.port}"


async def test_it_has_what_there_is_and_what_comes(tmp_path: Path) -> None:
    async with serve(tmp_path / "one") as primary:
        for begin in range(0, 2_500, 500):
            await primary.put(*(film(f"a{i}", f"wolf w{i}", 1) for i in range(begin, begin + 500)))
        await primary.put(film("gone", "wolf away", 1))
        await primary.delete("gone")
        async with serve(tmp_path / "two", at(primary)) as replica:
            await until(lambda: replica.names("w7"), ["a7"])
            assert [one.document.title for one in await replica.fetch("a2499", "gone")] == ["wolf w2499"]
            await primary.put(film("b", "a badger", 1), film("a7", "a fox", 1))
            await primary.delete("a8")
            await until(lambda: replica.names("badger"), ["b"])
            await until(lambda: replica.names("fox"), ["a7"])
            await until(lambda: replica.names("w8"), [])
            assert [one.document.title for one in await replica.fetch("a7", "a8")] == ["a fox"]


async def test_what_it_is_sent_goes_to_the_primary(tmp_path: Path) -> None:
    async with serve(tmp_path / "one") as primary, serve(tmp_path / "two", at(primary)) as replica:
        errors = await replica.put(film("a", "wolf", 1), Document("", "film", "no id"))
        assert [(error.index, error.field) for error in errors] == [(1, "id")]
        assert await primary.names("wolf") == ["a"]
        assert (await replica.stats()).document_count == 1
        await until(lambda: replica.names("wolf"), ["a"])
        assert await replica.delete("a") == 1
        await until(lambda: replica.names("wolf"), [])
        with pytest.raises(InvalidArgument) as caught:
            await replica.delete(*map(str, range(10_001)))
        assert caught.value.violations[0].field == "document_ids"


async def test_the_configuration_comes_too(tmp_path: Path) -> None:
    genre = indexing_pb2.AttributeConfiguration(name="genre", searchable=True)
    async with serve(tmp_path / "one") as primary, serve(tmp_path / "two", at(primary)) as replica:
        await primary.put(film("a", "wolf", 1, genre="thriller"))
        await until(lambda: replica.names("wolf"), ["a"])
        assert await replica.names("thriller") == []
        await primary.configure(genre)
        await until(lambda: replica.names("thriller"), ["a"])
    async with serve(tmp_path / "two") as alone:
        assert await alone.names("thriller") == ["a"]


async def test_it_serves_without_its_primary_and_catches_up_with_it(tmp_path: Path) -> None:
    async with serve(tmp_path / "one") as primary:
        port, address = primary.port, at(primary)
        await primary.put(film("a", "wolf", 1))
        async with serve(tmp_path / "two", address) as replica:
            await until(lambda: replica.names("wolf"), ["a"])
    async with serve(tmp_path / "two", address) as replica:
        assert await replica.names("wolf") == ["a"]
        with pytest.raises(Unavailable):
            await replica.put(film("b", "wolf", 1))
        async with serve(tmp_path / "one", port=port) as primary:
            await primary.put(film("c", "wolf", 1))
            await until(lambda: replica.names("wolf"), ["a", "c"])


async def test_an_empty_one_waits_for_its_primary(tmp_path: Path) -> None:
    async with serve(tmp_path / "one") as primary:
        port, address = primary.port, at(primary)
        await primary.put(film("a", "wolf", 1))
    opening = serve(tmp_path / "two", address)
    entered = asyncio.create_task(opening.__aenter__())
    await asyncio.sleep(0.3)
    assert not entered.done()
    async with serve(tmp_path / "one", port=port):
        replica = await entered
        await until(lambda: replica.names("wolf"), ["a"])
        await opening.__aexit__(None, None, None)


async def test_it_is_a_primary_once_it_follows_none(tmp_path: Path) -> None:
    async with serve(tmp_path / "one") as primary, serve(tmp_path / "two", at(primary)) as replica:
        await primary.put(film("a", "wolf", 1))
        await until(lambda: replica.names("wolf"), ["a"])
    async with serve(tmp_path / "two") as promoted, serve(tmp_path / "three", at(promoted)) as replica:
        await promoted.put(film("b", "wolf", 1))
        await until(lambda: replica.names("wolf"), ["a", "b"])


async def test_what_is_no_copy_of_the_primary_is_refused(tmp_path: Path) -> None:
    async with serve(tmp_path / "two") as other:
        await other.put(film("b", "badger", 1))
    async with serve(tmp_path / "one") as primary:
        await primary.put(film("a", "wolf", 1))
        with pytest.raises(FailedPrecondition, match=r"1 changes are not the first of .* empty the replica's folder"):
            async with serve(tmp_path / "two", at(primary)):
                pass
    async with serve(tmp_path / "two") as other:
        assert await other.names("badger") == ["b"]


async def test_what_only_the_first_primary_took_in_is_refused_by_the_second(tmp_path: Path) -> None:
    async with serve(tmp_path / "one") as first:
        await first.put(film("a", "wolf", 1))
        for name in ("two", "three"):
            async with serve(tmp_path / name, at(first)) as replica:
                await until(partial(replica.names, "wolf"), ["a"])
        await first.put(film("b", "wolf", 1))
    async with serve(tmp_path / "two") as second:
        await second.put(film("c", "wolf", 1))
        async with serve(tmp_path / "three", at(second)) as replica:
            await until(partial(replica.names, "wolf"), ["a", "c"])
        with pytest.raises(FailedPrecondition, match="2 changes are not the first of the primary's 2"):
            async with serve(tmp_path / "one", at(second)):
                pass
    async with serve(tmp_path / "one") as first:
        assert await first.names("wolf") == ["a", "b"]


async def test_changes_come_in_pages_and_are_waited_for(tmp_path: Path) -> None:
    async with serve(tmp_path / "one") as primary:
        await primary.put(*(film(f"a{i}", "wolf", 1, text="x" * 100_000) for i in range(25)))
        first = await primary.replication.FetchChanges(replication_pb2.FetchChangesRequest())
        assert 5 <= len(first.changes) <= 11
        assert first.newest == 25
        request = replication_pb2.FetchChangesRequest(journal_id=first.journal_id, after=25)
        request.wait.FromMilliseconds(60_000)
        begin_s = time.monotonic()
        assert not (await primary.replication.FetchChanges(request)).changes
        assert 0.9 < time.monotonic() - begin_s < 5
        waiting = asyncio.create_task(primary.replication.FetchChanges(request))
        await primary.put(film("b", "wolf", 1), settle=False)
        assert [change.document_id for change in (await waiting).changes] == ["b"]


@pytest.mark.parametrize(
    ("address", "followed"),
    [
        (None, False),
        ("{host}:50051", False),
        ("{host}.lexical:50051", False),
        ("dns:///{host}.lexical.shop.svc:50051", False),
        ("{host}.lexical:50052", True),
        ("lexical-0.lexical:50051", True),
        ("127.0.0.1:50051", True),
    ],
)
def test_it_knows_itself(address: str | None, followed: bool) -> None:
    given = address and address.format(host=socket.gethostname().partition(".")[0])
    settings = LexicalSettings(primary=given, port=50051)
    assert settings.followed == (given if followed else None)

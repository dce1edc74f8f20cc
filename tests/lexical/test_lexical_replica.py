"""Replicas of the lexical service, over real gRPC: they have what their primary has, whatever happens in between."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from honeyguide import replication_servicers
from honeyguide.api.retrieval.v1 import indexing_pb2, indexing_pb2_grpc, replication_pb2, replication_pb2_grpc
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide.documents import Document
from honeyguide.errors import FailedPrecondition, InvalidArgument, Unavailable
from honeyguide.server import Server
from honeyguide_lexical.service import open_service
from honeyguide_lexical.settings import LexicalSettings
from honeyguide_lexical.store import Store

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
async def serve(
    folder: Path, primary: str | None = None, port: int = 0, common: CommonSettings = COMMON
) -> AsyncIterator[Served]:
    settings = LexicalSettings(data_dir=folder, commit_interval_s=0.05, port=port, primary=primary)
    async with open_service(settings, common) as registrations:
        server = Server("lexical", common, settings, registrations)
        await server.start()
        connection = RemoteConnection(f"127.0.0.1:{server.port}", common)
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


async def test_a_first_copy_that_breaks_off_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication_servicers, "PAGE_CHANGES", 5)
    async with serve(tmp_path / "one") as primary:
        port, address = primary.port, at(primary)
        await primary.put(*(film(f"a{i}", "wolf", 1) for i in range(20)))
        pages: list[int] = []
        changes = replication_servicers.ReplicationServicer._changes

        def two_pages(*given: Any) -> Any:
            if len(pages) == 3:  # the first is the configuration
                raise Unavailable("gone")
            pages.append(1)
            return changes(*given)

        monkeypatch.setattr(replication_servicers.ReplicationServicer, "_changes", two_pages)
        opening = serve(tmp_path / "two", address)
        entered = asyncio.create_task(opening.__aenter__())
        await asyncio.sleep(1.5)
        assert len(pages) == 3
        assert not entered.done()
    monkeypatch.setattr(replication_servicers.ReplicationServicer, "_changes", changes)
    await asyncio.sleep(0.7)
    assert not entered.done()
    async with serve(tmp_path / "one", port=port):
        replica = await entered
        assert len(await replica.ids("lexical.bm25", "wolf", depth=50)) == 20, "all of it is found once it serves"
        await opening.__aexit__(None, None, None)


async def test_a_configuration_that_could_not_be_carried_out_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tmp_path / "one") as primary, serve(tmp_path / "two", at(primary)) as replica:
        await primary.put(film("a", "wolf", 1, genre="thriller"))
        await until(lambda: replica.names("wolf"), ["a"])
        build = Store._build_index
        failed: list[Path] = []

        def fails_once(store: Store, *given: Any) -> Any:
            if store._data_dir == tmp_path / "two" and not failed:
                failed.append(store._data_dir)
                raise OSError("no space left")
            return build(store, *given)

        monkeypatch.setattr(Store, "_build_index", fails_once)
        await primary.configure(indexing_pb2.AttributeConfiguration(name="genre", searchable=True))
        await until(lambda: replica.names("thriller"), ["a"])
        assert failed


async def test_a_folder_copied_by_hand_is_a_copy_at_once(tmp_path: Path) -> None:
    async with serve(tmp_path / "one") as first:
        await first.put(film("a", "wolf", 1))
    shutil.copytree(tmp_path / "one", tmp_path / "two", ignore=shutil.ignore_patterns("lock"))
    async with serve(tmp_path / "one") as first, serve(tmp_path / "two", at(first)):
        pass
    async with serve(tmp_path / "one") as first, serve(tmp_path / "two") as second:
        await first.put(film("b", "wolf", 1))
        await second.put(film("c", "wolf", 1))
    async with serve(tmp_path / "two") as second:
        with pytest.raises(FailedPrecondition, match="2 changes are not the first"):
            async with serve(tmp_path / "one", at(second)):
                pass


async def test_replicas_follow_no_replica(tmp_path: Path) -> None:
    async with serve(tmp_path / "one") as primary, serve(tmp_path / "two", at(primary)) as replica:
        with pytest.raises(FailedPrecondition, match="is a replica itself"):
            async with serve(tmp_path / "three", at(replica)):
                pass


async def test_a_primary_that_became_a_replica_is_handed_nothing_on(tmp_path: Path) -> None:
    """Two that name each other do not hand a call on for ever."""
    async with serve(tmp_path / "one") as first:
        await first.put(film("a", "wolf", 1))
        port = first.port
        async with serve(tmp_path / "two", at(first)) as second:
            await until(lambda: second.names("wolf"), ["a"])
    async with serve(tmp_path / "two", f"127.0.0.1:{port}") as second:  # has all, and waits for nobody
        opening = serve(tmp_path / "three", at(second))
        with pytest.raises(FailedPrecondition, match="is a replica itself"):
            await opening.__aenter__()
        metadata = RemoteConnection(at(second), COMMON, (replication_servicers.HANDED_ON,))
        with pytest.raises(FailedPrecondition, match="is a replica itself"):
            await metadata.stub(indexing_pb2_grpc.IndexingServiceStub).GetStats(indexing_pb2.GetStatsRequest())
        await metadata.close()
        assert (await second.stats()).document_count == 1, "its own, as the primary does not answer"


async def test_small_messages_do(tmp_path: Path) -> None:
    common = CommonSettings(drain_s=0, message_bytes_max=2**16)
    async with serve(tmp_path / "one", common=common) as primary:
        for i in range(10):
            await primary.put(film(f"a{i}", "wolf", 1, text="x" * 12_000))
        async with serve(tmp_path / "two", at(primary), common=common) as replica:
            assert len(await replica.names("wolf")) == 10


async def test_changes_come_in_pages_and_are_waited_for(tmp_path: Path) -> None:
    async with serve(tmp_path / "one") as primary:
        await primary.put(*(film(f"a{i}", "wolf", 1, text="x" * 100_000) for i in range(25)))
        told = await primary.replication.FetchChanges(replication_pb2.FetchChangesRequest())
        assert told.HasField("configuration")
        assert not told.changes
        request = replication_pb2.FetchChangesRequest(configuration_digest=told.configuration_digest)
        first = await primary.replication.FetchChanges(request)
        assert not first.HasField("configuration")
        assert 5 <= len(first.changes) <= 11
        assert first.newest == 25
        request.journal_id, request.after = first.journal_id, 25
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
        ("127.0.0.1:50051", False),
        ("ipv4:127.0.0.1:50051", False),
        ("localhost:50051", False),
        ("127.0.0.1:50052", True),
        ("{host}s:50051", True),
    ],
)
def test_it_knows_itself(address: str | None, followed: bool) -> None:
    given = address and address.format(host=socket.gethostname().partition(".")[0])
    settings = LexicalSettings(primary=given, port=50051)
    assert settings.followed == (given if followed else None)

"""Replicas of the vector service: they have the primary's embeddings, and encode nothing but queries."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.documents import Document
from honeyguide.errors import FailedPrecondition
from honeyguide.journal import Journal
from honeyguide_standalone.valkey import free_port
from honeyguide_vector.encoders import Encoders
from honeyguide_vector.index import VectorIndex

from .conftest import Client, open_client

DOGS = [Document(f"d{i}", "film", f"A dog of {i} winters", attributes={"year": (1900.0 + i,)}) for i in range(300)]


class Pair:
    """Where a primary and a replica are, and how they are opened."""

    def __init__(self, folder: Path, encoders: Encoders) -> None:
        self._folder = folder
        self._encoders = encoders
        self._port = free_port()

    def primary(self, **more: Any) -> Any:
        return open_client("grpc", self._folder / "one", self._encoders, port=self._port, **more)

    def replica(self, **more: Any) -> Any:
        primary = {"primary": f"127.0.0.1:{self._port}"} | more
        return open_client("grpc", self._folder / "two", self._encoders, **primary)

    @asynccontextmanager
    async def both(self) -> AsyncIterator[tuple[Client, Client]]:
        async with self.primary() as primary, self.replica() as replica:
            yield primary, replica


@pytest.fixture
def pair(tmp_path: Path, encoders: Encoders) -> Pair:
    return Pair(tmp_path, encoders)


async def until(ask: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    end_s = time.monotonic() + 20
    while (answer := await ask()) != wanted:
        assert time.monotonic() < end_s, f"{answer} is not {wanted}"
        await asyncio.sleep(0.02)


async def test_it_finds_what_the_primary_finds(pair: Pair, films: list[Document]) -> None:
    async with pair.primary() as primary:
        await primary.put(*films[:900])
        await primary.put(*DOGS)
        await primary.delete("d7")
        async with pair.replica() as replica:
            wanted = await primary.ask(query="a dog in winter", depth=50)
            found = await replica.ask(query="a dog in winter", depth=50)
            scores, theirs = (dict(zip(one.document_ids, one.scores, strict=True)) for one in (found, wanted))
            both = [id for id in scores if id in theirs]
            assert len(both) >= 45, "graphs built by threads differ a little"
            np.testing.assert_allclose([scores[id] for id in both], [theirs[id] for id in both], atol=1e-6)
            assert "d7" not in await replica.ids(query="A dog of 7 winters", depth=100)
            await replica.put(Document("cat", "film", "A cat in spring"))
            await until(lambda: replica.ids(query="a cat in spring", depth=1), ["cat"])
            assert await replica.delete("cat", "never") == 1
            await until(lambda: _has(replica, "cat"), False)
            assert replica.encoder.texts == []


async def test_its_graph_and_journal_are_a_primarys(pair: Pair) -> None:
    async with pair.both() as (primary, replica):  # few enough that all of them are looked at
        await primary.put(*DOGS)
        await until(lambda: _has(replica, "d299"), True)
        wanted = await primary.ids(query="a dog of 40 winters", depth=20)
    async with pair.replica() as replica:  # without a primary
        assert await replica.ids(query="a dog of 40 winters", depth=20) == wanted
    async with pair.replica(primary=None) as promoted:
        assert await promoted.ids(query="a dog of 40 winters", depth=20) == wanted
        await promoted.put(*DOGS)
        assert promoted.encoder.texts == []
        assert (await promoted.stats()).document_count == 300


async def test_what_is_embedded_is_the_primarys_to_say(pair: Pair) -> None:
    async with pair.both() as (primary, replica):
        await primary.put(Document("a", "film", "A wolf"), Document("b", "person", "A wolf"))
        await until(lambda: replica.ids(query="a wolf"), ["a", "b"])
        await primary.configure(indexing_pb2.TypeConfiguration(name="person", embedded=False))
        await until(lambda: replica.ids(query="a wolf"), ["a"])
        await primary.configure()
        await until(lambda: replica.ids(query="a wolf"), ["a", "b"])
        assert replica.encoder.texts == []


async def test_what_a_replica_changes_once_it_leads_is_its_own(pair: Pair, tmp_path: Path) -> None:
    async with pair.both() as (primary, replica):
        await primary.put(*DOGS[:10])
        await until(lambda: _has(replica, "d9"), True)
    async with pair.replica(primary=None, identity="another") as promoted:  # encodes all of them anew
        assert len(promoted.encoder.texts) == 10
    with closing(Journal(tmp_path / "two" / "journal.sqlite")) as journal:
        assert (journal.sequence, list(journal.identity.beginnings.values())) == (20, [10])


async def test_what_was_a_primary_before_it_copied_is_brought_in_line_again(pair: Pair, tmp_path: Path) -> None:
    films = indexing_pb2.TypeConfiguration(name="film", embedded=False)
    async with pair.primary() as first:
        await first.put(*DOGS[:10])
    shutil.copytree(tmp_path / "one", tmp_path / "two", ignore=shutil.ignore_patterns("lock"))
    async with pair.both() as (primary, replica):
        assert len(await replica.ids(query="a dog")) == 10
        await primary.configure(films)
        await until(lambda: replica.ids(query="a dog"), [])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(VectorIndex, "_align", lambda index: None)  # dies before it encodes
            await primary.configure()
        await asyncio.sleep(1.2)
    async with pair.replica(primary=None) as promoted:
        assert len(await promoted.ids(query="a dog")) == 10


async def test_another_encoder_is_refused(pair: Pair) -> None:
    async with pair.primary() as primary:
        await primary.put(*DOGS[:3])
        with pytest.raises(FailedPrecondition, match="this replica 'another'"):
            async with pair.replica(identity="another"):
                pass


async def _has(client: Client, id: str) -> bool:
    return id in await client.ids(query="a dog or a cat", depth=1_000)

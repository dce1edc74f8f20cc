"""The fan-out over both ways to reach a retriever, with strategies that fail, are late or talk nonsense."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from honeyguide.candidates import Candidates
from honeyguide.client import Connection, LocalConnection, RemoteConnection, in_process
from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.documents import Context
from honeyguide.query import RetrievalQuery, Understanding
from honeyguide.retriever import Answer, Need, Strategy, ask_each
from honeyguide.server import Server
from honeyguide.servicers import register_retriever
from honeyguide_orchestrator import fanout
from honeyguide_orchestrator.fanout import Retrievers, Status

QUERY = RetrievalQuery("halo", Understanding("halo", "halo"), Context(1_000.0))


class Shop:
    strategies = (
        Strategy("shop.good", "finds things", dependable=True, depth_max=3, needs=(Need.QUERY,)),
        Strategy("shop.broken", "always fails"),
    )

    async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int]) -> Mapping[str, Answer]:
        async def good() -> Candidates:
            ids = [f"{query.query}-{i}" for i in range(depths["shop.good"])]
            return Candidates(ids, np.arange(len(ids), 0, -1, dtype=np.float32), ["thing"] * len(ids))

        async def broken() -> Candidates:
            raise RuntimeError("out of order")

        fetches = {"shop.good": good, "shop.broken": broken}
        return await ask_each({name: fetches[name] for name in depths})


class Snail:
    strategies = (Strategy("snail.slow", "takes its time"),)

    async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int]) -> Mapping[str, Answer]:
        await asyncio.sleep(5)
        return {}


@asynccontextmanager
async def connected(retriever: Shop | Snail, remote: bool) -> AsyncIterator[Connection]:
    registration = register_retriever(retriever)
    if not remote:
        yield LocalConnection([registration])
        return
    settings = CommonSettings(drain_s=0)
    server = Server("test", settings, ServerSettings(), [registration])
    await server.start()
    connection = RemoteConnection(f"127.0.0.1:{server.port}", settings)
    try:
        yield connection
    finally:
        await connection.close()
        await server.stop()


class Restarting:
    """A connection that stays when what is behind it is started anew with other strategies."""

    def __init__(self, retriever: Shop | Snail) -> None:
        self.start(retriever)

    def start(self, retriever: Shop | Snail) -> None:
        self.servicer = in_process(register_retriever(retriever).servicer)
        self.listed = 0

    def stub(self, stub_type: Any) -> Any:
        return self

    async def ListStrategies(self, request: Any, timeout: float) -> Any:
        self.listed += 1
        return await self.servicer.ListStrategies(request, timeout=timeout)

    async def Retrieve(self, request: Any, timeout: float) -> Any:
        return await self.servicer.Retrieve(request, timeout=timeout)


@asynccontextmanager
async def kept_listed(connection: Any) -> AsyncIterator[Retrievers]:
    retrievers = Retrievers()
    await retrievers.connect("shop", connection)
    task = asyncio.create_task(retrievers.keep_listed())
    yield retrievers
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(check: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if check():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to pass")


@pytest.mark.parametrize("remote", [False, True], ids=["in process", "grpc"])
async def test_partial_results(remote: bool) -> None:
    async with connected(Shop(), remote) as shop, connected(Snail(), remote) as snail:
        retrievers = Retrievers()
        await retrievers.connect("shop", shop)
        await retrievers.connect("snail", snail)
        assert [strategy.name for strategy in retrievers.strategies] == ["shop.broken", "shop.good", "snail.slow"]
        assert retrievers.strategies[1] == Shop.strategies[0]

        begin = time.monotonic()
        outcomes = await retrievers.retrieve(QUERY, {"shop.good": 2, "shop.broken": 5, "snail.slow": 5}, 2.0)
        assert time.monotonic() - begin < 4

        assert outcomes["shop.good"].status is Status.OK
        assert outcomes["shop.good"].candidates.document_ids == ["halo-0", "halo-1"]
        assert outcomes["shop.broken"].status is Status.FAILED
        assert "out of order" in outcomes["shop.broken"].message
        assert outcomes["snail.slow"].status is Status.LATE
        assert len(outcomes["snail.slow"].candidates) == 0


async def test_a_retriever_that_is_down_fails_alone_and_is_listed_when_it_is_back() -> None:
    retrievers = Retrievers()
    down = RemoteConnection("127.0.0.1:1", CommonSettings())
    await retrievers.connect("shop", LocalConnection([register_retriever(Shop())]))
    await retrievers.connect("other", down)
    await down.close()
    assert [strategy.name for strategy in retrievers.strategies] == ["shop.broken", "shop.good"]
    await retrievers.connect("other", LocalConnection([register_retriever(Snail())]))
    assert "snail.slow" in [strategy.name for strategy in retrievers.strategies]
    retrievers.disconnect("other")
    assert "snail.slow" not in [strategy.name for strategy in retrievers.strategies]


async def test_a_retriever_removed_while_it_is_asked_fails_alone() -> None:
    retrievers = Retrievers()
    async with connected(Snail(), remote=True) as connection:
        await retrievers.connect("snail", connection)
        (strategy,) = retrievers.strategies
        asking = asyncio.create_task(retrievers.retrieve(QUERY, {strategy.name: 3}, 20.0))
        await asyncio.sleep(0.2)
        at_once = asyncio.create_task(retrievers.retrieve(QUERY, {strategy.name: 3}, 20.0))
        await asyncio.sleep(0)  # far enough to know whom to ask, not far enough to ask
        retrievers.disconnect("snail")
        await connection.close()
        afterwards = retrievers.retrieve(QUERY, {strategy.name: 3}, 20.0)
        for outcomes in await asyncio.gather(asking, at_once, afterwards):
            assert outcomes[strategy.name].status is Status.FAILED


async def test_strategies_of_a_retriever_that_was_started_anew_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "LIST_S", 0.001)
    monkeypatch.setattr(fanout, "LIST_PAUSE_S", 0.001)
    connection = Restarting(Shop())
    async with kept_listed(connection) as retrievers:
        before = retrievers.strategies
        await until(lambda: connection.listed > 2)
        assert retrievers.strategies is before
        connection.start(Snail())
        await until(lambda: [strategy.name for strategy in retrievers.strategies] == ["snail.slow"])


async def test_a_retriever_that_refuses_is_listed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "LIST_S", 60.0)
    connection = Restarting(Shop())
    async with kept_listed(connection) as retrievers:
        connection.start(Snail())
        outcomes = await retrievers.retrieve(QUERY, {"shop.good": 2}, 2.0)
        assert outcomes["shop.good"].status is Status.FAILED
        await until(lambda: [strategy.name for strategy in retrievers.strategies] == ["snail.slow"])


async def test_a_retriever_removed_while_it_refuses_does_not_end_the_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "LIST_S", 0.001)
    monkeypatch.setattr(fanout, "LIST_PAUSE_S", 0.001)
    connection = Restarting(Shop())
    async with kept_listed(connection) as retrievers:
        await retrievers.connect("removed", Restarting(Snail()))
        retrievers._stubs["removed"].start(Shop())
        asking = asyncio.create_task(retrievers.retrieve(QUERY, {"snail.slow": 2}, 2.0))
        await asyncio.sleep(0)  # far enough to know whom to ask
        retrievers.disconnect("removed")
        await asking
        listed = connection.listed
        await until(lambda: connection.listed > listed + 2)

"""Replies must reach who asked for them, whatever happens to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio as redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from honeyguide.redis_transport import TRIES, ClusterTransport, ServerTransport
from honeyguide_standalone.valkey import ValkeyServer


def connected(redis_url: str, timeout_s: float = 5.0) -> ServerTransport:
    """Over a single connection, so that what one caller leaves behind the next would get."""
    return ServerTransport(redis_url, connections_max=1, timeout_s=timeout_s)


@pytest.fixture
async def transport(redis_url: str) -> AsyncIterator[ServerTransport]:
    opened = connected(redis_url)
    yield opened
    await opened.close()


async def test_large_and_many_replies_come_in_order(transport: ServerTransport) -> None:
    large = [bytes([65 + i]) * 100_000 for i in range(20)]
    assert await transport.send([("ECHO", text) for text in large]) == large
    assert await transport.send([("ECHO", str(i)) for i in range(5_000)]) == [b"%d" % i for i in range(5_000)]


async def test_an_error_is_the_reply_of_its_command_only(transport: ServerTransport) -> None:
    first, error, last = await transport.send([("ECHO", "a"), ("NOSUCH",), ("ECHO", "b")])
    assert (first, last) == (b"a", b"b")
    assert isinstance(error, ResponseError)
    assert await transport.send([("ECHO", "c")]) == [b"c"]


async def test_replies_of_a_cancelled_caller_reach_nobody(transport: ServerTransport) -> None:
    for turns in range(8):
        asked = asyncio.create_task(transport.send([("ECHO", "x" * 200_000)] * 9))
        for _ in range(turns):
            await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await transport.send([("ECHO", str(turns))]) == [str(turns).encode()]


async def test_replies_that_came_too_late_reach_nobody(redis_url: str) -> None:
    hasty = connected(redis_url, timeout_s=0.2)
    with pytest.raises(RedisTimeoutError):
        await hasty.send([("BLPOP", "nothing", 0.5), ("ECHO", "late")])
    await asyncio.sleep(0.6)
    assert await hasty.send([("ECHO", "own")]) == [b"own"]
    await hasty.close()


async def test_a_connection_that_the_server_closed_is_replaced(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path)
    opened = connected(server.url)
    try:
        assert await opened.send([("ECHO", "before")]) == [b"before"]
        await opened.send([("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")])
        assert await opened.send([("ECHO", "after")]) == [b"after"]
    finally:
        await opened.close()
        server.stop()
    with pytest.raises(RedisConnectionError):
        await opened.send([("ECHO", "gone")])


@pytest.fixture
async def on_cluster(cluster_url: str) -> AsyncIterator[ClusterTransport]:
    opened = ClusterTransport(cluster_url, connections_max=8, timeout_s=5.0)
    yield opened
    await opened.close()


def echoes(of: str, count: int = 5) -> tuple[list[tuple[str, ...]], list[bytes]]:
    """Commands on keys of both nodes, and what they shall reply."""
    texts = [f"{of}-{i}" for i in range(count)]
    return [("EVAL", "return ARGV[1]", "1", f"key-{text}", text) for text in texts], [text.encode() for text in texts]


def slow(i: int) -> tuple[str, ...]:
    return ("EVAL", "local i = 0; while i < 1e6 do i = i + 1 end", "1", f"key-{i}")


async def close_all_connections(nodes: list[tuple[int, int]]) -> None:
    for port, _ in nodes:
        async with redis.Redis(port=port) as client:
            await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def test_more_connections_closed_than_there_are_tries_cost_no_call_on_a_cluster(
    on_cluster: ClusterTransport, nodes: list[tuple[int, int]]
) -> None:
    # So many that each node has enough of them waiting at once, however quick it is.
    await asyncio.gather(*(on_cluster.send([slow(i)]) for i in range(32)))
    assert all(len(node._connections) > TRIES for node in on_cluster._client.get_nodes())
    await close_all_connections(nodes)
    for turn in range(10):
        commands, expected = echoes(str(turn))
        assert await on_cluster.send(commands) == expected


async def test_only_what_was_not_answered_is_asked_again_on_a_cluster(
    on_cluster: ClusterTransport, nodes: list[tuple[int, int]]
) -> None:
    counts = [("INCR", f"key-{i}") for i in range(20)]  # of both nodes
    assert await on_cluster.send(counts) == [1] * 20
    await close_all_connections(nodes[:1])
    assert await on_cluster.send(counts) == [2] * 20


async def test_who_goes_away_takes_no_connection_along_on_a_cluster(
    cluster_url: str, nodes: list[tuple[int, int]]
) -> None:
    single = ClusterTransport(cluster_url, connections_max=1, timeout_s=5.0)
    await single.send(echoes("first")[0])
    async with redis.Redis(port=nodes[0][0]) as first, redis.Redis(port=nodes[1][0]) as second:
        before = [(await client.info("stats"))["total_connections_received"] for client in (first, second)]
        for turns in range(1, 40):
            gone = asyncio.create_task(single.send([slow(0), slow(1), *echoes("gone")[0]]))
            commands, expected = echoes(str(turns))
            next_one = asyncio.create_task(single.send(commands))
            for _ in range(turns):
                await asyncio.sleep(0)
            gone.cancel()
            assert await next_one == expected
        after = [(await client.info("stats"))["total_connections_received"] for client in (first, second)]
    assert after == before
    await single.close()


async def test_a_cluster_that_does_not_answer_is_given_up_in_time(
    cluster_url: str, nodes: list[tuple[int, int]]
) -> None:
    hasty = ClusterTransport(cluster_url, connections_max=2, timeout_s=0.3)
    await hasty.send([("GET", "a"), ("GET", "b")])
    for port, _ in nodes:
        async with redis.Redis(port=port) as client:
            await client.execute_command("CLIENT", "PAUSE", 1_000, "ALL")
    begin = asyncio.get_running_loop().time()
    with pytest.raises(RedisTimeoutError):
        await hasty.send([("GET", "a"), ("GET", "b")])
    assert asyncio.get_running_loop().time() - begin < 0.5
    await hasty.close()

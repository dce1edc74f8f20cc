"""Replies must reach who asked for them, whatever happens to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from honeyguide.redis_transport import ServerTransport
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

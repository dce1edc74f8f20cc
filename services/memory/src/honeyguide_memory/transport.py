"""Sending a batch of commands: to one Redis server, or to the nodes of a Redis Cluster.

For one server the pipeline is our own, over redis-py's connections: its pipelines spend some 30 us of Python on every
command, and a retrieval has dozens.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Protocol

import hiredis
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from honeyguide_memory.settings import MemorySettings

Command = tuple[Any, ...]
TRIES = 3


class Transport(Protocol):
    """Sends commands in one round trip. Replies come as Redis gives them, errors among them as exceptions."""

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Replies in the order of the commands. Commands may be sent again, so they must be idempotent."""
        ...

    async def load_script(self, source: str) -> None:
        """Brings a script to every server."""
        ...

    async def size_bytes(self) -> int:
        """Memory in use, over all servers that hold data."""
        ...

    async def close(self) -> None:
        """Closes all connections."""
        ...


class ServerTransport:
    """One server, through a pool that makes callers wait when all connections are in use."""

    def __init__(self, settings: MemorySettings) -> None:
        self._pool = redis.BlockingConnectionPool.from_url(
            settings.redis_url,
            max_connections=settings.connections_max,
            timeout=settings.call_timeout_s,
            protocol=2,
            socket_timeout=settings.call_timeout_s,
            socket_connect_timeout=settings.call_timeout_s,
        )
        self._client = redis.Redis(connection_pool=self._pool)
        self._timeout_s = settings.call_timeout_s

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """See `Transport`."""
        packed = b"".join(map(hiredis.pack_command, commands))
        for attempt in range(1, TRIES + 1):
            try:
                return await self._exchange(packed, len(commands))
            except (RedisConnectionError, OSError):
                if attempt == TRIES:
                    raise
                await asyncio.sleep(0.02 * attempt)
        raise RedisConnectionError("no connection")

    async def _exchange(self, packed: bytes, count: int) -> list[Any]:
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        whole = False
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.send_packed_command(packed, check_health=False)
                replies: list[Any] = []
                for _ in range(count):
                    try:
                        replies.append(await connection.read_response(timeout=math.inf))
                    except ResponseError as error:
                        replies.append(error)
            whole = True
            return replies
        except TimeoutError:
            raise RedisTimeoutError(f"no answer within {self._timeout_s:g} s") from None
        finally:
            if not whole:  # replies still to come would be taken for those of the next caller
                await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def load_script(self, source: str) -> None:
        """See `Transport`."""
        await self._client.script_load(source)

    async def size_bytes(self) -> int:
        """See `Transport`."""
        return int((await self._client.info("memory"))["used_memory"])

    async def close(self) -> None:
        """See `Transport`."""
        await self._client.aclose()
        await self._pool.aclose()


class ClusterTransport:
    """A Redis Cluster: each node gets its commands in one pipeline, all nodes at once."""

    def __init__(self, settings: MemorySettings) -> None:
        self._client: Any = redis.RedisCluster.from_url(
            settings.redis_url,
            max_connections=settings.connections_max,
            protocol=2,
            socket_timeout=settings.call_timeout_s,
            socket_connect_timeout=settings.call_timeout_s,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), TRIES - 1),
        )
        # The answer as it comes, like a single server's.
        self._client.set_response_callback("HGETALL", _as_it_comes)  # type: ignore[arg-type]
        # Its pools refuse what is beyond their bound, so callers wait here.
        self._turns = asyncio.Semaphore(settings.connections_max)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """See `Transport`."""
        async with self._turns:
            pipeline = self._client.pipeline()
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
            return replies

    async def load_script(self, source: str) -> None:
        """See `Transport`."""
        await self._client.initialize()
        for node in self._client.get_primaries():
            await self._client.execute_command("SCRIPT LOAD", source, target_nodes=node)

    async def size_bytes(self) -> int:
        """See `Transport`."""
        sizes = []
        for node in self._client.get_primaries():
            info = await self._client.execute_command("INFO", "memory", target_nodes=node)
            sizes.append(int(info["used_memory"]))
        return sum(sizes)

    async def close(self) -> None:
        """See `Transport`."""
        await self._client.aclose()


def _as_it_comes(reply: Any, **_: Any) -> Any:
    return reply

"""Sending a batch of commands: to one Redis server, or to the nodes of a Redis Cluster.

For one server the pipeline and the pool are our own, over redis-py's connections: its pipelines spend some 30 us of
Python on every command, and a retrieval has dozens; its pool and its timeouts some 100 us on every round trip.
Only services that depend on redis-py and hiredis may import this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import hiredis
import redis.asyncio as redis
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio.connection import DefaultParser
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

Command = tuple[Any, ...]
"""The command's name and its arguments: text, bytes and numbers."""

TRIES = 3
PAUSE_S = 0.02
"""Before the second try; before the third it is twice that."""

PARSED = ("HGETALL", "SET", "XRANGE", "XREVRANGE")
"""Commands we use whose replies a cluster's client would make something else of."""

_BROKEN = (RedisConnectionError, RedisTimeoutError, OSError)
"""What a cluster's client gives for replies that did not come."""

T = TypeVar("T")


class Transport(Protocol):
    """Sends commands in one round trip. Replies come as Redis gives them, errors among them as exceptions.

    keeps_order: whether a command is carried out only after those before it.
    """

    keeps_order: bool

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


class _Replies(DefaultParser):  # type: ignore[misc,valid-type]
    """Reads the replies of a whole batch, as many at once as have come: a coroutine each costs more than its reply."""

    async def read_replies(self, count: int) -> list[Any]:
        """The next `count` replies, errors of commands among them as exceptions.

        Raises:
            redis.exceptions.ConnectionError: the connection broke, or the server turned it away.
        """
        replies: list[Any] = []
        while len(replies) < count:
            reply = self._reader.gets()
            if reply is NOT_ENOUGH_DATA:
                await self.read_from_socket()
            elif isinstance(reply, RedisConnectionError):
                raise reply
            else:
                replies.append(reply)
        return replies


class ServerTransport:
    """One server, through a bounded number of connections, for which callers wait in turns.

    Raises:
        ValueError: the address is none.
    """

    keeps_order = True

    def __init__(self, url: str, connections_max: int, timeout_s: float) -> None:
        # No timeouts of its own: they cost a task each, and `send` has one over all.
        self._pool = redis.ConnectionPool.from_url(
            url, protocol=2, parser_class=_Replies, socket_timeout=None, socket_connect_timeout=None
        )
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(connections_max)
        self._idle: list[Any] = []

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """See `Transport`."""
        packed = b"".join(map(hiredis.pack_command, commands))
        for attempt in range(1, TRIES + 1):
            try:
                async with asyncio.timeout(self._timeout_s), self._turns:
                    return await self._exchange(packed, len(commands))
            except TimeoutError:
                raise RedisTimeoutError(f"no answer within {self._timeout_s:g} s") from None
            except (RedisConnectionError, OSError):
                if attempt == TRIES:
                    raise
                await asyncio.sleep(PAUSE_S * attempt)
        raise RedisConnectionError("no connection")

    async def _exchange(self, packed: bytes, count: int) -> list[Any]:
        connection = self._idle.pop() if self._idle else self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            if connection.is_connected and await connection.can_read():  # closed by the server
                await connection.disconnect(nowait=True)
            if not connection.is_connected:
                await connection.connect()
            await connection.send_packed_command(packed, check_health=False)
            replies: list[Any] = await connection._parser.read_replies(count)
        except BaseException:  # replies still to come would be taken for those of the next caller
            await connection.disconnect(nowait=True)
            raise
        self._idle.append(connection)
        return replies

    async def load_script(self, source: str) -> None:
        """See `Transport`."""
        await self._ask("SCRIPT", "LOAD", source)

    async def size_bytes(self) -> int:
        """See `Transport`."""
        memory: bytes = await self._ask("INFO", "memory")
        return int(memory.partition(b"used_memory:")[2].split()[0])

    async def _ask(self, *command: Any) -> Any:
        (reply,) = await self.send([command])
        if isinstance(reply, RedisError):
            raise reply
        return reply

    async def close(self) -> None:
        """See `Transport`."""
        for connection in self._idle:
            await connection.disconnect()
        self._idle.clear()


class ClusterTransport:
    """A Redis Cluster, of which `url` is one node: each node gets its commands in one pipeline, all nodes at once.

    Raises:
        ValueError: the address is none.
    """

    keeps_order = False

    def __init__(self, url: str, connections_max: int, timeout_s: float) -> None:
        self._client: Any = redis.RedisCluster.from_url(
            url,
            max_connections=connections_max,
            protocol=2,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(ExponentialBackoff(cap=0.5, base=PAUSE_S), TRIES - 1),
        )
        for name in PARSED:
            self._client.set_response_callback(name, _as_it_comes)  # type: ignore[arg-type]
        self._timeout_s = timeout_s
        # Its pools refuse what is beyond their bound, so callers wait here.
        self._turns = asyncio.Semaphore(connections_max)
        self._under_way: set[asyncio.Future[Any]] = set()

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """See `Transport`."""
        replies: list[Any] = [None] * len(commands)
        left = list(range(len(commands)))
        try:
            async with asyncio.timeout(self._timeout_s):
                for attempt in range(1, TRIES + 1):
                    asked = partial(self._ask, [commands[i] for i in left])
                    for i, reply in zip(left, await self._in_turn(asked), strict=True):
                        replies[i] = reply
                    left = [i for i in left if isinstance(replies[i], _BROKEN)]
                    if not left or attempt == TRIES:
                        break
                    self._connect_anew()
                    await asyncio.sleep(PAUSE_S * attempt)
        except TimeoutError:
            raise RedisTimeoutError(f"no answer within {self._timeout_s:g} s") from None
        return replies

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        pipeline = self._client.pipeline()
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies

    async def _in_turn(self, work: Callable[[], Awaitable[T]]) -> T:
        """The work is done to its end even if the caller goes away: redis-py frees the connections of what is cancelled
        some time later, and the next who has a turn would find none left, upon which it closes those of all."""
        await self._turns.acquire()
        task = asyncio.ensure_future(work())
        self._under_way.add(task)
        task.add_done_callback(self._end)
        return await asyncio.shield(task)

    def _end(self, task: asyncio.Future[Any]) -> None:
        self._under_way.discard(task)
        self._turns.release()

    def _connect_anew(self) -> None:
        """Where one connection was closed, idle ones were as well, more of them than there are tries."""
        for node in self._client.get_nodes():
            for connection in node._connections:
                connection.mark_for_reconnect()  # before its next use, or after the present one

    async def load_script(self, source: str) -> None:
        """See `Transport`."""
        await self._in_turn(partial(self._load_script, source))

    async def _load_script(self, source: str) -> None:
        await self._client.initialize()
        for node in self._client.get_primaries():
            await self._client.execute_command("SCRIPT LOAD", source, target_nodes=node)

    async def size_bytes(self) -> int:
        """See `Transport`."""
        return await self._in_turn(self._size_bytes)

    async def _size_bytes(self) -> int:
        sizes = []
        for node in self._client.get_primaries():
            info = await self._client.execute_command("INFO", "memory", target_nodes=node)
            sizes.append(int(info["used_memory"]))
        return sum(sizes)

    async def close(self) -> None:
        """See `Transport`."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._client.aclose()


def _as_it_comes(reply: Any, **_: Any) -> Any:
    return reply

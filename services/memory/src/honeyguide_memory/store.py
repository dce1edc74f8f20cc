"""Redis as the memory uses it: one pipeline is one round trip, scripts by their hash, one tree of errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from honeyguide.errors import FailedPrecondition, HoneyguideError, ResourceExhausted, Unavailable
from honeyguide_memory.settings import MemorySettings

LAYOUT_VERSION = 1
Command = tuple[Any, ...]

_UNREACHABLE = (
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    RedisClusterException,
    OSError,
)


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script made of files of the package; `sha` is its name on the server."""

    source: str
    sha: str


@cache
def script(*names: str) -> Script:
    """The script made of these files, in this order."""
    # SHA-1 is how Redis names scripts; nothing secret hangs on it.
    from hashlib import sha1

    folder = files("honeyguide_memory") / "lua"
    source = "\n".join((folder / f"{name}.lua").read_text() for name in names)
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


ASSOCIATE = script("mass", "seen", "associate")
POPULARITY = script("mass", "seen", "popularity")
UPSERT = script("upsert")
DELETE = script("delete")
PREDICT = script("predict")
POST = script("post")
SCRIPTS = (ASSOCIATE, POPULARITY, UPSERT, DELETE, PREDICT, POST)


def call(wanted: Script, tag: bytes, *arguments: Any) -> Command:
    """A command that runs a script on the keys under one hash tag."""
    return ("EVALSHA", wanted.sha, 1, tag, *arguments)


class Store:
    """A connection pool with a bound, to one Redis or a Redis Cluster."""

    def __init__(self, client: Any, calls_max: int, cluster: bool) -> None:
        self._client = client
        self._cluster = cluster
        # The cluster client's pools refuse instead of waiting, so calls wait here.
        self._turns = asyncio.Semaphore(calls_max)
        self.round_trips = 0

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Sends commands in one round trip and returns their replies in order.

        Raises:
            Unavailable: Redis does not answer.
            ResourceExhausted: Redis is out of memory.
        """
        if not commands:
            return []
        replies = await self._send(commands)
        missing = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missing:  # a new or restarted server
            await self.load_scripts()
            for i, reply in zip(missing, await self._send([commands[i] for i in missing]), strict=True):
                replies[i] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                raise _translate(reply)
        return replies

    async def load_scripts(self) -> None:
        """Brings the scripts to every server."""
        try:
            for each in SCRIPTS:
                await self._client.script_load(each.source)
        except (RedisError, OSError) as error:
            raise _translate(error) from error

    async def size_bytes(self) -> int:
        """Memory that Redis uses in all, in bytes; over all primaries of a cluster."""
        try:
            if not self._cluster:
                return int((await self._client.info("memory"))["used_memory"])
            sizes = [
                (await self._client.info("memory", target_nodes=node))["used_memory"]
                for node in self._client.get_primaries()
            ]
            return int(sum(sizes))
        except (RedisError, OSError) as error:
            raise _translate(error) from error

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        async with self._turns:
            self.round_trips += 1
            try:
                options = {} if self._cluster else {"transaction": False}
                pipeline = self._client.pipeline(**options)
                for command in commands:
                    pipeline.execute_command(*command)
                replies: list[Any] = await pipeline.execute(raise_on_error=False)
                return replies
            except (RedisError, OSError) as error:
                raise _translate(error) from error


def _translate(error: Exception) -> HoneyguideError:
    if isinstance(error, _UNREACHABLE):
        return Unavailable(f"Redis does not answer: {error}")
    if isinstance(error, ResponseError) and "OOM" in str(error):
        return ResourceExhausted(f"Redis is out of memory: {error}")
    return HoneyguideError(f"Redis: {error}")


@contextlib.asynccontextmanager
async def open_store(settings: MemorySettings) -> AsyncIterator[Store]:
    """Connects, waiting up to `start_wait_s` for Redis, and checks that what is stored has this layout.

    Raises:
        Unavailable: Redis did not answer in time.
        FailedPrecondition: the data was written with other `partitions` or by another version's layout.
    """
    client = _connect(settings)
    store = Store(client, settings.connections_max, settings.cluster)
    try:
        await _wait(store, settings)
        await _check_layout(store, settings)
        yield store
    finally:
        await client.aclose()


def _connect(settings: MemorySettings) -> Any:
    # Sending again is safe: every write is idempotent.
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.02), 2)
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": settings.call_timeout_s,
        "socket_connect_timeout": settings.call_timeout_s,
        "retry": retry,
    }
    try:
        if settings.cluster:
            return redis.RedisCluster.from_url(
                settings.redis_url, max_connections=settings.connections_max, require_full_coverage=True, **options
            )
        pool = redis.BlockingConnectionPool.from_url(
            settings.redis_url, max_connections=settings.connections_max, timeout=settings.call_timeout_s, **options
        )
        return redis.Redis.from_pool(pool)
    except ValueError as error:
        raise FailedPrecondition(f"HONEYGUIDE_REDIS_URL: {error}") from None


async def _wait(store: Store, settings: MemorySettings) -> None:
    deadline = asyncio.get_running_loop().time() + settings.start_wait_s
    while True:
        try:
            await store.load_scripts()
            return
        except Unavailable as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise Unavailable(
                    f"no Redis at {_without_password(settings.redis_url)} within {settings.start_wait_s:g} s: "
                    f"{error.message}; start one or set HONEYGUIDE_REDIS_URL"
                ) from None
        await asyncio.sleep(0.1)


async def _check_layout(store: Store, settings: MemorySettings) -> None:
    key = f"{{{settings.key_prefix}:meta}}layout"
    ours = f"version {LAYOUT_VERSION}, partitions {settings.partitions}".encode()
    _, stored = await store.run([("SET", key, ours, "NX"), ("GET", key)])
    if stored != ours:
        raise FailedPrecondition(
            f"memory under the prefix {settings.key_prefix!r} was written with {stored.decode()}, not with "
            f"{ours.decode()}; set HONEYGUIDE_MEMORY_PARTITIONS to match, or another HONEYGUIDE_MEMORY_KEY_PREFIX"
        )


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"

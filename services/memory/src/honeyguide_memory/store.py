"""Redis as the memory uses it: one pipeline is one round trip, scripts by their hash, one tree of errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

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
from honeyguide_memory.layout import GRAM_SLOTS, Layout
from honeyguide_memory.settings import MemorySettings
from honeyguide_memory.transport import ClusterTransport, Command, ServerTransport, Transport

LAYOUT_VERSION = 2

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
    folder = files("honeyguide_memory") / "lua"
    source = "\n".join((folder / f"{name}.lua").read_text() for name in names)
    # SHA-1 is how Redis names scripts; nothing secret hangs on it.
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


ASSOCIATE = script("mass", "seen", "owners", "associate")
IMPRESS = script("mass", "seen", "owners", "impress")
POPULARITY = script("mass", "seen", "popularity")
UPSERT = script("upsert")
DELETE = script("delete")
PREDICT = script("predict")
POST = script("post")
REPOST = script("repost")
SCRIPTS = (ASSOCIATE, IMPRESS, POPULARITY, UPSERT, DELETE, PREDICT, POST, REPOST)


def call(wanted: Script, tags: Sequence[bytes], *arguments: Any) -> Command:
    """A command that runs a script on the keys under hash tags that are on one node."""
    return ("EVALSHA", wanted.sha, len(tags), *tags, *arguments)


class Store:
    """Redis, through either transport; counts its round trips."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.round_trips = 0

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Sends commands in one round trip and returns their replies in order. They must be idempotent.

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
                await self._transport.load_script(each.source)
        except (RedisError, OSError) as error:
            raise _translate(error) from error

    async def size_bytes(self) -> int:
        """Memory that Redis uses in all, in bytes; over all primaries of a cluster."""
        try:
            return await self._transport.size_bytes()
        except (RedisError, OSError) as error:
            raise _translate(error) from error

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        self.round_trips += 1
        try:
            return await self._transport.send(commands)
        except (RedisError, OSError) as error:
            raise _translate(error) from error


def _translate(error: Exception) -> HoneyguideError:
    if isinstance(error, _UNREACHABLE):
        return Unavailable(f"Redis does not answer: {error}")
    if isinstance(error, ResponseError) and "OOM" in str(error):
        return ResourceExhausted(f"Redis is out of memory: {error}")
    return HoneyguideError(f"Redis: {error}")


@contextlib.asynccontextmanager
async def open_store(settings: MemorySettings, layout: Layout) -> AsyncIterator[Store]:
    """Connects, waiting up to `start_wait_s` for Redis, and checks that what is stored has this layout.

    Raises:
        Unavailable: Redis did not answer in time.
        FailedPrecondition: the data was written with other `partitions` or by another version's layout.
    """
    try:
        transport: Transport = ClusterTransport(settings) if settings.cluster else ServerTransport(settings)
    except ValueError as error:
        raise FailedPrecondition(f"HONEYGUIDE_REDIS_URL: {error}") from None
    try:
        store = Store(transport)
        await _wait(store, settings)
        await _check_layout(store, layout, settings)
        yield store
    finally:
        await transport.close()


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


async def _check_layout(store: Store, layout: Layout, settings: MemorySettings) -> None:
    key = layout.layout_key
    ours, before = (
        f"version {v}, partitions {settings.partitions}".encode() for v in (LAYOUT_VERSION, LAYOUT_VERSION - 1)
    )
    _, stored = await store.run([("SET", key, ours, "NX"), ("GET", key)])
    if stored == before:
        await store.run(
            [
                call(REPOST, [tag], partition, layout.partitions, GRAM_SLOTS)
                for partition, tag in enumerate(layout.tags("n"))
            ]
        )
        await store.run([("SET", key, ours)])
    elif stored != ours:
        raise FailedPrecondition(
            f"memory under the prefix {settings.key_prefix!r} was written with {stored.decode()}, not with "
            f"{ours.decode()}; set HONEYGUIDE_MEMORY_PARTITIONS to match, or another HONEYGUIDE_MEMORY_KEY_PREFIX"
        )


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"

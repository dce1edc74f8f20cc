"""Redis as services use it: one batch of commands is one round trip, scripts by their hash, one tree of errors.

Only services that depend on redis-py and hiredis may import this.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    ClusterError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from honeyguide.errors import FailedPrecondition, HoneyguideError, ResourceExhausted, Unavailable
from honeyguide.redis_transport import TRIES, ClusterTransport, Command, ServerTransport, Transport

ASK_AGAIN_S = 0.1

_UNREACHABLE = (
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    RedisClusterException,
    ReadOnlyError,  # a primary that has become a replica
    TryAgainError,
    NoScriptError,  # however often they were loaded
    OSError,
)
_REDIS_ERRORS = (RedisError, RedisClusterException, OSError)
"""What redis-py raises: a cluster's errors are not among the others."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script; `sha` is its name on the server."""

    source: str
    sha: str

    @classmethod
    def of(cls, source: str) -> Script:
        """The script of this text."""
        # SHA-1 is how Redis names scripts; nothing secret hangs on it.
        return cls(source, sha1(source.encode(), usedforsecurity=False).hexdigest())

    def on(self, keys: Sequence[str | bytes], *arguments: Any) -> Command:
        """The command that runs it on keys that are on one node."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


class RedisStore:
    """Redis, through either transport, with the scripts that commands may run; counts its round trips."""

    def __init__(self, transport: Transport, scripts: Sequence[Script]) -> None:
        self._transport = transport
        self._scripts = scripts
        self.round_trips = 0

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Sends commands in one round trip and returns their replies in order, as Redis gives them.

        They may be sent again where the connection broke, so twice must do no harm.

        Raises:
            Unavailable: Redis does not answer, or not as one that can be written to.
            ResourceExhausted: Redis is out of memory.
            FailedPrecondition: it is a cluster, and was not said to be one.
            HoneyguideError: Redis refuses a command for another reason.
        """
        if not commands:
            return []
        replies = await self._send(commands)
        for _ in range(TRIES - 1):
            missing = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if not missing:
                break
            await self.load_scripts()  # a new or restarted server
            for i, reply in zip(missing, await self._send([commands[i] for i in missing]), strict=True):
                replies[i] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                raise _translate(reply)
        return replies

    async def run_in_order(self, commands: Sequence[Command]) -> list[Any]:
        """As `run`, but each is carried out only after those before it were: on a cluster in a round trip of its own.

        Raises what `run` raises; what comes after a command that failed is not sent on a cluster.
        """
        if self._transport.keeps_order:
            return await self.run(commands)
        return [await self.ask(*command) for command in commands]

    async def ask(self, *command: Any) -> Any:
        """The reply to one command. Raises what `run` raises."""
        (reply,) = await self.run([command])
        return reply

    async def load_scripts(self) -> None:
        """Brings the scripts to every server."""
        try:
            for each in self._scripts:
                await self._transport.load_script(each.source)
        except _REDIS_ERRORS as error:
            raise _translate(error) from error

    async def size_bytes(self) -> int:
        """Memory that Redis uses in all, in bytes; over all primaries of a cluster."""
        try:
            return await self._transport.size_bytes()
        except _REDIS_ERRORS as error:
            raise _translate(error) from error

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        self.round_trips += 1
        try:
            return await self._transport.send(commands)
        except _REDIS_ERRORS as error:
            raise _translate(error) from error


def _translate(error: Exception) -> HoneyguideError:
    if isinstance(error, _UNREACHABLE):
        return Unavailable(f"Redis does not answer: {error}")
    if isinstance(error, AskError | ClusterCrossSlotError):
        return FailedPrecondition(f"Redis is a cluster: set HONEYGUIDE_REDIS_CLUSTER=true ({error})")
    if isinstance(error, OutOfMemoryError) or "OOM" in str(error):  # a Redis before 7 has it in the script's error
        return ResourceExhausted(f"Redis is out of memory: {error}")
    return HoneyguideError(f"Redis: {error}")


@asynccontextmanager
async def open_redis(
    url: str, *, cluster: bool, connections_max: int, timeout_s: float, wait_s: float, scripts: Sequence[Script]
) -> AsyncIterator[RedisStore]:
    """Connects and brings the scripts there.

    Args:
        url: of the server; or, where `cluster` is set, of one node of a cluster.
        cluster: see there.
        connections_max: to each server; who wants one more waits.
        timeout_s: seconds that one batch of commands may take.
        wait_s: seconds to wait for a server that does not answer yet.
        scripts: those that commands may run.

    Raises:
        FailedPrecondition: the address is none.
        Unavailable: Redis did not answer in time.
    """
    open_transport = ClusterTransport if cluster else ServerTransport
    try:
        transport = open_transport(url, connections_max, timeout_s)
    except ValueError as error:
        raise FailedPrecondition(f"HONEYGUIDE_REDIS_URL: {error}") from None
    try:
        store = RedisStore(transport, scripts)
        await _wait(store, url, wait_s)
        yield store
    finally:
        await transport.close()


async def _wait(store: RedisStore, url: str, wait_s: float) -> None:
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        try:
            await store.load_scripts()
            return
        except Unavailable as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise Unavailable(
                    f"no Redis at {_without_password(url)} within {wait_s:g} s: {error.message}; "
                    "start one or set HONEYGUIDE_REDIS_URL"
                ) from None
        await asyncio.sleep(ASK_AGAIN_S)


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"

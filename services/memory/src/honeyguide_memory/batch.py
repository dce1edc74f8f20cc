"""Several questions to Redis in one round trip, each read by whoever asked it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from honeyguide.redis_store import RedisStore
from honeyguide.redis_transport import Command
from honeyguide_memory.mass import HalfLives, Masses, masses_of_each

T = TypeVar("T")


class Pending(Generic[T]):
    """An answer that is there once its batch has run."""

    __slots__ = ("_read", "_reply", "_state", "_value")

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read
        self._reply: Any = None
        self._value: T
        self._state = "asked"

    def settle(self, reply: Any) -> None:
        """Takes the reply in."""
        self._reply, self._state = reply, "settled"

    @property
    def value(self) -> T:
        """The answer, read from the reply at its first use.

        Raises:
            RuntimeError: the batch has not run.
        """
        if self._state == "asked":
            raise RuntimeError("the batch has not run yet")
        if self._state == "settled":
            self._value, self._reply, self._state = self._read(self._reply), None, "read"
        return self._value


class Batch:
    """Collects commands, then sends them in one round trip."""

    def __init__(self, store: RedisStore, now_s: float, lives: HalfLives) -> None:
        self._store = store
        self._now_s, self._lives = now_s, lives
        self._commands: list[Command] = []
        self._pending: list[Pending[Any]] = []
        self._owners: list[int] = []

    def ask(self, command: Command, read: Callable[[Any], T]) -> Pending[T]:
        """Adds a command; `read` makes its reply into the answer."""
        pending = Pending(read)
        self._commands.append(command)
        self._pending.append(pending)
        return pending

    def ask_owner(self, key: bytes) -> Pending[Masses]:
        """Asks for an owner's pairs; those of all owners of a batch are read at once."""
        self._owners.append(len(self._commands))
        return self.ask(("HGETALL", key), as_is)

    async def run(self) -> None:
        """Sends all commands. Raises what `Store.run` raises."""
        replies = await self._store.run(self._commands)
        stored = [replies[at] for at in self._owners]
        for at, pairs in zip(self._owners, masses_of_each(stored, self._now_s, self._lives), strict=True):
            replies[at] = pairs
        for pending, reply in zip(self._pending, replies, strict=True):
            pending.settle(reply)
        self._commands, self._pending, self._owners = [], [], []


def as_is(reply: Any) -> Any:
    """For replies that are the answer."""
    return reply

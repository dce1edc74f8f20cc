"""Threads for short calls that an event loop must not wait for: an engine's search, a model's run.

The standard library's pool wakes its threads by turns, each perhaps on a processor that has forgotten what the last
call read. Here the thread that worked last works next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Call(NamedTuple):
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class WarmThreads:
    """Up to `count` threads, started when they are needed first. Calls beyond that wait for their turn.

    A caller that is cancelled is not waited for, but what was begun goes on.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._lock = Lock()
        self._threads: list[Thread] = []
        self._idle: list[SimpleQueue[_Call | None]] = []
        self._waiting: deque[_Call] = deque()
        self._closed = False

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns or raises, called on a thread.

        Raises:
            RuntimeError: `close` was called.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._hand_over(_Call(loop, future, function, arguments))
        return await future

    def close(self) -> None:
        """Waits for all calls, those still waiting for their turn among them, and ends the threads."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)
        for thread in self._threads:
            thread.join()

    def _hand_over(self, call: _Call) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError(f"the threads {self._name} are closed")
            if self._idle:
                self._idle.pop().put(call)
            elif len(self._threads) < self._count:
                inbox: SimpleQueue[_Call | None] = SimpleQueue()
                inbox.put(call)
                name = f"{self._name}-{len(self._threads)}"
                self._threads.append(Thread(target=self._work, args=(inbox,), name=name, daemon=True))
                self._threads[-1].start()
            else:
                self._waiting.append(call)

    def _work(self, inbox: SimpleQueue[_Call | None]) -> None:
        call = inbox.get()
        while call is not None:
            result, raised = _outcome(call)
            # Free before the caller knows, so that its next call comes here and not to a thread that sleeps.
            following = self._next(inbox)
            _answer(call, result, raised)
            call = following or inbox.get()

    def _next(self, inbox: SimpleQueue[_Call | None]) -> _Call | None:
        """A call that waits for its turn; None = from now on calls come into the thread's inbox."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if self._closed:
                inbox.put(None)
            else:
                self._idle.append(inbox)
            return None


def _outcome(call: _Call) -> tuple[Any, BaseException | None]:
    try:
        return call.function(*call.arguments), None
    except BaseException as error:  # the caller's, whatever it is
        return None, error


def _answer(call: _Call, result: Any, raised: BaseException | None) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        call.loop.call_soon_threadsafe(_settle, call.future, result, raised)


def _settle(future: asyncio.Future[Any], result: Any, raised: BaseException | None) -> None:
    if future.done():  # its caller was cancelled
        return
    if raised is None:
        future.set_result(result)
    else:
        future.set_exception(raised)

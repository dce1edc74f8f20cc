"""Answers a stream of requests in the order they came, working on a few at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from typing import TypeVar

Request = TypeVar("Request")
Response = TypeVar("Response")


async def ordered_pipeline(
    requests: AsyncIterable[Request],
    work: Callable[[Request], Awaitable[Response]],
    keys: Callable[[Request], Iterable[str]],
    in_flight_max: int = 4,
) -> AsyncGenerator[Response, None]:
    """Works on at most `in_flight_max` requests at once; yields their responses in order, each as soon as it can.

    Requests that share a key (a document id) are worked on one after the other, so that the later one wins. No further
    request is read while `in_flight_max` wait for their answer to be taken: a slow reader slows the sender. The first
    request that fails ends the stream with its error, once the ones before it were answered; the ones after it are
    cancelled, or may have been done: sending them again must be harmless.
    """
    room = asyncio.Semaphore(in_flight_max)
    tasks: asyncio.Queue[asyncio.Task[Response] | None] = asyncio.Queue()
    running: dict[asyncio.Task[Response], frozenset[str]] = {}

    async def read() -> None:
        async for request in requests:
            await room.acquire()
            own = frozenset(keys(request))
            before = [task for task, others in running.items() if not task.done() and not own.isdisjoint(others)]
            if before:
                await asyncio.wait(before)
            task = asyncio.ensure_future(work(request))
            running[task] = own
            tasks.put_nowait(task)

    async def read_all() -> None:
        try:
            await read()
        finally:
            tasks.put_nowait(None)

    reader = asyncio.create_task(read_all())
    try:
        while (task := await tasks.get()) is not None:
            response = await task
            del running[task]
            yield response
            room.release()
        await reader
    finally:
        unfinished = [reader, *running]
        for unended in unfinished:
            unended.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

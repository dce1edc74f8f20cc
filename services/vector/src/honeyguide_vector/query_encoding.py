"""Embeddings of queries: remembered, and encoded together when several wait at once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

import numpy as np

from honeyguide.errors import ResourceExhausted
from honeyguide.threads import WarmThreads
from honeyguide_vector.encoder import Encoder, Vectors

# No encoder reads this far: what comes after is dropped before anything is spent on it.
TEXT_CHARS_MAX = 2**18
# Longer texts are encoded but not remembered: they hardly come twice, and would make the cache's size unpredictable.
CACHED_CHARS_MAX = 2_000
# All of a batch come back together: nobody should wait for a neighbour's long text.
BATCH_CHARS_MAX = 1_000


class QueryEncoding:
    """Encodes queries for one event loop.

    While all threads encode, further queries gather; what has gathered makes the next batches, one for each thread that
    is free. So nobody waits for company, and load makes batches by itself. Equal queries are encoded once.
    """

    def __init__(self, encoder: Encoder, *, cache_max: int, batch_max: int, queue_max: int, threads: int = 1) -> None:
        self._encoder = encoder
        self._cache_max = cache_max
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._cache: OrderedDict[str, Vectors] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[Vectors]] = {}
        self._queue: deque[str] = deque()
        self._threads = threads
        self._free = threads
        self._encoding = WarmThreads(threads, "encode-query")
        self._drains = 0
        self._draining: set[asyncio.Task[None]] = set()
        self.hits = 0
        self.misses = 0

    @property
    def dimension(self) -> int:
        """Numbers in one embedding."""
        return self._encoder.dimension

    async def encode(self, text: str) -> Vectors:
        """The embedding of one text, read-only, of unit length. Runs of blanks count as one.

        Raises:
            ResourceExhausted: too many queries wait already.
        """
        key = " ".join(text[:TEXT_CHARS_MAX].split())
        known = self._cache.get(key)
        if known is not None:
            self._cache.move_to_end(key)
            self.hits += 1
            return known
        future = self._waiting.get(key)
        if future is None:
            if len(self._waiting) >= self._queue_max:
                raise ResourceExhausted(f"{self._queue_max:,} queries wait to be encoded already; try again later")
            self.misses += 1
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
            self._queue.append(key)
            if self._drains < self._threads:
                self._drains += 1
                task = asyncio.create_task(self._drain())
                self._draining.add(task)
                task.add_done_callback(self._draining.discard)
        # Others may wait for the same text: one caller's cancellation must not reach the shared future.
        return await asyncio.shield(future)

    async def _drain(self) -> None:
        try:
            while self._queue:
                keys = self._next()
                self._free -= 1
                try:
                    vectors = await self._encoding.run(self._encoder.encode, keys)
                except Exception as error:  # whatever an encoder raises belongs to those who wait for it
                    for key in keys:
                        future = self._waiting.pop(key)
                        future.set_exception(error)
                        future.exception()  # retrieved: the caller may have been cancelled
                    continue
                finally:
                    self._free += 1
                vectors.flags.writeable = False
                for key, vector in zip(keys, vectors, strict=True):
                    self._remember(key, vector)
                    self._waiting.pop(key).set_result(vector)
        finally:
            self._drains -= 1

    def _next(self) -> list[str]:
        """The batch to encode now: those that wait longest, a free thread's share of them."""
        share = min(self._batch_max, -(-len(self._queue) // self._free))
        keys = [self._queue.popleft()]
        chars = len(keys[0])
        while len(keys) < share and (chars := chars + len(self._queue[0])) <= BATCH_CHARS_MAX:
            keys.append(self._queue.popleft())
        return keys

    def _remember(self, key: str, vector: Vectors) -> None:
        if not self._cache_max or len(key) > CACHED_CHARS_MAX:
            return
        kept = np.array(vector)  # a copy, or the cache would keep whole batches alive
        kept.flags.writeable = False
        self._cache[key] = kept
        while len(self._cache) > self._cache_max:
            self._cache.popitem(last=False)

    async def close(self) -> None:
        """Waits for what runs, and ends the threads."""
        await asyncio.gather(*self._draining)
        self._encoding.close()

"""Searches come first: work that can wait, such as learning, lets those under way in the same process get on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SLICE_S = 0.001
"""How long work goes on before it makes way."""

PATIENCE_S = 0.01
"""How long it waits at most for the searches under way: under steady load work must not starve."""


class Foreground:
    """Counts the searches under way in this process."""

    def __init__(self) -> None:
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._since = 0.0

    @contextmanager
    def search(self) -> Iterator[None]:
        """Around a search."""
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def make_way(self) -> None:
        """To be awaited all along by work that takes long; returns at once until a slice of it is over."""
        if time.perf_counter() - self._since < SLICE_S:
            return
        await asyncio.sleep(0)
        if self._under_way:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._idle.wait()
        self._since = time.perf_counter()

"""A lock that many readers share and a writer has alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ReadWriteLock:
    """Between threads. A waiting writer lets no further reader in, and a writer should let go often: searches wait.

    usearch itself lets searches and additions overlap, but not growth, nor the rows that go with its keys.
    """

    def __init__(self) -> None:
        self._entrance = threading.Lock()
        self._readers_left = threading.Condition()
        self._readers = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Holds the lock together with other readers."""
        with self._entrance, self._readers_left:
            self._readers += 1
        try:
            yield
        finally:
            with self._readers_left:
                self._readers -= 1
                if not self._readers:
                    self._readers_left.notify()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the lock alone."""
        with self._entrance:
            with self._readers_left:
                self._readers_left.wait_for(lambda: not self._readers)
            yield

"""Candidates that strategies found lately, for queries that come again before the index changes.

What people search repeats (Zipf's law holds for queries as it does for words), and a list is as long in coming the
second time as the first. So a service keeps what it found, by everything that the list depends on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

from honeyguide.candidates import Candidates
from honeyguide.documents import Filter

FILTER_SIZE_MAX = 64


class CandidateCache:
    """Lists of candidates by key, those asked least lately leave first. For one event loop.

    Args:
        entries_max: lists kept, 0 = none.
        version: tells apart the index as it is now and as it was. Lists of another version are forgotten.
    """

    def __init__(self, entries_max: int, version: Callable[[], object]) -> None:
        self._entries_max = entries_max
        self._version = version
        self._of: object = None
        self._kept: OrderedDict[Hashable, tuple[int, Candidates]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    async def fetch(
        self, key: Hashable, filter: Filter, depth: int, search: Callable[[], Awaitable[Candidates]]
    ) -> Candidates:
        """The best `depth` candidates: kept, if as many were asked for under this key before, or searched now.

        Args:
            key: everything that the list depends on, but filter, depth and index.
            filter: the search's. Lists under one that names many values or documents are not kept: it takes more memory
                than the list, and hardly comes again.
            depth: candidates wanted.
            search: finds that many; what it raises is raised, and nothing kept.
        """
        if filter.size > FILTER_SIZE_MAX:
            return await search()
        key = key, filter
        version = self._version()
        if version != self._of:
            self._of = version
            self._kept.clear()
        asked, kept = self._kept.get(key, (0, None))
        if kept is not None and asked >= depth:
            self._kept.move_to_end(key)
            self.hits += 1
            return kept.first(depth)
        self.misses += 1
        found = await search()
        # The index may have changed under way: then nobody knows which one the list is of.
        if self._entries_max and self._version() == version == self._of:
            self._kept[key] = depth, found
            self._kept.move_to_end(key)
            if len(self._kept) > self._entries_max:
                self._kept.popitem(last=False)
        return found

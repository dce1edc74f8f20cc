"""Candidates kept for queries that come again."""

from __future__ import annotations

import numpy as np
import pytest

from honeyguide.candidate_cache import CandidateCache
from honeyguide.candidates import Candidates
from honeyguide.documents import NO_FILTER, Filter
from honeyguide.errors import Unavailable


class Engine:
    """Finds d0, d1 ... and counts how often it is asked; `version` is that of its index."""

    def __init__(self, entries_max: int = 2) -> None:
        self.version, self.searches = 1, 0
        self.changes_under_way = False
        self._cache = CandidateCache(entries_max, lambda: self.version)

    async def ask(self, query: str, depth: int, filter: Filter = NO_FILTER) -> list[str]:
        async def search() -> Candidates:
            self.searches += 1
            if query == "broken":
                raise Unavailable("broken")
            if self.changes_under_way:
                self.version += 1
            ids = [f"{self.version}:{query}{i}" for i in range(depth)]
            return Candidates(ids, np.arange(depth, 0, -1, dtype=np.float32), ["film"] * depth, {}, 50)

        found = await self._cache.fetch(query, filter, depth, search)
        assert len(found.scores) == len(found.types) == len(found)
        return list(found.document_ids)


async def test_a_query_is_searched_once() -> None:
    engine = Engine()
    assert await engine.ask("a", 2) == await engine.ask("a", 2) == ["1:a0", "1:a1"]
    assert engine.searches == 1


async def test_a_deeper_list_serves_a_shallower_one_but_not_the_other_way() -> None:
    engine = Engine()
    await engine.ask("a", 3)
    assert await engine.ask("a", 1) == ["1:a0"]
    assert engine.searches == 1
    assert len(await engine.ask("a", 5)) == 5
    assert len(await engine.ask("a", 4)) == 4
    assert engine.searches == 2


async def test_another_index_is_searched_anew() -> None:
    engine = Engine()
    await engine.ask("a", 1)
    engine.version = 2
    assert await engine.ask("a", 1) == ["2:a0"]


async def test_what_was_found_while_the_index_changed_is_not_kept() -> None:
    engine = Engine()
    engine.changes_under_way = True
    await engine.ask("a", 1)
    engine.changes_under_way = False
    await engine.ask("a", 1)
    assert engine.searches == 2


@pytest.mark.parametrize(("entries_max", "searches"), [(0, 6), (1, 6), (2, 4), (3, 3)])
async def test_the_lists_kept_are_bounded_and_the_coldest_leave(entries_max: int, searches: int) -> None:
    engine = Engine(entries_max)
    for query in "abacab":
        await engine.ask(query, 1)
    assert engine.searches == searches


async def test_errors_are_raised_and_not_kept() -> None:
    engine = Engine()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await engine.ask("broken", 1)
    assert engine.searches == 2


async def test_lists_under_filters_that_name_much_are_not_kept() -> None:
    engine = Engine()
    for size, searches in ((64, 1), (65, 3)):
        filter = Filter(excluded_ids=frozenset(map(str, range(size))))
        for _ in range(2):
            await engine.ask("a", 2, filter)
        assert engine.searches == searches
    assert await engine.ask("a", 2) == ["1:a0", "1:a1"]
    assert engine.searches == 4

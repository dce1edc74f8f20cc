"""Pages for which a decision fetched too little: what they are filled with, in which order, and what is logged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.orchestrator.decision_records import decision_record

from honeyguide.candidates import NO_CANDIDATES, Candidates
from honeyguide.documents import Context
from honeyguide.query import RetrievalQuery, Understanding
from honeyguide.retriever import Need, Strategy
from honeyguide_orchestrator.decision_log import DecisionRecord, LoggedStrategy, decode, encode
from honeyguide_orchestrator.fanout import Outcome, Status
from honeyguide_orchestrator.page_filler import PageFiller

QUERY = RetrievalQuery("halo", Understanding("halo", "halo"), Context(1_000.0))


class Lists:
    """Retrievers that have these lists; `asked` is what they were asked."""

    strategies = (
        Strategy("lexical.bm25", "", needs=(Need.QUERY,), dependable=True),
        Strategy("lexical.popular", "", needs=(Need.QUERY,)),
        Strategy("memory.query", "", needs=(Need.QUERY,)),
        Strategy("vector.dense", "", needs=(Need.QUERY,), dependable=True),
    )

    def __init__(self, **lists: str) -> None:
        self._lists = {name.replace("_", "."): ids for name, ids in lists.items()}
        self.asked: list[tuple[str, int]] = []

    async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int], timeout_s: float) -> dict[str, Outcome]:
        self.asked += depths.items()
        return {name: self._answer(name, depth) for name, depth in depths.items()}

    def _answer(self, name: str, depth: int) -> Outcome:
        if name not in self._lists:
            return Outcome(Status.LATE, NO_CANDIDATES, 0.5, "late")
        ids = list(self._lists[name][:depth])
        return Outcome(Status.OK, Candidates(ids, np.ones(len(ids), np.float32), ["film"] * len(ids)), 0.001)


async def filled(lists: Lists, record: DecisionRecord, wanted: int) -> DecisionRecord:
    filler: Any = PageFiller(lists)  # type: ignore[arg-type]
    found: DecisionRecord = await filler.filled(record, QUERY, wanted, 1.0)
    return found


def known(**more: Any) -> DecisionRecord:
    """Memory alone was asked, and knew x and y."""
    return decision_record(answered=("memory.query",), scores=np.array([2.0, 1.5], np.float32), **more)


async def test_what_is_missing_stands_below_what_was_decided() -> None:
    lists = Lists(lexical_bm25="yab", vector_dense="xacdefgh")
    record = await filled(lists, known(), 6)
    assert record.document_ids == ("x", "y", "a", "b", "c", "d")
    assert record.types == ("film",) * 6
    assert record.scores.tolist() == sorted(record.scores.tolist(), reverse=True)
    assert record.ranks.tolist() == [[1], [2], [0], [0], [0], [0]]
    assert len(record.features) == 2
    assert record.filled == (("lexical.bm25", 2), ("lexical.bm25", 3), ("vector.dense", 3), ("vector.dense", 4))
    assert lists.asked == [("lexical.bm25", 6), ("vector.dense", 6)]


async def test_it_is_logged_with_what_it_cost() -> None:
    record = await filled(Lists(lexical_bm25="abcdefgh"), known(), 4)
    (filler,) = record.fillers
    assert (filler.name, filler.depth, filler.status, filler.returned) == ("lexical.bm25", 4, Status.OK, 4)
    assert (record.calls, record.candidates_fetched) == (2, 2 + 4)
    again = decode(encode(record))
    assert (again.filled, again.fillers, again.calls) == (record.filled, record.fillers, 2)
    assert again.document_ids == record.document_ids


async def test_a_page_that_is_full_is_left_alone() -> None:
    lists, record = Lists(lexical_bm25="ab"), known()
    assert await filled(lists, record, 2) is record
    assert lists.asked == []


async def test_who_told_all_already_is_not_asked_again_and_who_fails_is_done_without() -> None:
    asked = (LoggedStrategy("vector.dense", 20, 1.0, Status.OK, 2, 0.0),)
    lists = Lists(vector_dense="ab")
    record = await filled(lists, known(strategies=asked), 5)
    assert record.document_ids == ("x", "y")
    assert [(one.name, one.status) for one in record.fillers] == [("lexical.bm25", Status.LATE)]
    cut = (LoggedStrategy("vector.dense", 2, 1.0, Status.OK, 2, 0.0),)
    assert (await filled(lists, known(strategies=cut), 5)).document_ids == ("x", "y", "a", "b")


async def test_those_that_are_silent_take_no_longer_together_than_one_may() -> None:
    class Silent(Lists):
        async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int], timeout_s: float) -> Any:
            await asyncio.sleep(timeout_s)
            return await super().retrieve(query, depths, timeout_s)

    lists: Any = Silent()
    async with asyncio.timeout(0.19):
        record = await PageFiller(lists).filled(known(), QUERY, 5, 0.1)
    assert [(one.name, one.status) for one in record.fillers] == [
        ("lexical.bm25", Status.LATE),
        ("vector.dense", Status.LATE),
    ]


@pytest.mark.parametrize("wanted", [3, 5, 9, 12])
async def test_more_begins_with_the_same(wanted: int) -> None:
    lists = Lists(lexical_bm25="axbyc", vector_dense="defxghijkl")
    first = await filled(lists, known(), 4)
    turned = await filled(lists, first, wanted)
    assert turned.document_ids == (await filled(lists, known(), max(wanted, 4))).document_ids
    assert turned.document_ids == tuple("xyabcdefghij")[: max(wanted, 4)]


async def test_without_a_query_it_browses() -> None:
    lists = Lists(lexical_popular="abc", lexical_bm25="def")
    record = decision_record(query="", answered=("memory.fresh",))
    assert (await filled(lists, record, 4)).document_ids == ("x", "y", "a", "b")

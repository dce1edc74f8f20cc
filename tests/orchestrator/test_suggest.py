"""Suggestions merged from titles and remembered queries."""

from __future__ import annotations

import asyncio
import math

import pytest

from honeyguide.api.lexical.v1 import lexical_pb2
from honeyguide.api.memory.v1 import memory_pb2
from honeyguide.client import in_process
from honeyguide.documents import Filter
from honeyguide.errors import HoneyguideError, InvalidArgument, Unavailable
from honeyguide_orchestrator.suggest import Suggester, Suggestion, merge, query_score


class Completions:
    """Completes by prefix from what it is given; serves for both services."""

    def __init__(self) -> None:
        self.titles = {"t1": ("Heat", "film", 0.9), "t2": ("Heathers", "film", 0.5), "t3": ("Heart", "band", 0.2)}
        self.queries = {"heat 1995": 10.0, "heat": 1.0, "heat pump": 0.0}
        self.failures: dict[str, HoneyguideError] = {}
        self.delay_s = 0.0
        self.asked: list[object] = []

    async def CompleteTitles(
        self, request: lexical_pb2.CompleteTitlesRequest, context: object
    ) -> lexical_pb2.CompleteTitlesResponse:
        self.asked.append(request)
        if "titles" in self.failures:
            raise self.failures["titles"]
        response = lexical_pb2.CompleteTitlesResponse()
        for id, (title, type, score) in self.titles.items():
            if title.lower().startswith(request.prefix.lower()) and type in (request.filter.types or [type]):
                response.completions.add(document_id=id, title=title, type=type, score=score)
        return response

    async def CompleteQueries(
        self, request: memory_pb2.CompleteQueriesRequest, context: object
    ) -> memory_pb2.CompleteQueriesResponse:
        self.asked.append(request)
        await asyncio.sleep(self.delay_s)
        if "queries" in self.failures:
            raise self.failures["queries"]
        response = memory_pb2.CompleteQueriesResponse()
        for query, actions in self.queries.items():
            if query.startswith(request.prefix.lower()):
                response.completions.add(query=query, actions=actions)
        return response


def suggester(service: Completions, timeout_s: float = 0.1) -> Suggester:
    return Suggester(in_process(service), in_process(service), timeout_s)


async def test_titles_and_queries_are_interleaved_and_each_text_given_once() -> None:
    found = await suggester(Completions()).suggest("Hea")
    one = math.log(2) / (1 + math.log(2))
    ten = math.log(11) / (1 + math.log(11))
    assert found == (
        Suggestion("Heat", pytest.approx(1 - 0.1 * (1 - one)), "t1", "film"),
        Suggestion("heat 1995", pytest.approx(ten)),
        Suggestion("Heathers", 0.5, "t2", "film"),
        Suggestion("Heart", pytest.approx(0.2), "t3", "band"),
        Suggestion("heat pump", 0.0),
    )


async def test_the_filter_and_the_limit_hold() -> None:
    service = Completions()
    found = await suggester(service).suggest("hea", Filter(types=frozenset(["band"])), 2)
    assert [suggestion.text for suggestion in found] == ["heat 1995", "heat"]
    assert [request.limit for request in service.asked] == [2, 2]  # type: ignore[attr-defined]
    service.asked.clear()
    await suggester(service).suggest("")
    assert [request.limit for request in service.asked] == [8, 8]  # type: ignore[attr-defined]


async def test_one_service_is_enough() -> None:
    service = Completions()
    service.failures["titles"] = Unavailable("gone")
    assert [s.text for s in await suggester(service).suggest("heat")] == ["heat 1995", "heat", "heat pump"]
    service.failures["queries"] = Unavailable("gone too")
    with pytest.raises(Unavailable, match="lexical: gone; memory: gone too"):
        await suggester(service).suggest("heat")
    service.failures.clear()
    service.delay_s = 5.0
    assert [s.text for s in await suggester(service, 0.02).suggest("heat")] == ["Heat", "Heathers"]


@pytest.mark.parametrize(
    ("prefix", "limit", "field"),
    [("x" * 201, 0, "prefix"), ("a\x00", 0, "prefix"), ("\ud800", 0, "prefix"), ("a", 51, "limit"), ("a", -1, "limit")],
)
async def test_bad_input_is_named(prefix: str, limit: int, field: str) -> None:
    service = Completions()
    with pytest.raises(InvalidArgument, match=f"^{field}"):
        await suggester(service).suggest(prefix, limit=limit)
    assert service.asked == []


def test_texts_are_compared_normalised_and_the_best_title_stands_for_its_like() -> None:
    titles = (Suggestion("Beyoncé!", 0.3, "low", "person"), Suggestion("beyonce", 0.6, "high", "album"))
    queries = (Suggestion("Beyonce", 0.5), Suggestion("?!", 0.1))
    assert merge(titles, queries, 50) == (
        Suggestion("beyonce", pytest.approx(0.8), "high", "album"),
        Suggestion("?!", 0.1),
    )
    assert merge((), (), 5) == ()


def test_equals_stay_in_the_order_of_their_service() -> None:
    titles = (Suggestion("Samsung", 0.5, "b", "brand"), Suggestion("Samsung Car Charger", 0.5, "c", "product"))
    found = (Suggestion("S-Max", 0.5, "f", "car"), *titles, Suggestion("Better", 0.6, "d", "film"))
    assert merge(found, (Suggestion("sa", 0.5),), 5) == (found[3], *found[:3], Suggestion("sa", 0.5))


def test_query_scores_stay_in_the_unit_interval() -> None:
    assert query_score(0) == query_score(-5) == query_score(math.nan) == 0
    assert 0 < query_score(1) < query_score(1e9) < 1

"""Completes what is being typed, from titles and from queries that succeeded before."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from honeyguide.api.lexical.v1 import lexical_pb2
from honeyguide.api.memory.v1 import memory_pb2
from honeyguide.documents import Filter, check_text, filter_to_proto
from honeyguide.errors import HoneyguideError, InvalidArgument, Unavailable
from honeyguide.text import normalize

log = structlog.get_logger("honeyguide.orchestrator.suggest")

PREFIX_CHARS_MAX = 200
LIMIT_MAX = 50
LIMIT_DEFAULT = 8
_ANY = Filter()


class TitleService(Protocol):
    """The part of `honeyguide.lexical.v1.LexicalService` that is used here."""

    def CompleteTitles(
        self, request: lexical_pb2.CompleteTitlesRequest, timeout: float
    ) -> Awaitable[lexical_pb2.CompleteTitlesResponse]:
        """Completes a prefix to titles."""
        ...


class QueryService(Protocol):
    """The part of `honeyguide.memory.v1.MemoryService` that is used here."""

    def CompleteQueries(
        self, request: memory_pb2.CompleteQueriesRequest, timeout: float
    ) -> Awaitable[memory_pb2.CompleteQueriesResponse]:
        """Completes a prefix to remembered queries."""
        ...


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One completion; a remembered query has neither document nor type. `score` is in [0, 1], higher is better."""

    text: str
    score: float
    document_id: str = ""
    type: str = ""


class Suggester:
    """Merges completions from both services, which are asked at once; one that fails or is late is done without.

    Args:
        lexical: completes to titles.
        memory: completes to remembered queries.
        timeout_s: how long a suggestion waits for either.
    """

    def __init__(self, lexical: TitleService, memory: QueryService, timeout_s: float = 0.1) -> None:
        self._lexical = lexical
        self._memory = memory
        self._timeout_s = timeout_s

    async def suggest(self, prefix: str, filter: Filter = _ANY, limit: int = 0) -> tuple[Suggestion, ...]:
        """Completions of a prefix, best first; of an empty prefix, what is popular as far as the services tell.

        Args:
            prefix: what was typed so far, at most 200 characters.
            filter: which documents may be suggested; remembered queries are not documents.
            limit: most wanted, 1 to 50; 0 = 8.

        Raises:
            InvalidArgument: naming the field that is wrong.
            Unavailable: if neither service answers.
        """
        check_text("prefix", prefix, PREFIX_CHARS_MAX)
        if not 0 <= limit <= LIMIT_MAX:
            raise InvalidArgument("limit", f"{limit:,} is not 1 to {LIMIT_MAX}, or 0 for {LIMIT_DEFAULT}")
        wanted = limit or LIMIT_DEFAULT
        titles, queries = await asyncio.gather(
            _or_failure(self._titles(prefix, filter, wanted)), _or_failure(self._queries(prefix, wanted))
        )
        if isinstance(titles, HoneyguideError) and isinstance(queries, HoneyguideError):
            raise Unavailable(f"lexical: {titles.message}; memory: {queries.message}")
        for name, outcome in (("lexical", titles), ("memory", queries)):
            if isinstance(outcome, HoneyguideError):
                log.info("suggestions without one service", service=name, error=outcome.message)
        return merge(
            () if isinstance(titles, HoneyguideError) else titles,
            () if isinstance(queries, HoneyguideError) else queries,
            wanted,
        )

    async def _titles(self, prefix: str, filter: Filter, limit: int) -> tuple[Suggestion, ...]:
        request = lexical_pb2.CompleteTitlesRequest(prefix=prefix, filter=filter_to_proto(filter), limit=limit)
        response = await self._lexical.CompleteTitles(request, timeout=self._timeout_s)
        return tuple(
            Suggestion(found.title, _unit(found.score), found.document_id, found.type) for found in response.completions
        )

    async def _queries(self, prefix: str, limit: int) -> tuple[Suggestion, ...]:
        request = memory_pb2.CompleteQueriesRequest(prefix=prefix, limit=limit)
        response = await self._memory.CompleteQueries(request, timeout=self._timeout_s)
        return tuple(Suggestion(found.query, query_score(found.actions)) for found in response.completions)


def query_score(actions: float) -> float:
    """Score in [0, 1) of a remembered query with this many (decayed) actions behind it.

    x / (1 + x) of x = ln(1 + actions): 0.41 for one action, 0.71 for ten, 0.82 for a hundred; so a query counts like a
    good title after a few successes and no count drowns the titles.
    """
    growth = math.log1p(actions) if actions > 0 and math.isfinite(actions) else 0.0
    return growth / (1.0 + growth)


def merge(titles: tuple[Suggestion, ...], queries: tuple[Suggestion, ...], limit: int) -> tuple[Suggestion, ...]:
    """The best of both, each text (normalised) once.

    A text that is a title and a remembered query is offered as the title; two independent reasons make
    1 - (1 - a)(1 - b). Of titles that read the same the best stands for all. Equals stay in the order of their service,
    titles before queries.
    """
    merged: dict[str, Suggestion] = {}
    for title in sorted(titles, key=lambda suggestion: -suggestion.score):
        merged.setdefault(normalize(title.text) or title.text, title)
    for query in sorted(queries, key=lambda suggestion: -suggestion.score):
        key = normalize(query.text) or query.text
        known = merged.get(key)
        if known is None:
            merged[key] = query
        elif known.document_id:
            merged[key] = replace(known, score=1.0 - (1.0 - known.score) * (1.0 - query.score))
    ordered = sorted(merged.values(), key=lambda suggestion: -suggestion.score)
    return tuple(ordered[:limit])


async def _or_failure(asked: Awaitable[tuple[Suggestion, ...]]) -> tuple[Suggestion, ...] | HoneyguideError:
    try:
        return await asked
    except HoneyguideError as error:
        return error


def _unit(score: float) -> float:
    return min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0

"""Puts searches and suggestions on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.api.search.v1 import search_pb2 as pb
from honeyguide.api.search.v1 import search_pb2_grpc
from honeyguide.documents import AHEAD_MAX_S, Context, check_text, context_from_proto, filter_from_proto
from honeyguide.errors import InvalidArgument
from honeyguide.query import understanding_to_proto
from honeyguide.server import Registration
from honeyguide_orchestrator.decision_log import DecisionRecord, LoggedStrategy
from honeyguide_orchestrator.fanout import Status
from honeyguide_orchestrator.foreground import Foreground
from honeyguide_orchestrator.result_page import Hit, SearchPage
from honeyguide_orchestrator.search import Searcher
from honeyguide_orchestrator.search_query import SearchQuery
from honeyguide_orchestrator.situation import named
from honeyguide_orchestrator.suggest import Suggester

QUERY_CHARS_MAX = 2_000
PAGE_SIZE_DEFAULT = 10
PAGE_SIZE_MAX = 100
NAME_CHARS_MAX = 64

_ServicerContext = grpc.aio.ServicerContext[Any, Any]


def register_search(
    searcher: Searcher, suggester: Suggester, clock: Callable[[], float], foreground: Foreground
) -> Registration:
    """Search, ready for a server."""
    return Registration(
        "honeyguide.search.v1.SearchService",
        search_pb2_grpc.add_SearchServiceServicer_to_server,
        SearchServicer(searcher, suggester, clock, foreground),
    )


class SearchServicer(search_pb2_grpc.SearchServiceServicer):
    """The methods are described in `honeyguide/search/v1/search.proto`."""

    def __init__(
        self, searcher: Searcher, suggester: Suggester, clock: Callable[[], float], foreground: Foreground
    ) -> None:
        self._searcher = searcher
        self._suggester = suggester
        self._clock = clock
        self._foreground = foreground

    async def Search(self, request: pb.SearchRequest, context: _ServicerContext) -> pb.SearchResponse:
        with self._foreground.search():
            page = await self._searcher.search(self._query(request, context.time_remaining()))
            return _response(page, request.view == pb.SEARCH_VIEW_FULL)

    async def Suggest(self, request: pb.SuggestRequest, context: _ServicerContext) -> pb.SuggestResponse:
        self._context(request.context)
        suggestions = await self._suggester.suggest(request.prefix, filter_from_proto(request.filter), request.limit)
        return pb.SuggestResponse(
            suggestions=[
                pb.Suggestion(text=one.text, document_id=one.document_id, type=one.type, score=one.score)
                for one in suggestions
            ]
        )

    def _query(self, request: pb.SearchRequest, patience_s: float | None) -> SearchQuery:
        check_text("query", request.query, QUERY_CHARS_MAX)
        if request.page_size > PAGE_SIZE_MAX:
            raise InvalidArgument("page_size", f"is {request.page_size:,}; 0 (= 10) to {PAGE_SIZE_MAX} are allowed")
        if request.view not in pb.SearchView.values():
            raise InvalidArgument("view", f"{request.view} is not one of {', '.join(pb.SearchView.keys())}")
        check_text("policy", request.policy, NAME_CHARS_MAX)
        check_text("ranker", request.ranker, NAME_CHARS_MAX)
        return SearchQuery(
            text=request.query,
            context=self._context(request.context),
            filter=filter_from_proto(request.filter),
            page_size=request.page_size or PAGE_SIZE_DEFAULT,
            page_token=request.page_token,
            full=request.view == pb.SEARCH_VIEW_FULL,
            ids_only=request.view == pb.SEARCH_VIEW_IDS,
            policy=request.policy,
            ranker=request.ranker,
            tracked=not request.untracked,
            patience_s=patience_s,
        )

    def _context(self, message: document_pb2.Context) -> Context:
        # Windows close by the times of the searches: one search of a far future would close them all for good.
        now_s = self._clock()
        context = context_from_proto(message, now_s)
        if context.time_s > now_s + AHEAD_MAX_S:
            raise InvalidArgument("context.time", "lies more than 5 minutes ahead of this server's clock")
        return context


def _response(page: SearchPage, full: bool) -> pb.SearchResponse:
    record = page.decision
    response = pb.SearchResponse(
        decision_id=record.id,
        results=[_result(hit, record, full) for hit in page.hits],
        next_page_token=page.next_page_token,
        candidate_count=len(record.document_ids),
        failures=[
            _outcome(one) for one in (*record.strategies, *record.fillers) if one.status in (Status.FAILED, Status.LATE)
        ],
        understanding=understanding_to_proto(record.understanding),
    )
    if page.unfetched:
        response.failures.add(strategy="lexical", status=Status.FAILED.value, message=page.unfetched)
    if full:
        response.explanation.CopyFrom(_explanation(page))
    return response


def _result(hit: Hit, record: DecisionRecord, full: bool) -> pb.SearchResult:
    result = pb.SearchResult(
        document=hit.document,
        position=hit.row + 1,
        score=float(record.scores[hit.row]),
        snippet=hit.snippet,
        text_cut=hit.text_cut,
    )
    if full:
        for strategy, rank, score in hit.provenance:
            result.provenance.add(strategy=strategy, rank=rank, score=score)
        for feature, value, contribution in hit.contributions:
            result.contributions.add(feature=feature, value=value, contribution=contribution)
    return result


def _explanation(page: SearchPage) -> pb.Explanation:
    record = page.decision
    return pb.Explanation(
        policy=record.policy,
        snapshot_version=record.snapshot_version,
        ranker=record.ranker,
        propensity=record.propensity,
        propensity_estimated=record.propensity_estimated,
        strategies=[_outcome(one) for one in record.strategies],
        context_features=named(record.x),
        timings={stage: _duration(seconds) for stage, seconds in page.timings_s.items()},
        swapped_at=record.swapped_at,
        fillers=[_outcome(one) for one in record.fillers],
    )


def _outcome(strategy: LoggedStrategy) -> pb.StrategyOutcome:
    return pb.StrategyOutcome(
        strategy=strategy.name,
        depth=strategy.depth,
        propensity=strategy.propensity,
        status=strategy.status.value,
        message=strategy.message,
        returned=strategy.returned,
        elapsed=_duration(strategy.elapsed_s),
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration

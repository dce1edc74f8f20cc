"""Pages of a decision's results: its documents fetched, and who found them and why they stand where they do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog

from honeyguide.api.lexical.v1 import lexical_pb2
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.errors import HoneyguideError, InvalidArgument, Unavailable
from honeyguide.query import RetrievalQuery
from honeyguide_orchestrator.candidate_features import feature_names
from honeyguide_orchestrator.deadline import Deadline
from honeyguide_orchestrator.decision_log import DecisionLog, DecisionRecord
from honeyguide_orchestrator.learned import Learned
from honeyguide_orchestrator.page_filler import PageFiller
from honeyguide_orchestrator.page_token import PageToken, PageTokens, scope_of
from honeyguide_orchestrator.ranker import RANKERS, Floats
from honeyguide_orchestrator.search_query import SearchQuery

CONTRIBUTIONS_MAX = 12
REACHED_MAX = 500
"""Results that can be paged through."""
TEXT_BYTES_MAX = 3 * 2**20
"""Of all texts of a page, which is one message: each gets the same part of it at most."""

log = structlog.get_logger("honeyguide.result_page")


@dataclass(frozen=True, slots=True)
class Hit:
    """One result: `row` is its place among the decision's ranked candidates, from 0.

    text_cut: whether the document's text was too long for the page. provenance: strategy, rank and raw score, best rank
    first. contributions: feature, value and value times weight, largest first. Both only for a full view.
    """

    document: document_pb2.Document
    snippet: str
    text_cut: bool
    row: int
    provenance: tuple[tuple[str, int, float], ...] = ()
    contributions: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of a decision's results; `timings_s` by stage, empty for a later page.

    unfetched: why the documents hold nothing but id and type, empty if they are whole or no more was asked.
    """

    decision: DecisionRecord
    hits: tuple[Hit, ...]
    next_page_token: str
    timings_s: Mapping[str, float] = field(default_factory=dict)
    unfetched: str = ""


class ResultPages:
    """Makes pages. `lexical` hands documents out, and `decision_log` has earlier decisions, each within `fetch_s`
    seconds; `filler` finds what pages hold beyond what was decided, within `fill_s`."""

    def __init__(
        self,
        lexical: Any,
        decision_log: DecisionLog,
        page_tokens: PageTokens,
        filler: PageFiller,
        fetch_s: float,
        fill_s: float,
    ) -> None:
        self._lexical = lexical
        self._decision_log = decision_log
        self._page_tokens = page_tokens
        self._filler = filler
        self._fetch_s = fetch_s
        self._fill_s = fill_s

    async def page(
        self, query: SearchQuery, record: DecisionRecord, offset: int, learned: Learned, deadline: Deadline
    ) -> SearchPage:
        """The page of a decision's results that begins after `offset` of them."""
        rows = range(offset, min(offset + query.page_size, len(record.document_ids)))
        fetched, unfetched = await self._fetch(query, record, rows, deadline.to_show(self._fetch_s))
        contributions = _contributions(record, rows, learned) if query.full else {}
        hits = tuple(
            Hit(
                fetched[record.document_ids[row]].document,
                fetched[record.document_ids[row]].snippet,
                fetched[record.document_ids[row]].text_cut,
                row,
                _provenance(record, row) if query.full else (),
                contributions.get(row, ()),
            )
            for row in rows
            if record.document_ids[row] in fetched
        )
        token = self._token_after(record, offset + query.page_size)
        return SearchPage(record, hits, token, unfetched=unfetched)

    async def _fetch(
        self, query: SearchQuery, record: DecisionRecord, rows: range, limit_s: float
    ) -> tuple[dict[str, lexical_pb2.FetchedDocument], str]:
        """The documents of a page by id, without those deleted; bare ones if no more is asked, or, with the reason, if
        they cannot be had."""
        ids = [record.document_ids[row] for row in rows]
        if query.ids_only or not ids:
            return _bare(record, rows), ""
        request = lexical_pb2.FetchDocumentsRequest(
            document_ids=ids, query=query.text, text_bytes_max=TEXT_BYTES_MAX // len(ids)
        )
        try:
            response = await self._lexical.FetchDocuments(request, timeout=limit_s)
        except HoneyguideError as error:
            log.warning("documents not fetched", error=error.message)
            return _bare(record, rows), f"documents not fetched: {error.message}"[:500]
        return {one.document.id: one for one in response.documents}, ""

    async def next_page(self, query: SearchQuery, learned: Learned, deadline: Deadline) -> SearchPage:
        """The page that `query.page_token` asks for.

        Raises:
            InvalidArgument: the token is wrong, stale or of another search.
            Unavailable: the decision log does not answer, or not in time.
        """
        try:
            async with asyncio.timeout(deadline.to_find(self._fetch_s)):
                token, record = await self._decided(query)
        except TimeoutError:
            raise Unavailable("the decision log does not answer in time") from None
        record = await self._filled(query, record, token.offset + query.page_size, deadline)
        return await self.page(query, record, token.offset, learned, deadline)

    async def _decided(self, query: SearchQuery) -> tuple[PageToken, DecisionRecord]:
        """What the search's page token says, and the decision that it goes on with."""
        token = await self._page_tokens.read(query.page_token)
        if token.scope != scope_of(query.text, query.filter):
            raise InvalidArgument("page_token", "belongs to another query or filter")
        found = await self._decision_log.fetch([token.decision_id])
        if token.decision_id not in found:
            raise InvalidArgument("page_token", "is stale: its decision is no longer kept; search again")
        return token, found[token.decision_id]

    async def _filled(
        self, query: SearchQuery, record: DecisionRecord, wanted: int, deadline: Deadline
    ) -> DecisionRecord:
        """The record with `wanted` documents, or as many as there are. What is added is logged before it is shown:
        actions on it count, and later pages go on behind it, whoever is asked for them."""
        asked = RetrievalQuery(query.text, record.understanding, record.context, query.filter)
        longer = await self._filler.filled(record, asked, wanted, deadline.to_find(self._fill_s))
        if len(longer.document_ids) == len(record.document_ids):
            return longer
        try:
            async with asyncio.timeout(deadline.to_find(self._fetch_s)):
                logged = await self._decision_log.lengthen(record, longer)
        except (HoneyguideError, TimeoutError) as error:
            log.error("what fills a page is not logged", decision=record.id, error=str(error) or "late")
            return longer
        if logged is longer:
            return longer
        return await self._filled(query, logged, wanted, deadline)  # another came first, maybe with less

    def _token_after(self, record: DecisionRecord, offset: int) -> str:
        # Behind a page that is full there may be more: whoever turns to it finds out.
        if offset > len(record.document_ids) or offset >= REACHED_MAX:
            return ""
        return self._page_tokens.write(PageToken(record.id, offset, record.scope))


def _bare(record: DecisionRecord, rows: range) -> dict[str, lexical_pb2.FetchedDocument]:
    """A page's documents with nothing but id and type."""
    return {
        record.document_ids[row]: lexical_pb2.FetchedDocument(
            document=document_pb2.Document(id=record.document_ids[row], type=record.types[row])
        )
        for row in rows
    }


def _contributions(
    record: DecisionRecord, rows: range, learned: Learned
) -> dict[int, tuple[tuple[str, float, float], ...]]:
    """See `Hit`; by row, of those whose features are kept."""
    explained = rows[: max(len(record.features) - rows.start, 0)]
    if not explained or not record.has_todays_features:
        return {}
    # Of all candidates, as the scores are: the gate goes by all of them.
    parts = RANKERS[record.ranker].contributions(record.features, record.answered, learned.ranker)
    names = feature_names(record.answered)
    return {row: _largest(names, record.features[row], parts[row]) for row in explained}


def _largest(names: Sequence[str], values: Floats, parts: Floats) -> tuple[tuple[str, float, float], ...]:
    largest = np.argsort(-np.abs(parts), kind="stable")[:CONTRIBUTIONS_MAX]
    return tuple((names[i], float(values[i]), float(parts[i])) for i in largest if parts[i])


def _provenance(record: DecisionRecord, row: int) -> tuple[tuple[str, int, float], ...]:
    if row >= record.decided:
        return ((*record.filled[row - record.decided], 0.0),)
    ranks = record.ranks[row].tolist()
    scores = record.strategy_scores[row].tolist() if row < len(record.strategy_scores) else [0.0] * len(ranks)
    found = [one for one in zip(record.answered, ranks, scores, strict=True) if one[1]]
    return tuple(sorted(found, key=lambda one: one[1]))

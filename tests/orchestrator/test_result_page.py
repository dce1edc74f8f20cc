"""Pages of a decision's results: why they stand where they do, and what is logged of later ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from structlog.testing import capture_logs
from tests.orchestrator.decision_records import decision_record
from tests.orchestrator.test_page_filler import Lists

from honeyguide.api.lexical.v1 import lexical_pb2
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.config import CommonSettings
from honeyguide.documents import Context, Filter
from honeyguide.errors import Unavailable
from honeyguide_orchestrator.candidate_features import feature_names
from honeyguide_orchestrator.deadline import Deadline
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.fanout import Outcome
from honeyguide_orchestrator.learned import LearnedModels
from honeyguide_orchestrator.page_filler import PageFiller
from honeyguide_orchestrator.page_token import PageToken, PageTokens, scope_of
from honeyguide_orchestrator.ranker import RankerModel
from honeyguide_orchestrator.ranker_evidence import Advantage, GateEvidence, RankerEvidence
from honeyguide_orchestrator.result_page import ResultPages
from honeyguide_orchestrator.search_query import SearchQuery

QUERY = SearchQuery("halo", Context(1_000.0), Filter(), page_size=2, full=True)
TOKENS = PageTokens(b"secret")
LEARNED = LearnedModels((5, 10, 20)).current(())


class Lexical:
    """Has every document."""

    def __init__(self) -> None:
        self.text_bytes_max = 0

    async def FetchDocuments(self, request: Any, timeout: float) -> lexical_pb2.FetchDocumentsResponse:
        self.text_bytes_max = request.text_bytes_max
        return lexical_pb2.FetchDocumentsResponse(
            documents=[
                lexical_pb2.FetchedDocument(document=document_pb2.Document(id=id)) for id in request.document_ids
            ]
        )


class Log:
    """A decision log of one decision; `down`: it takes in no more."""

    def __init__(self) -> None:
        self.kept = decision_record("d1", answered=("memory.query",), scope=scope_of("halo", Filter()))
        self.written = 0
        self.down = False

    async def fetch(self, ids: Sequence[str]) -> dict[str, DecisionRecord]:
        return {"d1": self.kept}

    async def lengthen(self, record: DecisionRecord, longer: DecisionRecord) -> DecisionRecord:
        if self.down:
            raise Unavailable("Redis")
        if record.document_ids != self.kept.document_ids:
            return self.kept
        self.written += 1
        self.kept = longer
        return longer


def pages(decision_log: Any = None, retrievers: Any = None) -> ResultPages:
    return ResultPages(Lexical(), decision_log, TOKENS, PageFiller(retrievers), 1.0, 1.0)


async def turned(log: Log, retrievers: Lists, offset: int, size: int = 2) -> list[str]:
    """Ids on the page after `offset` results."""
    token = TOKENS.write(PageToken("d1", offset, log.kept.scope))
    query = replace(QUERY, page_size=size, page_token=token, full=False)
    page = await pages(log, retrievers).next_page(query, LEARNED, Deadline(None))
    return [hit.document.id for hit in page.hits]


async def test_a_page_is_explained_by_the_ranker_that_ranked_it() -> None:
    # The linear ranker serves queries that people acted on before, which only the second result tells of this one.
    names = feature_names(("lexical.bm25",))
    features = np.ones((2, len(names)), np.float32)
    features[0, names.index("q2e_actions")] = 0.0
    serves = RankerEvidence(linear_over_prior=Advantage(ahead=True))
    model = RankerModel(dict.fromkeys(names, 0.0) | {"best_rank": 7.0}, evidence=GateEvidence(known=serves))
    page = await pages().page(
        QUERY, decision_record(features=features), 0, replace(LEARNED, ranker=model), Deadline(None)
    )
    assert [hit.contributions for hit in page.hits] == [(("best_rank", 1.0, 7.0),)] * 2


async def test_what_fills_a_later_page_is_logged_once_and_later_pages_go_on_behind_it() -> None:
    log, late = Log(), Lists(vector_dense="abcdef")
    assert await turned(log, late, 2) == ["a", "b"]
    assert log.kept.document_ids == tuple("xyab")
    assert log.kept.filled == (("vector.dense", 1), ("vector.dense", 2))
    both = Lists(lexical_bm25="qr", vector_dense="abcdef")
    assert await turned(log, both, 2) == ["a", "b"]
    assert log.written == 1
    assert await turned(log, both, 4) == ["q", "r"]


async def test_who_fills_a_page_second_shows_what_the_first_did() -> None:
    log = Log()

    class Overtaken(Lists):
        async def retrieve(self, query: Any, depths: Mapping[str, int], timeout_s: float) -> dict[str, Outcome]:
            if len(log.kept.document_ids) == 2:
                assert await turned(log, Lists(lexical_bm25="pq"), 2, size=1) == ["p"]
            return await super().retrieve(query, depths, timeout_s)

    assert await turned(log, Overtaken(vector_dense="abcdef"), 2) == ["p", "a"]
    assert log.kept.document_ids == tuple("xypa")


async def test_a_page_is_shown_though_what_fills_it_is_not_logged() -> None:
    log = Log()
    log.down = True
    with capture_logs() as logs:
        assert await turned(log, Lists(vector_dense="abcdef"), 2) == ["a", "b"]
    assert [entry["event"] for entry in logs] == ["what fills a page is not logged"]


async def test_all_texts_of_a_page_fit_into_one_message() -> None:
    lexical, count = Lexical(), 100
    record = decision_record(document_ids=tuple(f"d{i}" for i in range(count)))
    making: Any = ResultPages(lexical, None, TOKENS, PageFiller(None), 1.0, 1.0)  # type: ignore[arg-type]
    page = await making.page(replace(QUERY, page_size=count, full=False), record, 0, LEARNED, Deadline(None))
    assert len(page.hits) == count
    assert 0.5 < count * lexical.text_bytes_max / CommonSettings().message_bytes_max < 0.9

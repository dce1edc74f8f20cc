"""Pages of a decision's results: why they stand where they do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tests.orchestrator.decision_records import decision_record

from honeyguide.api.lexical.v1 import lexical_pb2
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import Context, Filter
from honeyguide_orchestrator.candidate_features import feature_names
from honeyguide_orchestrator.deadline import Deadline
from honeyguide_orchestrator.learned import LearnedModels
from honeyguide_orchestrator.page_token import PageTokens
from honeyguide_orchestrator.ranker import RankerModel
from honeyguide_orchestrator.ranker_evidence import Advantage, GateEvidence, RankerEvidence
from honeyguide_orchestrator.result_page import ResultPages
from honeyguide_orchestrator.search_query import SearchQuery

QUERY = SearchQuery("halo", Context(1_000.0), Filter(), page_size=2, full=True)
LEARNED = LearnedModels((5, 10, 20)).current(())


class Lexical:
    """Has every document."""

    async def FetchDocuments(self, request: Any, timeout: float) -> lexical_pb2.FetchDocumentsResponse:
        return lexical_pb2.FetchDocumentsResponse(
            documents=[
                lexical_pb2.FetchedDocument(document=document_pb2.Document(id=id)) for id in request.document_ids
            ]
        )


def pages(lexical: Any = None, decision_log: Any = None, filler: Any = None) -> ResultPages:
    return ResultPages(lexical or Lexical(), decision_log, PageTokens(b"secret"), filler, 1.0, 1.0)


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

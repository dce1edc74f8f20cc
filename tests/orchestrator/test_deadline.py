"""A search for which somebody waits for so long is answered by then, whatever hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.orchestrator.decision_records import decision_record

from honeyguide.candidates import NO_CANDIDATES, Candidates
from honeyguide.documents import Context, Filter
from honeyguide.errors import DeadlineExceeded, Unavailable
from honeyguide.query import RetrievalQuery
from honeyguide.retriever import Strategy
from honeyguide_orchestrator.allocation_model import Costs
from honeyguide_orchestrator.catalog_facts import CatalogFacts
from honeyguide_orchestrator.fanout import Outcome, Status
from honeyguide_orchestrator.learned import LearnedModels
from honeyguide_orchestrator.page_filler import PageFiller
from honeyguide_orchestrator.page_token import PageToken, PageTokens, scope_of
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.policy import PolicyOptions
from honeyguide_orchestrator.ranker import RANKERS
from honeyguide_orchestrator.recognition import Recognizer
from honeyguide_orchestrator.result_page import ResultPages
from honeyguide_orchestrator.search import Searcher, SearchLimits
from honeyguide_orchestrator.search_query import SearchQuery
from honeyguide_orchestrator.understanding import Understander

DEPTHS = (5, 10, 20)
LIMIT_S = 5.0
PATIENCE_S = 0.8
TOKENS = PageTokens(b"secret")


async def hanging(*_: Any, timeout: float = 60.0) -> Any:
    await asyncio.sleep(timeout)
    raise DeadlineExceeded("late")


HANGING = SimpleNamespace(
    **dict.fromkeys(("RecognizeSpans", "Recall", "FetchDocuments", "append", "fetch", "extend"), hanging)
)


class Retrievers:
    """One strategy answers at once, the dependable ones not at all."""

    strategies = (
        Strategy("lexical.bm25", "", dependable=True),
        Strategy("memory.popular", ""),
        Strategy("vector.dense", "", dependable=True),
    )

    async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int], timeout_s: float) -> dict[str, Outcome]:
        late = Outcome(Status.LATE, NO_CANDIDATES, timeout_s, "late")
        found = Outcome(Status.OK, Candidates(["x"], np.ones(1, np.float32), ["film"]), 0.0)
        if set(depths) - {"memory.popular"}:
            await asyncio.sleep(timeout_s)
        return {name: found if name == "memory.popular" else late for name in depths}


def searcher(decision_log: Any = HANGING) -> Searcher:
    retrievers: Any = Retrievers()
    filler = PageFiller(retrievers)
    recognizer = Recognizer(HANGING, time.monotonic, LIMIT_S)
    options = PolicyOptions(Costs.of(DEPTHS, 0.01, 0.001), 0.0, 0.0, 60.0, 0.0, 0.0)
    return Searcher(
        understander=Understander(recognizer, CatalogFacts, time.time),
        retrievers=retrievers,
        lexical=HANGING,
        memory=HANGING,
        models=LearnedModels(DEPTHS),
        policies={"full_depth": POLICIES["full_depth"](options)},
        live_policy="full_depth",
        shadow_policy="",
        rankers=RANKERS,
        live_ranker="prior",
        decision_log=decision_log,
        filler=filler,
        pages=ResultPages(HANGING, decision_log, TOKENS, filler, LIMIT_S, LIMIT_S),
        limits=SearchLimits(0.05, LIMIT_S, LIMIT_S, 0.0),
        rng=np.random.default_rng(1),
    )


async def test_a_search_is_answered_in_time_whatever_hangs() -> None:
    async with asyncio.timeout(PATIENCE_S):
        page = await searcher().search(SearchQuery("halo", Context(1_000.0), Filter(), patience_s=PATIENCE_S))
    assert [hit.document.id for hit in page.hits] == ["x"]
    assert page.unfetched


async def test_a_later_page_is_made_in_time() -> None:
    record = decision_record("d1", answered=("memory.popular",), scope=scope_of("halo", Filter()))

    async def fetch(ids: list[str]) -> Mapping[str, Any]:
        return {"d1": record}

    query = SearchQuery(
        "halo",
        Context(1_000.0),
        Filter(),
        page_size=2,
        page_token=TOKENS.write(PageToken("d1", 1, record.scope)),
        patience_s=PATIENCE_S,
    )
    async with asyncio.timeout(PATIENCE_S):
        page = await searcher(SimpleNamespace(fetch=fetch)).search(query)
    assert [hit.document.id for hit in page.hits] == ["y"]
    assert page.unfetched
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(Unavailable, match="in time"):
            await searcher().search(query)

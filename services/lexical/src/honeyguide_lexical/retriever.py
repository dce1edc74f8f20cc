"""The strategies of the lexical service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from honeyguide.candidate_cache import CandidateCache
from honeyguide.candidates import Candidates
from honeyguide.query import RetrievalQuery
from honeyguide.retriever import Answer, Need, Strategy, ask_each
from honeyguide.threads import WarmThreads
from honeyguide_lexical.bm25 import search_text
from honeyguide_lexical.fulltext import FullText
from honeyguide_lexical.fuzzy import search_fuzzy
from honeyguide_lexical.structured import search_structured

DEPTH_MAX = 1_000

BM25, POPULAR, STRUCTURED, FUZZY = "lexical.bm25", "lexical.popular", "lexical.structured", "lexical.fuzzy"

STRATEGIES = (
    Strategy(
        BM25,
        "full text: the query's words in titles, texts and searchable attributes",
        depth_max=DEPTH_MAX,
        needs=(Need.QUERY,),
        dependable=True,
    ),
    Strategy(POPULAR, "the same, in favour of popular documents", depth_max=DEPTH_MAX, needs=(Need.QUERY,)),
    Strategy(
        STRUCTURED,
        "types, attributes, ranges and names understood from the query",
        depth_max=DEPTH_MAX,
        needs=(Need.INTERPRETATION,),
    ),
    Strategy(FUZZY, "misspelt, unfinished, joined or split words of names", depth_max=DEPTH_MAX, needs=(Need.QUERY,)),
)


class LexicalRetriever:
    """Implements `honeyguide.retriever.Retriever` over the index that `index` returns at the time of a search; keeps
    `cache_max` lists of candidates until the index changes."""

    def __init__(self, index: Callable[[], FullText], searching: WarmThreads, cache_max: int) -> None:
        self._index = index
        self._searching = searching
        # A layout that changes boosts alone takes effect without a commit.
        self._cache = CandidateCache(cache_max, lambda: (index().newest.number, index().layout))

    @property
    def strategies(self) -> Sequence[Strategy]:
        """bm25, popular, structured, fuzzy."""
        return STRATEGIES

    async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int]) -> Mapping[str, Answer]:
        """Asks strategies side by side, each on a thread."""
        return await ask_each({name: partial(self._ask, name, query, depth) for name, depth in depths.items()})

    async def _ask(self, name: str, query: RetrievalQuery, depth: int) -> Candidates:
        def search() -> Awaitable[Candidates]:
            return self._searching.run(_search, self._index(), name, query, depth)

        looked_at = query.understanding.interpretations if name == STRUCTURED else query.query
        return await self._cache.fetch((name, looked_at), query.filter, depth, search)


def _search(index: FullText, name: str, query: RetrievalQuery, depth: int) -> Candidates:
    if name == STRUCTURED:
        return search_structured(index, query.understanding.interpretations, query.filter, depth)
    if name == FUZZY:
        return search_fuzzy(index, query.query, query.filter, depth)
    return search_text(index, query.query, query.filter, depth, by_fame=name == POPULAR)

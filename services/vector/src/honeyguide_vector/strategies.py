"""The strategies: what vector each of them looks for, and around what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from honeyguide.candidate_cache import CandidateCache
from honeyguide.candidates import NO_CANDIDATES, Candidates
from honeyguide.query import RetrievalQuery, Taste
from honeyguide.retriever import Need, Strategy
from honeyguide.threads import WarmThreads
from honeyguide_vector.collection import Collection
from honeyguide_vector.encoder import Vectors, unit
from honeyguide_vector.query_encoding import QueryEncoding

# What a document acted on by the user in another session weighs against one of this session, when tastes are averaged.
USER_WEIGHT = 0.5

T = TypeVar("T")


class VectorStrategy(Protocol):
    """One strategy of this service; scores are cosines."""

    @property
    def strategy(self) -> Strategy:
        """How it is announced."""
        ...

    async def candidates(self, query: RetrievalQuery, depth: int) -> Candidates:
        """The best `depth` documents, or all that there are."""
        ...


class Searching:
    """The collection's searches on threads of their own, so that the event loop stays free.

    changes: tells how often the collection changed so far.
    """

    def __init__(self, collection: Collection, threads: int) -> None:
        self._collection = collection
        self.changes = lambda: collection.changes
        self._threads = WarmThreads(threads, "vector-search")

    async def run(self, search: Callable[[Collection], T]) -> T:
        """Runs a search on a thread."""
        return await self._threads.run(search, self._collection)

    def close(self) -> None:
        """Waits for what runs, and ends the threads."""
        self._threads.close()


class Dense:
    """Documents whose embedding is nearest to the query's."""

    strategy = Strategy(
        "vector.dense",
        "documents that mean what the query means, whatever their words",
        needs=(Need.QUERY,),
        dependable=True,
    )

    def __init__(self, encoding: QueryEncoding, searching: Searching, cache_max: int) -> None:
        self._encoding = encoding
        self._searching = searching
        self._cache = CandidateCache(cache_max, searching.changes)

    async def candidates(self, query: RetrievalQuery, depth: int) -> Candidates:
        """The best `depth` documents, or all that there are."""
        if not query.query.strip():
            return NO_CANDIDATES

        async def search() -> Candidates:
            vector = await self._encoding.encode(query.query)
            return await self._searching.run(lambda held: held.nearest(vector[None], depth, query.filter))

        return await self._cache.fetch(query.query, query.filter, depth, search)


class Personal:
    """Documents near a blend of the query and the mean of what was acted on; without the latter, as `Dense`.

    The blend is (1 - weight) x query + weight x taste, both of unit length; so is the result.
    """

    strategy = Strategy(
        "vector.personal",
        "documents that mean what the query means and are like those this user acted on",
        needs=(Need.QUERY, Need.TASTE),
    )

    def __init__(self, encoding: QueryEncoding, searching: Searching, weight: float, decay: float) -> None:
        self._encoding = encoding
        self._searching = searching
        self._weight = weight
        self._decay = decay

    async def candidates(self, query: RetrievalQuery, depth: int) -> Candidates:
        """The best `depth` documents, or all that there are."""
        if not query.query.strip():
            return NO_CANDIDATES
        vector = await self._encoding.encode(query.query)

        def search(held: Collection) -> Candidates:
            taste = self._taste(held, query.taste)
            wanted = vector if taste is None else unit((1 - self._weight) * vector + self._weight * taste)
            return held.nearest(wanted[None], depth, query.filter)

        return await self._searching.run(search)

    def _taste(self, held: Collection, taste: Taste) -> Vectors | None:
        """The weighted mean of what was acted on: newer weighs more, and this session more than others."""
        weights = dict(_decaying(taste.user_document_ids, USER_WEIGHT, self._decay))
        weights.update(_decaying(taste.session_document_ids, 1.0, self._decay))
        ids, vectors = held.vectors(list(weights))
        if not ids:
            return None
        return unit(np.array([weights[id] for id in ids], np.float32) @ vectors)


class Similar:
    """Neighbours of the documents acted on last, in this session or else by this user; those themselves left out.

    A document's score is its best cosine to any of them, each discounted by `decay` for every newer one.
    """

    strategy = Strategy(
        "vector.similar",
        "documents like those acted on last in this session",
        needs=(Need.TASTE,),
    )

    def __init__(self, searching: Searching, documents_max: int, decay: float) -> None:
        self._searching = searching
        self._documents_max = documents_max
        self._decay = decay

    async def candidates(self, query: RetrievalQuery, depth: int) -> Candidates:
        """The best `depth` documents, or all that there are."""

        def search(held: Collection) -> Candidates:
            session, user = query.taste.session_document_ids, query.taste.user_document_ids
            ids, vectors = held.vectors(list(dict.fromkeys(session)))
            if not ids:
                ids, vectors = held.vectors(list(dict.fromkeys(user)))
            if not ids:
                return NO_CANDIDATES
            vectors = vectors[: self._documents_max]
            weights = np.array([self._decay**age for age in range(len(vectors))], np.float32)
            return held.nearest(vectors, depth, query.filter, {*session, *user}, weights)

        return await self._searching.run(search)


def _decaying(ids: Sequence[str], first: float, decay: float) -> Iterable[tuple[str, float]]:
    return ((id, first * decay**age) for age, id in enumerate(dict.fromkeys(ids)))

"""The strategies of memory. All of them together take three round trips to Redis, or as few as one after a recall of
the same search; two more each time that lists are read further, because a filter leaves too few."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from honeyguide.candidates import CREATED_DAY, POPULARITY, Q2E, Q2E_ACTIONS, RECENCY, TREND, Candidates, Floats
from honeyguide.documents import DAY_S, Context, Filter
from honeyguide.errors import HoneyguideError
from honeyguide.query import RetrievalQuery, Taste, Understanding
from honeyguide.redis_store import RedisStore
from honeyguide.retriever import Answer, Kind, Need, Strategy
from honeyguide.text import normalize
from honeyguide_memory.batch import Batch
from honeyguide_memory.layout import Layout, Owner, owner_id
from honeyguide_memory.lists import Entries, ListReader, newest, trending, with_reserve
from honeyguide_memory.posterior import from_near, posterior
from honeyguide_memory.query_memory import QueryMemories, QueryMemory
from honeyguide_memory.records import RecordFilter
from honeyguide_memory.settings import MemorySettings
from honeyguide_memory.shelf import AskedShelf, Shelf

QUERY = "memory.query"
NEAR = "memory.near"
USER = "memory.user"
POPULAR = "memory.popular"
FRESH = "memory.fresh"

STRATEGIES = (
    Strategy(QUERY, "What was wanted for this very query, or is likely to be", needs=(Need.QUERY,)),
    Strategy(NEAR, "What was wanted for similar queries, misspellings among them", needs=(Need.QUERY,)),
    Strategy(USER, "What this user comes back to, then what the segment does", needs=(Need.USER,)),
    Strategy(POPULAR, "What many want today"),
    Strategy(FRESH, "What is new", kind=Kind.EXPLORE),
)
SEGMENT_WEIGHT = 0.5


class MemoryRetriever:
    """Serves the strategies from Redis; implements `honeyguide.retriever.Retriever`."""

    def __init__(self, store: RedisStore, layout: Layout, settings: MemorySettings, memories: QueryMemories) -> None:
        self._store = store
        self._layout = layout
        self._settings = settings
        self._memories = memories
        self._lives = memories.lives
        self._trend_lives = replace(self._lives, short_s=settings.half_life_trend_days * DAY_S)

    @property
    def strategies(self) -> Sequence[Strategy]:
        """The five strategies."""
        return STRATEGIES

    async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int]) -> Mapping[str, Answer]:
        """Asks strategies for candidates. They share the round trips, so they share their fate and their time."""
        text = query.understanding.normalized_query or normalize(query.query)
        memory = self._memories.take(text, query.context.time_s) if text else None
        begin = time.perf_counter()
        try:
            found = await _Retrieval(self, query, depths, memory).run()
        except HoneyguideError as error:
            elapsed_s = time.perf_counter() - begin
            return {name: Answer(None, elapsed_s, error.message) for name in depths}
        elapsed_s = time.perf_counter() - begin
        return {name: Answer(found[name], elapsed_s) for name in depths}

    def of_query(
        self, memory: QueryMemory, context: Context, filter: Filter, depth: int, batch: Batch
    ) -> Callable[[], Candidates]:
        """What `memory.query` answers of a query that was asked a moment ago, to be called once the batch has run.

        The batch is given the documents to ask for; whoever runs it may ask for what is near in the same round trip.
        """
        query = RetrievalQuery("", Understanding(), context, filter, Taste())
        retrieval = _Retrieval(self, query, {QUERY: depth}, memory)
        retrieval.list_own(memory)
        asked = retrieval.ask_documents(batch)
        return lambda: retrieval.candidates(asked)[QUERY]


class _Retrieval:
    """One call: what is known is asked first, then near queries' pairs, then the documents' records."""

    def __init__(
        self, retriever: MemoryRetriever, query: RetrievalQuery, depths: Mapping[str, int], memory: QueryMemory | None
    ) -> None:
        settings = retriever._settings
        self._settings, self._layout, self._depths, self._request = settings, retriever._layout, depths, query
        self._lives, self._trend_lives = retriever._lives, retriever._trend_lives
        self._now_s = query.context.time_s
        self._filter = RecordFilter(query.filter)
        self._batch = Batch(retriever._store, self._now_s, self._lives)
        self._query = memory
        self._lists: dict[str, Entries] = {}
        self._readers = {
            name: ListReader(self._layout, depths[name], query.filter) for name in (POPULAR, FRESH) if name in depths
        }

    async def run(self) -> dict[str, Candidates]:
        """Candidates by strategy."""
        await self._ask_first()
        if self._query:
            needed = NEAR in self._depths or self._query.gains_from_near(self._settings.prior_strength)
            if needed and not self._query.near_asked:
                self._query.ask_near(self._batch)
                await self._batch.run()
            near = from_near(self._query.near, self._settings.prior_strength)
            self._lists[NEAR] = self._ranked(near, NEAR)
            self.list_own(self._query)
        while True:
            asked = self.ask_documents(self._batch)
            await self._batch.run()
            found = self.candidates(asked)
            lacking = [name for name in self._readers if len(found[name]) < self._depths[name]]
            deeper = [name for name in lacking if self._readers[name].deepen()]
            if not deeper:
                return found
            await self._read_lists(deeper)

    def list_own(self, query: QueryMemory) -> None:
        """Lists what was acted on for this very query, and then what was predicted."""
        own = dict.fromkeys((pair.document for pair in query.predicted), 0.0)
        for document, net in zip(query.observed.targets, query.observed.net.tolist(), strict=True):
            own[document] = own.get(document, 0.0) + net
        self._lists[QUERY] = self._ranked(own, QUERY)

    def ask_documents(self, batch: Batch) -> AskedShelf:
        """Asks for all that is listed, and what was predicted."""
        considered = {document for name in self._depths for document, _ in self._lists.get(name, [])}
        if self._query:
            considered.update(pair.document for pair in self._query.predicted)
        return AskedShelf(batch, sorted(considered), self._layout)

    def candidates(self, asked: AskedShelf) -> dict[str, Candidates]:
        """Candidates by strategy, once the documents are there."""
        shelf = asked.read(self._now_s, self._trend_lives)
        lists = {name: self._lists.get(name, []) for name in self._depths}
        q2e = self._posterior(shelf)
        if QUERY in lists:
            ordered = [(document, q2e.get(document, 0.0)) for document, _ in lists[QUERY]]
            lists[QUERY] = sorted(((d, p) for d, p in ordered if p > 0), key=lambda entry: (-entry[1], entry[0]))
        rows = {document: row for row, document in enumerate(shelf.records)}
        features = self._features(shelf, q2e, rows)
        return {name: self._candidates(entries, shelf, rows, features, name) for name, entries in lists.items()}

    async def _ask_first(self) -> None:
        batch, request, depths = self._batch, self._request, self._depths
        if self._query and not self._query.asked:
            self._query.ask(batch)
        owners = {}
        if USER in depths:
            owners = {Owner.USER: request.context.user_id, Owner.SEGMENT: request.context.segment}
        by_owner = {
            kind: batch.ask_owner(self._layout.owner_key(owner_id(kind, name))) for kind, name in owners.items() if name
        }
        await self._read_lists(self._readers)
        if USER in depths:
            scores: dict[bytes, float] = {}
            for kind, pending in by_owner.items():
                found = pending.value
                wanted = np.maximum(found.net, 0.0)
                if kind is Owner.SEGMENT and wanted.sum() > 0:
                    wanted = SEGMENT_WEIGHT * wanted / wanted.sum()
                for document, score in zip(found.targets, wanted.tolist(), strict=True):
                    scores[document] = scores.get(document, 0.0) + score
            self._lists[USER] = self._ranked({d: score for d, score in scores.items() if score > 0}, USER)

    async def _read_lists(self, strategies: Iterable[str]) -> None:
        """Runs the batch, with what these strategies ask of lists."""
        asked = {}
        for name in strategies:
            kinds, until = ((b"t", b"c"), None) if name == POPULAR else ((b"f", b"i"), self._now_s)
            asked[name] = [self._readers[name].ask(self._batch, kind, until) for kind in kinds]
        await self._batch.run()
        for name, lists in asked.items():
            reader = self._readers[name]
            first, second = map(reader.merge, lists)
            if name == POPULAR:
                entries = trending(first, second, self._now_s, self._trend_lives.short_s)
            else:
                entries = newest(first, second)
            self._lists[name] = reader.to_look_up(entries)

    def _ranked(self, scores: Mapping[bytes, float], strategy: str) -> Entries:
        if strategy not in self._depths:
            return []
        ranked = sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))
        return ranked if self._request.filter else ranked[: with_reserve(self._depths[strategy])]

    def _posterior(self, shelf: Shelf) -> dict[bytes, float]:
        if not self._query:
            return {}
        settings = self._settings
        predicted = {
            pair.document: float(pair.score)
            for pair in self._query.predicted
            if pair.document in shelf.records and shelf.records[pair.document].stamp == pair.stamp
        }
        near = from_near(self._query.near, settings.prior_strength)
        sources = self._query.sources(predicted, near, settings)
        known = {*self._query.observed.targets, *(document for _, scores in sources for document in scores)}
        popularity = {
            document: math.log1p(record.popularity) + shelf.actions(document)
            for document, record in shelf.records.items()
            if document in known
        }
        sources.append((settings.prior_popularity, popularity))
        return posterior(self._query.observed, sources, settings.prior_strength)

    def _features(self, shelf: Shelf, q2e: Mapping[bytes, float], rows: Mapping[bytes, int]) -> dict[str, Floats]:
        """Features of all documents that were looked up, each in its row."""
        records = shelf.records.values()
        actions, last_s = np.zeros(len(rows)), np.full(len(rows), -np.inf)
        if self._query:
            observed = self._query.observed
            found = [(i, rows[document]) for i, document in enumerate(observed.targets) if document in rows]
            of_pair, of_row = np.array(found, np.int64).reshape(-1, 2).T
            actions[of_row], last_s[of_row] = observed.positive[of_pair], observed.last_s[of_pair]
        else:
            last_s[:] = [shelf.last_s(document) for document in rows]
        columns = {
            Q2E: [q2e.get(document, 0.0) for document in rows],
            Q2E_ACTIONS: actions,
            RECENCY: np.exp2(np.maximum(0.0, self._now_s - last_s) / -self._lives.short_s),
            TREND: [shelf.trend(document) for document in rows],
            POPULARITY: [record.popularity for record in records],
            CREATED_DAY: [record.created_day for record in records],
        }
        return {name: np.asarray(column, np.float32) for name, column in columns.items()}

    def _candidates(
        self,
        entries: Entries,
        shelf: Shelf,
        rows: Mapping[bytes, int],
        features: Mapping[str, Floats],
        strategy: str,
    ) -> Candidates:
        kept: Entries = []
        depth = self._depths[strategy]
        for document, score in entries:
            record = shelf.records.get(document)
            if record is not None and self._filter.matches(document, record):
                kept.append((document, score))
                if len(kept) == depth:
                    break
        of_kept = np.array([rows[document] for document, _ in kept], np.int64)
        return Candidates(
            document_ids=[document.decode() for document, _ in kept],
            scores=np.array([score for _, score in kept], np.float32),
            types=[shelf.records[document].type for document, _ in kept],
            features={name: column[of_kept] for name, column in features.items()},
        )

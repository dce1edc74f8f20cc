"""Filling pages for which a decision fetched too little.

A policy learns to ask for what is wanted, which for a known query may be one document. People expect a page all the
same: what stands below comes from strategies that always have something to say. It is no part of the decision, follows
from it, and so leaves propensities as they are; it stands below all that the decision found, and is logged with what it
cost.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from honeyguide.query import RetrievalQuery
from honeyguide.retriever import Strategy
from honeyguide_orchestrator.deadline import STAGE_MIN_S
from honeyguide_orchestrator.decision_log import DecisionRecord, LoggedStrategy
from honeyguide_orchestrator.fanout import Retrievers, Status

BROWSING = "lexical.popular"
"""Answers an empty query, too: with all that passes the filter."""


class PageFiller:
    """Adds documents to a decision's from its dependable strategies, one after the other until there are enough."""

    def __init__(self, retrievers: Retrievers) -> None:
        self._retrievers = retrievers

    async def filled(
        self, record: DecisionRecord, query: RetrievalQuery, wanted: int, limit_s: float
    ) -> DecisionRecord:
        """The record with `wanted` documents, or as many as there are; the same one if it has them.

        Asked for more of the same record, it begins with the same ones.

        Args:
            record: the decision.
            query: what it was about.
            wanted: documents in all.
            limit_s: seconds that they get together, but `STAGE_MIN_S` each in any case.
        """
        if len(record.document_ids) >= wanted:  # as of most searches
            return record
        begin = time.perf_counter()
        for strategy in self._fillers(record):
            missing = wanted - len(record.document_ids)
            if missing <= 0:
                break
            depth = min(wanted, strategy.depth_max)
            left_s = max(limit_s - (time.perf_counter() - begin), STAGE_MIN_S)
            outcome = (await self._retrievers.retrieve(query, {strategy.name: depth}, left_s))[strategy.name]
            found = outcome.candidates
            known = set(record.document_ids)
            new = [i for i, id in enumerate(found.document_ids) if id not in known][:missing]
            logged = LoggedStrategy(
                strategy.name, depth, 1.0, outcome.status, len(found), outcome.elapsed_s, outcome.message
            )
            lowest = float(record.scores.min(initial=0.0))
            below = lowest - np.arange(1, len(new) + 1, dtype=np.float32)
            nowhere = np.zeros((len(new), len(record.answered)), np.int16)
            record = replace(
                record,
                document_ids=(*record.document_ids, *(found.document_ids[i] for i in new)),
                types=(*record.types, *(found.types[i] for i in new)),
                scores=np.concatenate([record.scores, below]).astype(np.float32),
                ranks=np.concatenate([record.ranks, nowhere]),
                fillers=(*record.fillers, logged),
                filled=(*record.filled, *((strategy.name, i + 1) for i in new)),
            )
        return record

    def _fillers(self, record: DecisionRecord) -> Sequence[Strategy]:
        """Dependable strategies that may have more than they were asked for, in a fixed order."""
        if not record.understanding.normalized_query:
            return [strategy for strategy in self._retrievers.strategies if strategy.name == BROWSING]
        return [
            strategy
            for strategy in self._retrievers.strategies
            if strategy.dependable and not _is_all(record, strategy)
        ]


def _is_all(record: DecisionRecord, strategy: Strategy) -> bool:
    """Whether the strategy told all that it has, or failed."""
    for asked in record.strategies:
        if asked.name == strategy.name and asked.depth:
            return asked.status is not Status.OK or asked.returned < asked.depth
    return False

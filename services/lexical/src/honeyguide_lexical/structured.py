"""Queries made of what was understood: every interpretation's constraints at once, weighted by its likelihood."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tantivy

from honeyguide.candidates import NO_CANDIDATES, Candidates
from honeyguide.documents import Filter
from honeyguide.query import Interpretation
from honeyguide_lexical.bm25 import text_query
from honeyguide_lexical.facts import Clause, any_term, filter_clauses, silent
from honeyguide_lexical.fulltext import FAME, ID, FullText, Hits, find

INTERPRETATIONS_MAX = 8
NAMED_MAX = 200
WORST_SHARE = 0.5
"""Score of a matching document of no popularity, beside 1 for the most popular one: constraints alone say that much."""

Must, Should = tantivy.Occur.Must, tantivy.Occur.Should


@dataclass(frozen=True, slots=True)
class _Reading:
    query: tantivy.Query
    named: Sequence[str]
    scored: bool


def search_structured(
    index: FullText, interpretations: Sequence[Interpretation], filter: Filter, depth: int
) -> Candidates:
    """The best `depth` documents over all interpretations.

    Within one interpretation a document scores in [0, 1]: by its place among the documents named, by the text score of
    the words left over, or, where constraints are all there is, by popularity. Its score is the sum over
    interpretations of likelihood times that.
    """
    newest = index.newest
    scores: defaultdict[str, float] = defaultdict(float)
    addresses: dict[str, tantivy.DocAddress] = {}
    queries: list[tantivy.Query] = []
    total = 0
    for interpretation in interpretations[:INTERPRETATIONS_MAX]:
        reading = _read(index, interpretation, filter)
        if reading is None or interpretation.likelihood <= 0:
            continue
        hits, total = _search(newest.searcher, reading, depth)
        queries.append(reading.query)
        ids = [entry.id for entry in newest.entries(hits)]
        for id, share, (_, address) in zip(ids, _shares(reading, ids, hits), hits, strict=True):
            scores[id] += interpretation.likelihood * share
            addresses[id] = address
    if not scores:
        return NO_CANDIDATES
    if len(queries) > 1:
        _, total = find(newest.searcher, tantivy.Query.boolean_query([(Should, query) for query in queries]), 1)
    best = sorted(scores, key=lambda key: (-scores[key], key))[:depth]
    return newest.candidates([(scores[id], addresses[id]) for id in best], total)


def _read(index: FullText, interpretation: Interpretation, filter: Filter) -> _Reading | None:
    """The interpretation as a query; None if it says nothing."""
    wanted = Filter(frozenset(interpretation.types), interpretation.conditions)
    clauses: list[Clause] = filter_clauses(index.schema, wanted)
    named = interpretation.document_ids[:NAMED_MAX]
    rest = text_query(index, interpretation.rest) if interpretation.rest else None
    if named:
        clauses.append((Must, silent(any_term(index.schema, ID, named))))
    if rest is not None:
        # What is named outright is wanted even if the words left over are not in it.
        clauses.append((Should if named else Must, rest))
    if not clauses:
        return None
    clauses.extend(filter_clauses(index.schema, filter))
    return _Reading(tantivy.Query.boolean_query(clauses), named, rest is not None)


def _search(searcher: tantivy.Searcher, reading: _Reading, depth: int) -> tuple[Hits, int]:
    if reading.scored or reading.named:
        return find(searcher, reading.query, max(depth, len(reading.named)))
    return find(searcher, reading.query, depth, order_by_field=FAME)


def _shares(reading: _Reading, ids: Sequence[str], hits: Hits) -> Sequence[float]:
    if reading.named:
        places = {id: place for place, id in enumerate(reading.named)}
        return [1.0 / (1.0 + 0.1 * places[id]) for id in ids]
    values = np.array([float(score or 0.0) for score, _ in hits])
    top = values.max(initial=0.0)
    if reading.scored:
        return list(values / top if top > 0 else np.ones(len(values)))
    relative = values / top if top > 0 else np.zeros(len(values))
    return list(WORST_SHARE + (1.0 - WORST_SHARE) * relative)

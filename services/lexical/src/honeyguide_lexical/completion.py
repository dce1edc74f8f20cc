"""Completing a prefix to titles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import tantivy
from rapidfuzz.distance import OSA

from honeyguide.documents import Filter
from honeyguide_lexical.analysis import PREFIX_CHARS_MAX
from honeyguide_lexical.facts import Clause, filter_clauses
from honeyguide_lexical.fulltext import CAPTION, FAME, ID, NAMES, PREFIXES, TYPE, WHOLE, FullText, Hits, find
from honeyguide_lexical.spelling import edits_allowed

CANDIDATES_MIN = 40
CANDIDATES_A_TITLE = 4
PREFIX_WORDS_MAX = 12
INSIDE_SHARE = 0.8
"""Score of a title that only has the prefix inside it, beside one that begins with it."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A title, whose it is, and how good it is in (0, 1]."""

    document_id: str
    title: str
    type: str
    score: float


def complete(index: FullText, prefix: str, filter: Filter, limit: int) -> list[Completion]:
    """Up to `limit` titles that have all words of the prefix, the last one as a word's beginning.

    A title that is the prefix comes first, however unpopular. Then the most popular, where a title that begins with
    the prefix counts more than one that has it inside, and of equals the shortest, which lacks least of what was typed.
    Only where no title has all words, those count that have them but for a misspelling.
    """
    words = index.analysis.plain(prefix)
    if not words:
        return []
    whole = _term(index, WHOLE, " ".join(words))
    words = words[:PREFIX_WORDS_MAX]
    finished = prefix[-1].isspace()
    allowed = filter_clauses(index.schema, filter)
    searcher = index.searcher
    wanted = max(CANDIDATES_MIN, CANDIDATES_A_TITLE * limit)

    def most_popular(queries: Sequence[tantivy.Query], count: int) -> Hits:
        return find(searcher, _all_of(queries, allowed), count, count=False, order_by_field=FAME)[0]

    exact = most_popular([whole], limit)
    beginnings = _beginnings(index, words, finished)
    hits = most_popular(beginnings, wanted)
    if len(hits) == wanted:  # there are more, and of those that nobody knows any may be among these
        hits = [*hits, *_shortest(index, _all_of(beginnings, allowed), wanted)]
    edits = 0
    if not exact and not hits:
        edits = max(map(edits_allowed, words))
        hits = most_popular(_beginnings(index, words, finished, misspelt=True), wanted)
    fame_max = max((float(fame or 0.0) for fame, _ in (*exact, *hits)), default=0.0)
    typed = " ".join(words)
    best: dict[str, Completion] = {}
    for is_exact, found in ((True, exact), (False, hits)):
        for fame, address in found:
            entry = searcher.doc(address)
            title = entry[CAPTION][0]
            quality = math.sqrt(float(fame or 0.0) / fame_max) if fame_max > 0 else 0.0
            beginning = " ".join(index.analysis.plain(title))[: len(typed)]
            begins = OSA.distance(beginning, typed, score_cutoff=edits) <= edits
            score = _score(quality, is_exact, begins)
            best.setdefault(entry[ID][0], Completion(entry[ID][0], title, entry[TYPE][0], score))
    return sorted(best.values(), key=lambda c: (-c.score, len(c.title), c.title, c.document_id))[:limit]


def _shortest(index: FullText, query: tantivy.Query, count: int) -> Hits:
    """The documents with the shortest names, by BM25: the shorter a field, the more a word in it scores."""
    found, _ = find(index.searcher, query, count, count=False)
    addresses = [address for _, address in found]
    fame = index.searcher.fast_field_values(FAME, addresses) if addresses else []
    return [(float(value or 0.0), address) for value, address in zip(fame, addresses, strict=True)]


def _score(quality: float, exact: bool, begins: bool) -> float:
    """Exact titles score in [.9, 1], the others up to .9 by popularity."""
    if exact:
        return 0.9 + 0.1 * quality
    return (0.5 + 0.4 * quality) * (1.0 if begins else INSIDE_SHARE)


def _beginnings(index: FullText, words: Sequence[str], finished: bool, misspelt: bool = False) -> list[tantivy.Query]:
    """A query for each word: the last one begins a word of the title if it is not finished, the others are words of it;
    with as many edits as a word of its length may have where they are `misspelt`."""
    queries = []
    for i, word in enumerate(words):
        unfinished = i == len(words) - 1 and not finished
        field, term = (PREFIXES, word[:PREFIX_CHARS_MAX]) if unfinished else (NAMES, word)
        edits = edits_allowed(term) if misspelt else 0
        queries.append(
            tantivy.Query.fuzzy_term_query(index.schema, field, term, edits, True, False)
            if edits
            else _term(index, field, term)
        )
    return queries


def _all_of(queries: Sequence[tantivy.Query], allowed: Sequence[Clause]) -> tantivy.Query:
    return tantivy.Query.boolean_query([*((tantivy.Occur.Must, query) for query in queries), *allowed])


def _term(index: FullText, field: str, term: str) -> tantivy.Query:
    return tantivy.Query.term_query(index.schema, field, term, "basic")

"""Completing a prefix to titles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import tantivy

from honeyguide.documents import Filter
from honeyguide.text import normalize
from honeyguide_lexical.analysis import PREFIX_CHARS_MAX
from honeyguide_lexical.facts import filter_clauses
from honeyguide_lexical.fulltext import CAPTION, FAME, ID, NAMES, PREFIXES, TYPE, FullText, find

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

    Most popular first, where a title that begins with the prefix counts more; a title that is the prefix comes first.
    """
    words = index.analysis.plain(prefix)[:PREFIX_WORDS_MAX]
    if not words:
        return []
    must = tantivy.Occur.Must
    if prefix[-1:].isspace():
        last = tantivy.Query.term_query(index.schema, NAMES, words[-1], "basic")
    else:
        last = tantivy.Query.term_query(index.schema, PREFIXES, words[-1][:PREFIX_CHARS_MAX], "basic")
    clauses = [(must, tantivy.Query.term_query(index.schema, NAMES, word, "basic")) for word in words[:-1]]
    query = tantivy.Query.boolean_query([*clauses, (must, last), *filter_clauses(index.schema, filter)])
    searcher = index.searcher
    wanted = max(CANDIDATES_MIN, CANDIDATES_A_TITLE * limit)
    hits, _ = find(searcher, query, wanted, count=False, order_by_field=FAME)
    fame_max = max((float(fame or 0.0) for fame, _ in hits), default=0.0)
    typed = " ".join(words)
    completions = []
    for fame, address in hits:
        entry = searcher.doc(address)
        title = entry[CAPTION][0]
        quality = 0.5 + 0.4 * math.sqrt(float(fame or 0.0) / fame_max) if fame_max > 0 else 0.5
        completions.append(Completion(entry[ID][0], title, entry[TYPE][0], quality * _fit(normalize(title), typed)))
    completions.sort(key=lambda c: (-c.score, len(c.title), c.title, c.document_id))
    return completions[:limit]


def _fit(name: str, typed: str) -> float:
    if name == typed:
        return 1.0 / 0.9
    return 1.0 if name.startswith(typed) else INSIDE_SHARE

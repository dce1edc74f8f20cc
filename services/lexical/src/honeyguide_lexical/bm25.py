"""Full-text queries: BM25 over the whole document, with what a match in the title is worth on top.

Queries are built term by term, never parsed: punctuation and operators in a query are only text.
"""

from __future__ import annotations

from itertools import pairwise

import tantivy

from honeyguide.candidates import NO_CANDIDATES, Candidates
from honeyguide.documents import Filter
from honeyguide.text import normalize
from honeyguide_lexical.facts import filter_clauses, silent
from honeyguide_lexical.fulltext import BODY, FAME, TITLE, WHOLE, FullText, candidates_of, find

PHRASE_TERMS_MAX = 6
"""Longer queries are sentences: their word pairs cost most of the time and gain nothing (measured on SciFact)."""
PHRASE_BOOST = 0.15
EXACT_TITLE_BOOST = 1.0
"""Share by which the title's score counts again if the query is the whole title, or a whole alias."""
ALL_IN_TITLE_BOOST = 0.5
ALL_IN_ONE_BOOST = 0.3
"""Share by which the score of a document counts again if it has all words: one that has half of them, but is short,
must not win."""

Should, Must = tantivy.Occur.Should, tantivy.Occur.Must


def text_query(index: FullText, text: str, exact_boost: float = EXACT_TITLE_BOOST) -> tantivy.Query | None:
    """Documents with any word of a text, scored; None if there is no word in it.

    The score is BM25 over title and text as one field. A title match adds BM25 over the title, weighted so that a
    title which matches all n words counts `title_boost` times as much as one average word: (title_boost - 1) / n a
    word. A constant boost makes sentences match titles instead of content (SciFact: nDCG@10 .62 with it, .69 so).
    """
    terms = index.analysis.stems(text)
    distinct = list(dict.fromkeys(terms))
    if not distinct:
        return None
    title_weight = max(0.0, index.layout.title_boost - 1.0) / len(distinct)
    clauses: list[tuple[tantivy.Occur, tantivy.Query]] = []
    for term in distinct:
        clauses.append((Should, _term(index, BODY, term)))
        clauses.append((Should, tantivy.Query.boost_query(_term(index, TITLE, term), title_weight)))
        for i, boost in enumerate(index.layout.extra_boosts):
            clauses.append((Should, tantivy.Query.boost_query(_term(index, f"extra{i}", term), boost)))
    if len(distinct) <= PHRASE_TERMS_MAX:
        clauses.extend((Should, bonus) for bonus in _bonuses(index, text, terms, distinct, exact_boost))
    return tantivy.Query.boolean_query(clauses)


def search_text(index: FullText, text: str, filter: Filter, depth: int, by_fame: bool = False) -> Candidates:
    """The best `depth` documents for a text; `by_fame` multiplies scores by log2(2 + ln(1 + popularity))."""
    # Among popular documents a title that is just the query ("Love") is no better than one that begins with it.
    query = text_query(index, text, 0.0 if by_fame else EXACT_TITLE_BOOST)
    if query is None:
        return NO_CANDIDATES
    query = tantivy.Query.boolean_query([(Must, query), *filter_clauses(index.schema, filter)])
    searcher = index.searcher
    hits, total = find(searcher, query, depth, weight_by_field=FAME if by_fame else None)
    return candidates_of(searcher, hits, total)


def _bonuses(
    index: FullText, text: str, terms: list[str], distinct: list[str], exact_boost: float
) -> list[tantivy.Query]:
    """What a document gains that has all words in one field, or neighbours of the query next to each other."""
    shares = {TITLE: ALL_IN_TITLE_BOOST}
    if len(distinct) > 1:
        shares[BODY] = ALL_IN_ONE_BOOST
        shares |= {f"extra{i}": ALL_IN_ONE_BOOST * boost for i, boost in enumerate(index.layout.extra_boosts)}
    bonuses = []
    for field, share in shares.items():
        all_in = tantivy.Query.boolean_query([(Must, _term(index, field, term)) for term in distinct])
        bonuses.append(tantivy.Query.boost_query(all_in, share))
    whole = silent(_term(index, WHOLE, normalize(text)))
    title_itself = tantivy.Query.boolean_query([(Must, whole), *((Should, _term(index, TITLE, t)) for t in distinct)])
    bonuses.append(tantivy.Query.boost_query(title_itself, exact_boost))
    for field in (TITLE, BODY):
        for pair in pairwise(terms):
            phrase = tantivy.Query.phrase_query(index.schema, field, list(pair))
            bonuses.append(tantivy.Query.boost_query(phrase, PHRASE_BOOST))
    return bonuses


def _term(index: FullText, field: str, term: str) -> tantivy.Query:
    return tantivy.Query.term_query(index.schema, field, term, "freq")

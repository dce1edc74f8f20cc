"""Full-text queries: BM25 over the whole document, with what a match in the title is worth on top.

Queries are built term by term, never parsed: punctuation and operators in a query are only text.
"""

from __future__ import annotations

from itertools import pairwise

import tantivy

from honeyguide.candidates import NO_CANDIDATES, Candidates
from honeyguide.documents import Filter
from honeyguide_lexical.facts import filter_clauses, silent
from honeyguide_lexical.fulltext import BODY, FAME, TITLE, WHOLE, FullText, find

PHRASE_TERMS_MAX = 6
"""Longer queries are sentences: their word pairs cost most of the time and gain nothing (measured on SciFact)."""
PHRASE_BOOST = 0.15
EXACT_TITLE_BOOST = 1.0
"""Share by which the title's score counts again if the query is the whole title, or a whole alias."""
ALL_IN_TITLE_BOOST = 0.25
ALL_BOOST = 1.0
"""Share by which the score of a document counts again if it has all words, wherever: one that has half of them, but is
short, must not win."""

Should, Must = tantivy.Occur.Should, tantivy.Occur.Must


def text_query(index: FullText, text: str, exact_boost: float = EXACT_TITLE_BOOST) -> tantivy.Query | None:
    """Documents with any word of a text, scored; None if there is no word in it.

    Each word counts once, in the field where it counts most: by BM25 over title and text as one field, or over the
    attributes of one boost, times that boost. (Were the fields added up, a band's song of the band's name would beat
    all its others; were they one field, the length of a cast would hide the film's title.) A title match adds BM25 over
    the title, weighted so that a title which matches all n words counts `title_boost` times as much as one average
    word: (title_boost - 1) / n a word. A constant boost makes sentences match titles instead of content (SciFact:
    nDCG@10 .62 with it, .70 so).
    """
    terms = index.analysis.stems(text)
    distinct = list(dict.fromkeys(terms))
    if not distinct:
        return None
    title_weight = max(0.0, index.layout.title_boost - 1.0) / len(distinct)
    found = [_anywhere(index, term) for term in distinct]
    clauses = [(Should, query) for query in found]
    if title_weight:
        for term in distinct:
            clauses.append((Should, tantivy.Query.boost_query(_term(index, TITLE, term), title_weight)))
    if len(distinct) <= PHRASE_TERMS_MAX:
        if len(distinct) > 1:
            everything = tantivy.Query.boolean_query([(Must, query) for query in found])
            clauses.append((Should, tantivy.Query.boost_query(everything, ALL_BOOST)))
        clauses.extend((Should, bonus) for bonus in _title_bonuses(index, text, terms, distinct, exact_boost))
    return tantivy.Query.boolean_query(clauses)


def search_text(index: FullText, text: str, filter: Filter, depth: int, by_fame: bool = False) -> Candidates:
    """The best `depth` documents for a text; `by_fame` multiplies scores by log2(2 + ln(1 + popularity)).

    For no text, `by_fame` finds all that passes the filter, the most popular first.
    """
    # Among popular documents a title that is just the query ("Love") is no better than one that begins with it.
    query = text_query(index, text, 0.0 if by_fame else EXACT_TITLE_BOOST)
    browsing = by_fame and not text.strip()
    if browsing:
        query = tantivy.Query.all_query()
    if query is None:
        return NO_CANDIDATES
    if clauses := filter_clauses(index.schema, filter):
        query = tantivy.Query.boolean_query([(Must, query), *clauses])
    newest = index.newest
    if browsing:
        hits, total = find(newest.searcher, query, depth, order_by_field=FAME)
    else:
        hits, total = find(newest.searcher, query, depth, weight_by_field=FAME if by_fame else None)
    return newest.candidates(hits, total)


def _anywhere(index: FullText, term: str) -> tantivy.Query:
    """A word in the field where it scores most."""
    queries = [_term(index, BODY, term)]
    for i, boost in enumerate(index.layout.extra_boosts):
        queries.append(tantivy.Query.boost_query(_term(index, f"extra{i}", term), boost))
    return tantivy.Query.disjunction_max_query(queries, 0.0) if len(queries) > 1 else queries[0]


def _title_bonuses(
    index: FullText, text: str, terms: list[str], distinct: list[str], exact_boost: float
) -> list[tantivy.Query]:
    """What a document gains that has all words in its title, or neighbours of the query next to each other."""
    all_in_title = tantivy.Query.boolean_query([(Must, _term(index, TITLE, term)) for term in distinct])
    bonuses = [tantivy.Query.boost_query(all_in_title, ALL_IN_TITLE_BOOST)]
    whole = silent(_term(index, WHOLE, " ".join(index.analysis.plain(text))))
    title_itself = tantivy.Query.boolean_query([(Must, whole), *((Should, _term(index, TITLE, t)) for t in distinct)])
    bonuses.append(tantivy.Query.boost_query(title_itself, exact_boost))
    for field in (TITLE, BODY):
        for pair in pairwise(terms):
            phrase = tantivy.Query.phrase_query(index.schema, field, list(pair))
            bonuses.append(tantivy.Query.boost_query(phrase, PHRASE_BOOST))
    return bonuses


def _term(index: FullText, field: str, term: str) -> tantivy.Query:
    return tantivy.Query.term_query(index.schema, field, term, "freq")

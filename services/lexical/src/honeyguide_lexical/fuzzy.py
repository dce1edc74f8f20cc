"""Queries with misspellings, unfinished words, and words written together or apart."""

from __future__ import annotations

import math

import tantivy
from rapidfuzz import fuzz

from honeyguide.candidates import NO_CANDIDATES, Candidates
from honeyguide.documents import Filter
from honeyguide_lexical.analysis import PREFIX_CHARS_MAX, Analysis
from honeyguide_lexical.facts import filter_clauses
from honeyguide_lexical.fulltext import (
    CAPTION,
    COMPOUNDS,
    FAME,
    LABELS,
    NAMES,
    PREFIXES,
    FullText,
    Hits,
    find,
)
from honeyguide_lexical.spelling import edits_allowed

WORDS_MAX = 12
RERANKED_MAX = 300

EXACT, COMPOUND, PREFIX, ONE_EDIT, TWO_EDITS = 1.0, 0.95, 0.8, 0.7, 0.5
LABEL_SHARE = 0.6
"""Worth of a match in an attribute's value (an artist) beside one in the title."""
LIKENESS_WEIGHT = 0.5
FAME_WEIGHT = 0.05


def search_fuzzy(index: FullText, text: str, filter: Filter, depth: int) -> Candidates:
    """The best `depth` documents whose names, or recognized attribute values, resemble the text.

    The score is the share of words found, each weighted by how closely, plus how like the title is to the whole query
    as a bag of words, plus a little popularity.
    """
    words = list(dict.fromkeys(index.analysis.plain(text)))[:WORDS_MAX]
    if not words:
        return NO_CANDIDATES
    clauses = [_word_query(index, words, i) for i in range(len(words))]
    needed = math.ceil(len(words) / 2)
    matching = tantivy.Query.boolean_query([(tantivy.Occur.Should, clause) for clause in clauses], needed)
    query = tantivy.Query.boolean_query([(tantivy.Occur.Must, matching), *filter_clauses(index.schema, filter)])
    newest = index.newest
    hits, total = find(newest.searcher, query, max(depth, min(3 * depth, RERANKED_MAX)), weight_by_field=FAME)
    return newest.candidates(_reranked(newest.searcher, index.analysis, hits, " ".join(words))[:depth], total)


def _reranked(searcher: tantivy.Searcher, analysis: Analysis, hits: Hits, text: str) -> Hits:
    addresses = [address for _, address in hits]
    fames = searcher.fast_field_values(FAME, addresses)
    ranked = []
    for place, ((score, address), fame) in enumerate(zip(hits, fames, strict=True)):
        fame = fame or 0.0
        matched = score / math.log2(2.0 + fame)
        title = " ".join(analysis.plain(searcher.doc(address)[CAPTION][0]))
        likeness = max(fuzz.token_sort_ratio(text, title), fuzz.ratio(text.replace(" ", ""), title.replace(" ", "")))
        total = matched + LIKENESS_WEIGHT * likeness / 100.0 + FAME_WEIGHT * math.log2(1.0 + fame)
        ranked.append((-total, place, address))
    ranked.sort(key=lambda item: item[:2])
    return [(-total, address) for total, _, address in ranked]


def _word_query(index: FullText, words: list[str], i: int) -> tantivy.Query:
    word = words[i]
    share = 1.0 / len(words)
    last = i == len(words) - 1
    alternatives: list[tuple[tantivy.Query, float]] = []
    for field, worth in ((NAMES, 1.0), (LABELS, LABEL_SHARE)):
        alternatives.append((_term(index, field, word), EXACT * worth))
        edits = edits_allowed(word)
        for distance, closeness in ((1, ONE_EDIT), (2, TWO_EDITS)):
            if distance <= edits:
                fuzzy = tantivy.Query.fuzzy_term_query(index.schema, field, word, distance, True, False)
                alternatives.append((fuzzy, closeness * worth))
    alternatives.append((_term(index, COMPOUNDS, word), COMPOUND))
    if last:
        alternatives.append((_term(index, PREFIXES, word[:PREFIX_CHARS_MAX]), PREFIX))
    for first, second in ((i - 1, i), (i, i + 1)):
        if first >= 0 and second < len(words):
            alternatives.append((_term(index, NAMES, words[first] + words[second]), COMPOUND))
    return tantivy.Query.disjunction_max_query(
        [tantivy.Query.const_score_query(query, closeness * share) for query, closeness in alternatives], 0.0
    )


def _term(index: FullText, field: str, term: str) -> tantivy.Query:
    return tantivy.Query.term_query(index.schema, field, term, "basic")

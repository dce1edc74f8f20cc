"""Predicted Q2E: queries that a new document is likely to be wanted for, before anybody has searched for it."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import UTC, datetime

from honeyguide.documents import Document
from honeyguide.text import words
from honeyguide_memory.layout import prediction_id

SCORE_TOP = 65_535
QUERY_WORDS_MAX = 12
VALUES_MAX = 8
VALUE_CHARS_MAX = 64
PIECED_WORDS_MAX = 8
"""Of a popular document's title up to so long people type any word, or two that follow each other."""

UNPOPULAR = 0.1
"""How likely a query is for a document that nobody knows, against one that everybody does."""

_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_PARTS = re.compile(r":\s|\s[-\u2013\u2014/]\s")


@dataclass(frozen=True, slots=True)
class Prediction:
    """A query (its id) that a document is predicted for, and how surely: 0 to 65,535."""

    query: bytes
    score: int


@dataclass(frozen=True, slots=True)
class Predictions:
    """All of one document. The stamp (16 bits) changes with them, so that pairs of an older version are told apart."""

    pairs: tuple[Prediction, ...]
    stamp: int


def predict(document: Document, aliases: Set[str], running_texts: Set[str], limit: int) -> Predictions:
    """Predicts at most `limit` queries, surest first.

    `aliases` are attributes that hold further names; `running_texts` attributes that nobody types whole. How sure a
    query is hangs on its kind and on the document's popularity, so that of many documents with one title, or with one
    word in their titles, the popular ones lead.
    """
    favour = UNPOPULAR + (1.0 - UNPOPULAR) * (1.0 - 1.0 / (1.0 + math.log1p(document.popularity) / 4.0)) ** 4
    best: dict[bytes, float] = {}
    for query, likelihood in _likely(document, aliases, running_texts):
        if 0 < len(query) <= QUERY_WORDS_MAX:
            key = prediction_id(query)
            if likelihood > best.get(key, 0.0):
                best[key] = likelihood
    ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))[:limit]
    pairs = tuple(Prediction(key, max(1, round(SCORE_TOP * likelihood * favour))) for key, likelihood in ranked)
    return Predictions(pairs, zlib.crc32(b"".join(sorted(pair.query for pair in pairs))) & 0xFFFF)


def _likely(document: Document, aliases: Set[str], running_texts: Set[str]) -> Iterator[tuple[list[str], float]]:
    """Queries as words, each with a likelihood in (0, 1]; by rules that know no language."""
    title = words(document.title)
    type = words(document.type)
    # Many documents share a word of their titles, or a value, and which of them is meant only popularity tells.
    popular = document.popularity > 0
    names = [title] if title else []
    if title:
        yield title, 1.0
        yield [*title, *type], 0.6
        for part in _parts(document.title):
            yield part, 0.5
        # A short first word is most often an article: "the matrix", "der untergang".
        if len(title) > 1 and len(title[0]) <= 3:
            yield title[1:], 0.5
        if popular and 1 < len(title) <= PIECED_WORDS_MAX:
            for length in (1, 2):
                for at in range(len(title) - length + 1):
                    yield title[at : at + length], 0.6
    for attribute in sorted(aliases & document.attributes.keys()):
        for alias in document.attributes[attribute][:VALUES_MAX]:
            if isinstance(alias, str) and (name := words(alias)):
                names.append(name)
                yield name, 0.9
                yield [*name, *type], 0.5
    if document.created_at_s is not None and title:
        yield [*title, str(datetime.fromtimestamp(document.created_at_s, UTC).year)], 0.7
    for attribute, values in document.attributes.items():
        texts = [value for value in values[:VALUES_MAX] if isinstance(value, str) and len(value) <= VALUE_CHARS_MAX]
        if attribute in aliases or attribute in running_texts or not texts:
            continue
        # One value out of many says less of the document.
        share = 1.0 / math.sqrt(len(values))
        for text in texts:
            value_words = words(text)
            if value_words:
                if title:
                    yield [*title, *value_words], 0.45 * share
                if popular:
                    yield [*value_words, *type], 0.3 * share


def _parts(title: str) -> Iterator[list[str]]:
    plain = _BRACKETS.sub(" ", title)
    if plain != title:
        yield words(plain)
    pieces = _PARTS.split(plain)
    if len(pieces) > 1:
        for piece in pieces:
            yield words(piece)

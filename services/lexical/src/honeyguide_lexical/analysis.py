"""How text becomes terms: the analysers, one set for indexing and for queries.

What they make the same is at least what `honeyguide.text.fold` makes the same, so that the index, the lexicon and the
memory service agree on it; Latin letters without a decomposition (ø, ł) are folded as well. Scripts without blanks
become pairs of characters (see `unspaced`). Marks at which Tantivy would end a word (tones, viramas) are dropped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

import tantivy

from honeyguide.text import fold
from honeyguide_lexical.unspaced import paired

TERM_BYTES_MAX = 120
PREFIX_CHARS_MAX = 20
QUERY_CHARS_MAX = 2_000
QUERY_TERMS_MAX = 64
NAME_WORDS_JOINED_MAX = 12
STEMMERS = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
"""Stemmers by ISO 639-1 code; other languages go unstemmed."""


_BEYOND_LATIN = re.compile("[^\\x00-\\u024f\\u2000-\\u206f]")
_MARKED = re.compile("[\\u0900-\\u1fff\\u2c00-\\U0010ffff]")
"""Scripts whose marks `honeyguide.text.fold` keeps, those without blanks among them."""


def folded(text: str) -> str:
    """A text in which the analysers see no more difference between letters than `honeyguide.text.fold` leaves, and
    blanks between all terms.

    Latin letters are left to the analysers, which fold them themselves, and faster.
    """
    if text.isascii() or not _BEYOND_LATIN.search(text):
        return text
    return _CUTTING.sub("", fold(paired(text))) if _MARKED.search(text) else fold(text)


class Analysis:
    """The analysers for one language."""

    def __init__(self, language: str) -> None:
        self._plain = _words_builder().build()
        stemmed = _words_builder()
        if language in STEMMERS:
            stemmed = stemmed.filter(tantivy.Filter.stemmer(STEMMERS[language]))
        self._stemmed = stemmed.build()
        self._prefixes = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.ngram(1, PREFIX_CHARS_MAX, True)).build()

    def register(self, index: tantivy.Index) -> None:
        """Makes the analysers known to an index."""
        index.register_tokenizer("plain", self._plain)
        index.register_tokenizer("stemmed", self._stemmed)
        index.register_tokenizer("prefixes", self._prefixes)

    def stems(self, text: str) -> list[str]:
        """Stemmed terms of a query, in order; at most QUERY_TERMS_MAX of its first QUERY_CHARS_MAX characters."""
        return self._stemmed.analyze(folded(text[:QUERY_CHARS_MAX]))[:QUERY_TERMS_MAX]

    def plain(self, text: str) -> list[str]:
        """Unstemmed terms of a query or a name, bounded in the same way."""
        return self._plain.analyze(folded(text[:QUERY_CHARS_MAX]))[:QUERY_TERMS_MAX]

    def stem(self, word: str) -> str:
        """The stem of one word, or pair of characters; empty if nothing of it is a word."""
        stems = self._stemmed.analyze(folded(word))
        return stems[0] if stems else ""


def compounds(names: Iterable[Sequence[str]]) -> list[str]:
    """Neighbouring words of names written as one, and whole names of up to four words: "Star Wars" is starwars too."""
    joined: dict[str, None] = {}
    for name in names:
        parts = name[:NAME_WORDS_JOINED_MAX]
        for first, second in pairwise(parts):
            joined[first + second] = None
        if 2 < len(parts) <= 4:
            joined["".join(parts)] = None
    return list(joined)


def _words_builder() -> tantivy.TextAnalyzerBuilder:
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(TERM_BYTES_MAX))
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.lowercase())
    )


def _cutting_marks() -> str:
    marks = [chr(code) for code in range(0x0900, 0xAC00) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
    kept = set(_words_builder().build().analyze(" ".join([f"x{mark}x" for mark in marks])))
    return "".join(mark for mark in marks if f"x{mark}x" not in kept)


_CUTTING = re.compile(f"[{_cutting_marks()}]")

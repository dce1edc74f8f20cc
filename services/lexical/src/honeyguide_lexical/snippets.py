"""Extracts of a text around a query's words."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import lru_cache

from honeyguide_lexical.analysis import Analysis

SNIPPET_CHARS = 200
TEXT_CHARS_READ_MAX = 20_000
STEMS_KEPT = 65_536
PATTERNS_KEPT = 1_024
_WORD = re.compile(r"(?<![^\W_])[^\W_]+")


class Snippets:
    """Makes snippets; words match when their stems do, as in the search itself."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self._stem = lru_cache(maxsize=STEMS_KEPT)(analysis.stem)

    def terms(self, query: str) -> frozenset[str]:
        """The stems to look for."""
        return frozenset(self.analysis.stems(query))

    def snippet(self, text: str, terms: frozenset[str]) -> str:
        """The stretch of about SNIPPET_CHARS with the most different terms, then the most of them.

        HTML-escaped, the terms in <b>...</b>; empty if none occurs in the first TEXT_CHARS_READ_MAX characters.
        """
        if not terms or not text:
            return ""
        read = text[:TEXT_CHARS_READ_MAX]
        # Stemming leaves the first two letters alone; what folding makes of those beyond ASCII is not to be foreseen.
        pattern = _beginning_with(frozenset(term[:2] for term in terms)) if read.isascii() else _WORD
        spans = ((m.start(), m.end()) for m in pattern.finditer(read))
        marked = [(begin, end, stem) for begin, end in spans if (stem := self._stem(read[begin:end])) in terms]
        if not marked:
            return ""
        first, last = _densest(marked)
        return _render(read, [(begin, end) for begin, end, _ in marked[first : last + 1]])


@lru_cache(maxsize=PATTERNS_KEPT)
def _beginning_with(beginnings: frozenset[str]) -> re.Pattern[str]:
    """Words that begin like one of these, and some others: by their first letters, and by their second ones if all have
    two. (A second i may have been a y: dying is die.)"""
    first, second = {beginning[0] for beginning in beginnings}, {beginning[1:] for beginning in beginnings}
    letters = [first] if "" in second else [first, second | ({"y"} if "i" in second else set())]
    classes = "".join(f"[{re.escape(''.join(sorted(one)))}]" for one in letters)
    return re.compile(f"(?<![^\\W_]){classes}[^\\W_]*", re.IGNORECASE)


def _densest(marked: Sequence[tuple[int, int, str]]) -> tuple[int, int]:
    best, window = (0, 0), (0, 0)
    first = 0
    counts: dict[str, int] = {}
    for last, (_, end, stem) in enumerate(marked):
        counts[stem] = counts.get(stem, 0) + 1
        while end - marked[first][0] > SNIPPET_CHARS and first < last:
            dropped = marked[first][2]
            counts[dropped] -= 1
            if not counts[dropped]:
                del counts[dropped]
            first += 1
        worth = (len(counts), last - first + 1)
        if worth > best:
            best, window = worth, (first, last)
    return window


def _render(text: str, marks: Sequence[tuple[int, int]]) -> str:
    spare = max(0, SNIPPET_CHARS - (marks[-1][1] - marks[0][0]))
    low = max(0, marks[0][0] - spare // 2)
    high = min(len(text), low + max(SNIPPET_CHARS, marks[-1][1] - low))
    # Cut between words, unless one word fills it all.
    begin = 0
    if low > 0:
        word = _WORD.search(text, low)
        begin = min(word.start() if word else low, marks[0][0])
    end = len(text)
    if high < end:
        end = marks[-1][1]
        for word in _WORD.finditer(text, end, high + 1):
            if word.end() <= high:
                end = word.end()
    parts = ["… " if begin > 0 else ""]
    position = begin
    for mark_begin, mark_end in marks:
        parts.append(html.escape(text[position:mark_begin]))
        parts.append(f"<b>{html.escape(text[mark_begin:mark_end])}</b>")
        position = mark_end
    parts.append(html.escape(text[position:end]))
    parts.append(" …" if end < len(text) else "")
    return "".join(parts).replace("\n", " ")

"""Extracts of a text around a query's words."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np
import numpy.typing as npt

from honeyguide_lexical.analysis import Analysis
from honeyguide_lexical.unspaced import UNSPACED_MIN, pieces

Codes = npt.NDArray[np.uint32]

SNIPPET_CHARS = 200
TEXT_CHARS_READ_MAX = 20_000
STEMS_KEPT = 65_536
# No document holds these characters: they stand for <b> and </b> until the text around them is escaped.
_MARK_BEGIN, _MARK_END = "\x02", "\x03"


class _BetweenWords(dict[int, int]):
    """For `str.translate`: letters and digits stay, with their marks; all else becomes a blank."""

    def __missing__(self, code: int) -> int:
        return code if chr(code).isalnum() or unicodedata.category(chr(code))[0] == "M" else ord(" ")


_BETWEEN_WORDS = _BetweenWords()
_BETWEEN_WORDS.update({code: _BETWEEN_WORDS[code] for code in range(0x3000)})


@dataclass(frozen=True, slots=True)
class ReadText:
    """The first TEXT_CHARS_READ_MAX characters of a text, composed (NFC), made ready for any number of queries.

    begins, ends: where each word begins and ends in the text, [words]; pairs of characters (see `unspaced`) overlap.
    stems: what stands for the stem of each word, [words].
    """

    text: str
    begins: npt.NDArray[np.uint16]
    ends: npt.NDArray[np.uint16]
    stems: npt.NDArray[np.uint32]


class Snippets:
    """Makes snippets; words match when their stems do, as in the search itself."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self._stem = lru_cache(maxsize=STEMS_KEPT)(lambda word: code_of(analysis.stem(word)))

    def terms(self, query: str) -> frozenset[str]:
        """The stems to look for."""
        return frozenset(self.analysis.stems(query))

    def read(self, text: str) -> ReadText:
        """Takes the words of a text."""
        head = unicodedata.normalize("NFC", text[:TEXT_CHARS_READ_MAX])[:TEXT_CHARS_READ_MAX]
        blanked = f" {head.translate(_BETWEEN_WORDS)} "
        codes = np.frombuffer(blanked.encode("utf-32-le"), np.uint32)
        blanks = codes == ord(" ")
        places = np.flatnonzero(blanks[1:] != blanks[:-1]).astype(np.uint16).reshape(-1, 2)
        words = blanked.split()
        if codes.max() >= UNSPACED_MIN:
            found = [
                (first + begin, piece)
                for first, word in zip(places[:, 0].tolist(), words, strict=True)
                for begin, piece in pieces(word)
            ]
            places = np.array([(begin, begin + len(piece)) for begin, piece in found], np.uint16)
            words = [piece for _, piece in found]
        stems = np.fromiter(map(self._stem, words), np.uint32, len(words))
        begins, ends = np.ascontiguousarray(places.T)
        return ReadText(head, begins, ends, stems)

    def snippet(self, read: ReadText, terms: Codes) -> str:
        """The stretch of about SNIPPET_CHARS with the most different terms, then the most of them.

        HTML-escaped, the terms (see `codes_of`) in <b>...</b>; empty if none occurs.
        """
        chosen = np.flatnonzero((read.stems[:, None] == terms).any(axis=1))
        if not len(chosen):
            return ""
        marks = list(zip(read.begins[chosen].tolist(), read.ends[chosen].tolist(), strict=True))
        first, last = _densest(marks, read.stems[chosen].tolist())
        return _render(read, marks[first : last + 1])


def code_of(stem: str) -> int:
    """What stands for a stem: comparing numbers costs a quarter of comparing words, and a word that is no term is taken
    for one and marked once in four billion."""
    return crc32(stem.encode())


def codes_of(stems: Iterable[str]) -> Codes:
    """What stands for stems, in any order."""
    return np.array([code_of(stem) for stem in stems], np.uint32)


def _densest(marks: Sequence[tuple[int, int]], stems: Sequence[int]) -> tuple[int, int]:
    if marks[-1][1] - marks[0][0] <= SNIPPET_CHARS:
        return 0, len(marks) - 1
    best, window = (0, 0), (0, 0)
    first = 0
    counts: dict[int, int] = {}
    for last, ((_, end), stem) in enumerate(zip(marks, stems, strict=True)):
        counts[stem] = counts.get(stem, 0) + 1
        while end - marks[first][0] > SNIPPET_CHARS and first < last:
            dropped = stems[first]
            counts[dropped] -= 1
            if not counts[dropped]:
                del counts[dropped]
            first += 1
        worth = (len(counts), last - first + 1)
        if worth > best:
            best, window = worth, (first, last)
    return window


def _render(read: ReadText, marks: Sequence[tuple[int, int]]) -> str:
    text = read.text
    spare = max(0, SNIPPET_CHARS - (marks[-1][1] - marks[0][0]))
    low = max(0, marks[0][0] - spare // 2)
    high = min(len(text), low + max(SNIPPET_CHARS, marks[-1][1] - low))
    begin = int(read.begins[read.begins.searchsorted(low)]) if low > 0 else 0
    end = int(read.ends[read.ends.searchsorted(high, "right") - 1]) if high < len(text) else len(text)
    parts = ["… " if begin > 0 else ""]
    position = begin
    for mark_begin, mark_end in _joined(marks):
        parts += (text[position:mark_begin], _MARK_BEGIN, text[mark_begin:mark_end], _MARK_END)
        position = mark_end
    parts.append(text[position:end])
    parts.append(" …" if end < len(text) else "")
    escaped = html.escape("".join(parts)).replace("\n", " ")
    return escaped.replace(_MARK_BEGIN, "<b>").replace(_MARK_END, "</b>")


def _joined(marks: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Marks of which those that overlap are one."""
    joined: list[tuple[int, int]] = []
    for begin, end in marks:
        if joined and begin < joined[-1][1]:
            begin = joined.pop()[0]
        joined.append((begin, end))
    return joined

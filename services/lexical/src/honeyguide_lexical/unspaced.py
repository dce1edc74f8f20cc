"""Text of scripts that put no blanks between words (Chinese, Japanese, Thai ...), as overlapping pairs of characters.

"北京大学" becomes 北京, 京大 and 大学, in documents and in queries: pairs find what words would, and need no dictionary
(Nie, Gao, Zhang and Zhou, "On the use of words and n-grams for Chinese information retrieval", IRAL 2000). A character
keeps its marks; one that stands alone is a term by itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import chain
from operator import add

UNSPACED_MIN = 0x0E00
"""No character of these scripts comes before this one."""

_SCRIPTS = (
    range(UNSPACED_MIN, 0x0F00),  # Thai, Lao
    range(0x1000, 0x10A0),  # Burmese
    range(0x1780, 0x1800),  # Khmer
    range(0x3005, 0x3100),  # Kana, and what goes with Han
    range(0x31F0, 0x3200),  # Kana
    range(0xFF66, 0xFF9E),  # Kana of half the width
)
_LETTERS = "".join(c for c in map(chr, chain(*_SCRIPTS)) if c.isalnum())
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_MARKS = "".join(c for c in map(chr, chain(*_SCRIPTS)) if unicodedata.category(c)[0] == "M") + "\uff9e\uff9f"
_CHARACTER = re.compile(f"[{_LETTERS}{_HAN}][{_MARKS}]*")
_RUN = re.compile(f"[{_LETTERS}{_HAN}][{_LETTERS}{_HAN}{_MARKS}]*")


def paired(text: str) -> str:
    """The text with pairs, between blanks, for its runs of such characters; all else stays."""
    return _RUN.sub(lambda run: f" {' '.join(_pairs(_CHARACTER.findall(run[0])))} ", text)


def pieces(word: str) -> Iterator[tuple[int, str]]:
    """The pairs of a word, and what it has of other scripts, in order, each with where it begins."""
    position = 0
    for run in _RUN.finditer(word):
        if position < run.start():
            yield position, word[position : run.start()]
        position = run.start()
        characters = _CHARACTER.findall(run[0])
        for character, pair in zip(characters, _pairs(characters), strict=False):
            yield position, pair
            position += len(character)
        position = run.end()
    if position < len(word):
        yield position, word[position:]


def _pairs(characters: list[str]) -> list[str]:
    return list(map(add, characters, characters[1:])) or characters

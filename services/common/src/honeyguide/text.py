"""How text is brought to the form under which queries and names are compared."""

from __future__ import annotations

import re
import unicodedata
from itertools import chain

_MARKED = chain(range(0x300, 0x3100), range(0xA66F, 0xABF0), range(0x11000, 0x12000))
"""Where the marks of scripts are in which words have some: vowel signs of India, tones of Thailand, voicing of kana."""

_MARKS = "".join(char for char in map(chr, _MARKED) if unicodedata.category(char) in {"Mn", "Mc"})
_ASCII_WORD = re.compile(r"[^\W_]+")
_WORD = re.compile(rf"[^\W_](?:[^\W_]|[{_MARKS}])*")

_ACCENTS_END = "\u0900"
"""From here on come scripts whose marks tell words apart: India's, then South-East Asia's."""

_ACCENTS = re.compile(
    "["
    + "".join(char for char in map(chr, range(0x300, ord(_ACCENTS_END))) if unicodedata.combining(char))
    + "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f]"
)
"""Marks on Latin, Greek, Cyrillic, Hebrew and Arabic letters, and what makes a character a picture."""

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


NORMALIZED_CHARS_MAX = 2_000
"""As long as a query may be; some characters come apart into up to eighteen."""


def normalize(text: str) -> str:
    """Case-folds, drops accents and punctuation, and separates words by single blanks; the first 2,000 characters.

    "Beyoncé -  HALO!" becomes "beyonce halo". Letters keep their form, and so do marks that are no accents but tell
    words apart, such as vowel signs: scripts without case or accents pass through.
    """
    return " ".join(words(text))[:NORMALIZED_CHARS_MAX].rstrip()


def words(text: str) -> list[str]:
    """The normalised words of a text, in order."""
    folded = fold(text)
    return (_ASCII_WORD if folded.isascii() else _WORD).findall(folded)


def fold(text: str) -> str:
    """Case-folds and drops accents, leaving everything else where it is."""
    if text.isascii():
        return text.lower()
    # Compatibility letters may come apart into capitals (the service mark: SM), and folded letters come apart again.
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed))


def has_forbidden_characters(text: str) -> bool:
    """True if a text holds NUL or other control characters (tab and line ends aside) or lone surrogates."""
    return _FORBIDDEN.search(text) is not None

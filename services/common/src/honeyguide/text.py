"""How text is brought to the form under which queries and names are compared."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def normalize(text: str) -> str:
    """Case-folds, drops accents and punctuation, and separates words by single blanks.

    "Beyoncé -  HALO!" becomes "beyonce halo". Letters that are not accents keep their form, so scripts without
    case or accents pass through.
    """
    return " ".join(words(text))


def words(text: str) -> list[str]:
    """The normalised words of a text, in order."""
    return _WORD.findall(fold(text))


def fold(text: str) -> str:
    """Case-folds and drops combining accents, leaving everything else where it is."""
    if text.isascii():
        return text.lower()
    # Compatibility letters may come apart into capitals (the service mark: SM), and folded letters come apart again.
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if not unicodedata.combining(c)))


def has_forbidden_characters(text: str) -> bool:
    """True if a text holds NUL or other control characters (tab and line ends aside) or lone surrogates."""
    return _FORBIDDEN.search(text) is not None

"""Script and likely language of a query, and other cheap marks of its shape.

Two to four words are too few for statistical language identification (and its models cost more than the rest of query
understanding), so the language is taken from the script where the script settles it, else from the user's locale as
far as that language is written in the query's script. A wrong guess is worse than none: where the two disagree the
language is unknown.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from honeyguide.text import words

LATIN = "latin"

# Living languages (ISO 639-1) by the script they are written in, scripts named as Unicode names their letters.
# Latin is not listed: any language that is not here is taken to be written in it.
_LANGUAGES = {
    "arabic": ("ar", "fa", "ur", "ps", "ku", "sd", "ug"),
    "armenian": ("hy",),
    "bengali": ("bn", "as"),
    "cjk": ("zh", "ja"),
    "cyrillic": ("ru", "uk", "bg", "sr", "be", "mk", "kk", "ky", "mn", "tg"),
    "devanagari": ("hi", "mr", "ne"),
    "ethiopic": ("am", "ti"),
    "georgian": ("ka",),
    "greek": ("el",),
    "gujarati": ("gu",),
    "gurmukhi": ("pa",),
    "hangul": ("ko",),
    "hebrew": ("he", "yi"),
    "hiragana": ("ja",),
    "kannada": ("kn",),
    "katakana": ("ja",),
    "khmer": ("km",),
    "lao": ("lo",),
    "malayalam": ("ml",),
    "myanmar": ("my",),
    "sinhala": ("si",),
    "tamil": ("ta",),
    "telugu": ("te",),
    "thai": ("th",),
}
_NOT_LATIN = frozenset(language for languages in _LANGUAGES.values() for language in languages)
_LETTERS_MAX = 200
_ASCII_DIGIT, _ASCII_LETTER = re.compile("[0-9]"), re.compile("[A-Za-z]")


@dataclass(frozen=True, slots=True)
class QueryShape:
    """What a query looks like, whatever it means: input of the decision."""

    word_count: int
    has_digits: bool
    is_question: bool
    script: str


def shape(query: str) -> QueryShape:
    """The shape of a query as typed."""
    return QueryShape(
        word_count=len(words(query)),
        has_digits=has_digits(query),
        is_question="?" in query or (not query.isascii() and any(map(_is_question_mark, query))),
        script=script(query),
    )


def has_digits(text: str) -> bool:
    """Whether there is a digit in a text, of any script."""
    return _ASCII_DIGIT.search(text) is not None or (not text.isascii() and any(map(str.isdigit, text)))


def script(text: str) -> str:
    """The script of most of a text's letters, in lower case ("latin", "cyrillic", "cjk"); "" = no letters.

    Kana settle a text that also holds Chinese characters.
    """
    if text.isascii():
        return LATIN if _ASCII_LETTER.search(text) else ""
    counts = Counter(_script_of(character) for character in text[:_LETTERS_MAX] if character.isalpha())
    counts.pop("", None)
    if not counts:
        return ""
    for kana in ("hiragana", "katakana"):
        if kana in counts and counts["cjk"]:
            return kana
    return max(sorted(counts), key=counts.__getitem__)


def language(text: str, locale: str = "") -> str:
    """ISO 639-1 code of the likely language, "" = unknown.

    Args:
        text: the query as typed.
        locale: BCP 47 tag of whoever asks, may be empty.
    """
    spoken = locale.replace("_", "-").split("-", 1)[0].lower()
    written = script(text)
    if written in ("", LATIN):
        return spoken if len(spoken) == 2 and spoken.isalpha() and spoken not in _NOT_LATIN else ""
    languages = _LANGUAGES.get(written, ())
    if len(languages) == 1:
        return languages[0]
    return spoken if spoken in languages else ""


@lru_cache(maxsize=4_096)
def _script_of(character: str) -> str:
    return unicodedata.name(character, "").split(" ", 1)[0].split("-", 1)[0].lower()


@lru_cache(maxsize=4_096)
def _is_question_mark(character: str) -> bool:
    return unicodedata.category(character) == "Po" and "QUESTION MARK" in unicodedata.name(character, "")

"""What is indexed of an attribute's text values, worked out once for those that repeat from document to document."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from honeyguide.documents import comparable
from honeyguide.text import normalize
from honeyguide_lexical.analysis import folded

NAME_WORDS_MAX = 6
"""Longest name that is recognized in queries, in words."""
NAME_CHARS_MAX = 60
TOKEN_TEXT_BYTES_MAX = 200
"""Longer texts are compared by digest: an index term is bounded."""

REMEMBERED_MAX = 65_536
REMEMBERED_CHARS_MAX = 4 * NAME_CHARS_MAX
"""Longer values hardly repeat."""


class TextValue(NamedTuple):
    """One text value of whatever attribute.

    token: its fact, without the attribute (see `facts`). name: the normalised form under which queries can name it;
    empty if it has no word, or is too long. text: as full text is indexed. spelling: what filters tell it by from other
    values of the name; empty if that is the name itself.
    """

    token: str
    name: str
    text: str
    spelling: str


class _Remembered(dict[str, TextValue]):
    def __missing__(self, value: str) -> TextValue:
        token, name = _token(value), name_of(value) if len(value) <= NAME_CHARS_MAX else ""
        read = TextValue(token, name, folded(value), "" if token == f"s{name}" else token)
        if len(value) <= REMEMBERED_CHARS_MAX:
            if len(self) >= REMEMBERED_MAX:
                self.clear()
            self[value] = read
        return read


text_value = _Remembered().__getitem__
"""Reads a value. Safe to call from several threads."""


def name_of(value: str) -> str:
    """The normalised form under which queries can name a title or a value; empty if it has no word, or too many."""
    name = normalize(value) if len(value) <= 4 * NAME_CHARS_MAX else ""
    return name if name.count(" ") < NAME_WORDS_MAX else ""


def _token(value: str) -> str:
    text = str(comparable(value))
    if len(text) * 4 > TOKEN_TEXT_BYTES_MAX and len(text.encode()) > TOKEN_TEXT_BYTES_MAX:
        return f"h{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"
    return f"s{text}"

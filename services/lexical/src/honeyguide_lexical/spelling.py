"""Near words without looking at all of them: words meet where both have lost a letter.

Symmetric deletion, as in Garbe's SymSpell: two words one edit apart (an exchange of neighbours is one) have a form in
common once each has lost at most one letter. Only the first PREFIX_CHARS letters lose one, so a word has at most
PREFIX_CHARS + 1 forms, and edits further on cost nothing. Of words two edits apart, those are found whose edits are one
letter too many and one too few, or not both among the first letters: keeping all of them takes three times the rows,
which was most of the time to index a catalogue of names. What true distance allows is checked afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

from rapidfuzz.distance import OSA

ONE_EDIT_CHARS_MIN = 4
TWO_EDITS_CHARS_MIN = 8
WORD_CHARS_MAX = 40
PREFIX_CHARS = 7


def edits_allowed(word: str) -> int:
    """How many edits a word may be away from what was meant: none below 4 letters, 1 from 4, 2 from 8.

    Words with digits are exact: the neighbours of 1995 are other years, not misspellings of it.
    """
    if not ONE_EDIT_CHARS_MIN <= len(word) <= WORD_CHARS_MAX or any(c.isdigit() for c in word):
        return 0
    return 1 if len(word) < TWO_EDITS_CHARS_MIN else 2


def deletion_keys(word: str) -> set[int]:
    """Hashes of the forms under which a word is kept and looked for; none if it has to be exact.

    One letter shorter than what may be misspelt is kept as well: "her" is near "herr".
    """
    if not ONE_EDIT_CHARS_MIN - 1 <= len(word) <= WORD_CHARS_MAX or any(c.isdigit() for c in word):
        return set()
    prefix = word[:PREFIX_CHARS]
    keys = {crc32((prefix[:i] + prefix[i + 1 :]).encode()) for i in range(len(prefix))}
    keys.add(crc32(prefix.encode()))
    return keys


def nearest(word: str, candidates: Iterable[tuple[str, int]]) -> tuple[str, int] | None:
    """The candidate (word, how usual it is) with the fewest edits, then the same first letter, then the most usual.

    Returns it with its edits, or None if all are too far.
    """
    allowed = edits_allowed(word)
    best: tuple[int, bool, int, str] | None = None
    for candidate, usual in candidates:
        edits = OSA.distance(word, candidate, score_cutoff=allowed)
        if edits <= allowed:
            rank = (edits, candidate[0] != word[0], -usual, candidate)
            best = rank if best is None else min(best, rank)
    return (best[3], best[0]) if best else None

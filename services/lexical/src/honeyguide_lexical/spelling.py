"""Near words without looking at all of them: words meet where both have lost a letter or two.

Symmetric deletion (Garbe's SymSpell): two words at most d edits apart (an exchange of neighbours is one) have a form in
common after at most d deletions from each. Only the first PREFIX_CHARS letters lose letters, which bounds the forms a
word; candidates are then checked by their true distance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
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
    """Hashes of the forms under which a word of the catalogue is kept.

    A query word may be one letter longer than the catalogue's, so a word is kept under what a neighbour one letter
    longer would be allowed.
    """
    if len(word) < ONE_EDIT_CHARS_MIN - 1:
        return set()
    longer = word + "x" * (2 if len(word) >= TWO_EDITS_CHARS_MIN - 2 else 1)
    return {crc32(form.encode()) for form in _forms(word, edits_allowed(longer))}


def query_keys(word: str) -> set[int]:
    """Hashes of the forms under which near words may be kept; none if the word must be exact."""
    edits = edits_allowed(word)
    return {crc32(form.encode()) for form in _forms(word, edits)} if edits else set()


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


def _forms(word: str, edits: int) -> Iterator[str]:
    prefix = word[:PREFIX_CHARS]
    for count in range(edits + 1):
        for gone in combinations(range(len(prefix)), min(count, len(prefix))):
            yield "".join(c for i, c in enumerate(prefix) if i not in gone)

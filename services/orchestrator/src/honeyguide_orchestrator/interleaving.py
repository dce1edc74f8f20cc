"""Team-draft interleaving: two rankings on one page, each row with the ranking that put it there.

Radlinski, Kurup and Joachims, "How does clickthrough data reflect retrieval quality?", CIKM 2008, algorithm 2: the
rankings pick in turns, as captains pick players; a coin says who picks first in each round, and each picks its best
document that is not on the page yet. So both have as many rows, and stand first as often, whatever they rank.

Two additions, which are fair to both by symmetry. Where both rankings begin alike, that beginning is shown as it is and
is nobody's: whoever it were dealt to, acting on it would say nothing of which ranking is better, and only add noise.
And once one ranking has nothing left to pick when a round begins, the rows that follow are nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from honeyguide.candidates import Candidates

NEITHER, TEAM_A, TEAM_B = 0, 1, 2


def team_draft(
    a: Sequence[int], b: Sequence[int], slots: int, rng: np.random.Generator
) -> tuple[list[int], tuple[int, ...]]:
    """Interleaves two rankings.

    Args:
        a: items, best first, each once.
        b: likewise; both may hold items that the other does not.
        slots: how many rows are interleaved; what is left of a, then of b, comes after them.
        rng: throws the coins.

    Returns:
        All items, each once, and the team of each of the first rows, at most `slots`: `TEAM_A`, `TEAM_B` or `NEITHER`.
    """
    alike = 0
    while alike < min(slots, len(a), len(b)) and a[alike] == b[alike]:
        alike += 1
    page, teams = list(a[:alike]), [NEITHER] * alike
    taken = set(page)
    captains, sizes = (_Captain(a, taken), _Captain(b, taken)), [0, 0]
    while len(page) < slots:
        round_begins = sizes[0] == sizes[1]
        if round_begins and any(captain.choice() is None for captain in captains):
            break
        picks = int(rng.integers(2)) if round_begins else int(sizes[1] < sizes[0])
        if captains[picks].choice() is None:
            break
        page.append(captains[picks].pick())
        teams.append(TEAM_B if picks else TEAM_A)
        sizes[picks] += 1
    for captain in captains:
        while captain.choice() is not None:
            page.append(captain.pick())
    teams += [NEITHER] * (min(slots, len(page)) - len(teams))
    return page, tuple(teams)


class _Captain:
    """A ranking that picks its best item which is not taken yet; `taken` is shared by both."""

    def __init__(self, ranking: Sequence[int], taken: set[int]) -> None:
        self._ranking = ranking
        self._taken = taken
        self._at = 0

    def choice(self) -> int | None:
        """The item that would be picked now; None if nothing is left."""
        while self._at < len(self._ranking) and self._ranking[self._at] in self._taken:
            self._at += 1
        return self._ranking[self._at] if self._at < len(self._ranking) else None

    def pick(self) -> int:
        """Takes that item."""
        item = self._ranking[self._at]
        self._taken.add(item)
        return item


def own_candidates(answers: Mapping[str, Candidates], depths: Mapping[str, int]) -> dict[str, Candidates]:
    """What an allocation of these depths would have returned, of answers that were asked for at least as much."""
    return {name: candidates.first(depths[name]) for name, candidates in answers.items() if depths.get(name)}

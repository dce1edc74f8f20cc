"""What people act on these days, whatever they searched: decayed actions by document, at a day and in the long run.

Time is that of the events: m(t) = m(last) 2^(-(t - last) / half-life), and an action that comes late is added as far
decayed as it is old, so that order does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide.documents import DAY_S

Doubles = npt.NDArray[np.float64]

HALF_LIVES_S = (DAY_S, 42 * DAY_S)

_HALF_LIVES_S = np.array(HALF_LIVES_S)

DOCUMENTS_MAX = 2_000
"""Documents kept; when there are a quarter more, those with the least of a day's and of lasting actions leave."""


@dataclass(slots=True)
class DocumentActions:
    """Decayed positive actions: by document, mass at either half-life as of the time of its newest action."""

    masses: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    def learn(self, document_id: str, weight: float, time_s: float) -> None:
        """Takes in one action worth `weight`; those worth nothing or less say nothing of popularity."""
        if weight <= 0:
            return
        day, long, last_s = self.masses.get(document_id, (0.0, 0.0, time_s))
        now_s = max(last_s, time_s)
        kept, added = _fade(now_s - last_s), _fade(now_s - time_s)
        self.masses[document_id] = (day * kept[0] + weight * added[0], long * kept[1] + weight * added[1], now_s)
        if len(self.masses) > DOCUMENTS_MAX + DOCUMENTS_MAX // 4:
            self._trim()

    def of(self, document_ids: Sequence[str], time_s: float) -> Doubles:
        """[N, 2]: actions as of a time, at a day's half-life and in the long run; 0 where nothing is known."""
        found = np.zeros((len(document_ids), 2))
        rows = [i for i, id in enumerate(document_ids) if id in self.masses]
        if rows:
            stored = np.array([self.masses[document_ids[i]] for i in rows])
            age_s = np.maximum(0.0, time_s - stored[:, 2])[:, None]
            found[rows] = stored[:, :2] * np.exp2(-age_s / _HALF_LIVES_S)
        return found

    def _trim(self) -> None:
        newest_s = max(last_s for _, _, last_s in self.masses.values())
        ids = list(self.masses)
        worth = self.of(ids, newest_s).sum(axis=1)
        order = sorted(range(len(ids)), key=lambda i: (-worth[i], ids[i]))
        self.masses = {ids[i]: self.masses[ids[i]] for i in order[:DOCUMENTS_MAX]}

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        return {"masses": {id: list(mass) for id, mass in self.masses.items()}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> DocumentActions:
        """What `to_state` was asked of."""
        return cls({id: (mass[0], mass[1], mass[2]) for id, mass in state["masses"].items()})


NO_ACTIONS = DocumentActions()
"""Before any feedback; not to be learned into."""


def _fade(age_s: float) -> tuple[float, float]:
    return 2.0 ** (-age_s / HALF_LIVES_S[0]), 2.0 ** (-age_s / HALF_LIVES_S[1])

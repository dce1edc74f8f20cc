"""By when a search is to be answered: one deadline, shared by all its stages."""

from __future__ import annotations

import math
import time

FIND_SHARE = 0.8
"""Share of the time that who searches would wait, within which documents are to be found; the rest is for ranking and
the page."""

SHOW_SHARE = 0.95
"""Share within which the page is to be made; the rest is for the answer's way back."""

STAGE_MIN_S = 0.01
"""Time that a stage gets in any case."""


class Deadline:
    """Begins with the search. patience_s: seconds after which whoever searches waits no longer, None = for ever."""

    def __init__(self, patience_s: float | None) -> None:
        self._patience_s = math.inf if patience_s is None else patience_s
        self._begin_s = time.perf_counter()

    def to_find(self, limit_s: float) -> float:
        """Seconds for a stage that may take `limit_s` and finds what is shown."""
        return self._left_s(FIND_SHARE, limit_s)

    def to_show(self, limit_s: float) -> float:
        """Seconds for a stage that may take `limit_s` and is the last before the answer."""
        return self._left_s(SHOW_SHARE, limit_s)

    def _left_s(self, share: float, limit_s: float) -> float:
        left_s = share * self._patience_s - (time.perf_counter() - self._begin_s)
        return min(limit_s, max(left_s, STAGE_MIN_S))

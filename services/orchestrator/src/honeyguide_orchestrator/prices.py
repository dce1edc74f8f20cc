"""What retrieval costs, in reward."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a call of one strategy, and of one candidate."""

    call: float
    candidate: float

    def of(self, calls: int, candidates: int) -> float:
        """The cost of so many of both."""
        return self.call * calls + self.candidate * candidates

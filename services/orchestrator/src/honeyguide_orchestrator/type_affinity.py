"""Which types of documents people choose after which kind of query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FADE = 0.999
"""Share of a kind's counts kept at each new choice: older habits fade."""

SMOOTHING = 5.0
"""Choices that the habits over all kinds count for within one kind."""

INTENTS_MAX = 1_000


@dataclass(slots=True)
class TypeAffinity:
    """Faded counts of chosen types by intent."""

    counts: dict[str, dict[str, float]] = field(default_factory=dict)

    def learn(self, intent: str, type: str) -> None:
        """Takes in one choice."""
        for key in ("", intent):
            if key not in self.counts and len(self.counts) >= INTENTS_MAX:
                continue
            row = self.counts.setdefault(key, {})
            for name in row:
                row[name] *= FADE
            row[type] = row.get(type, 0.0) + 1.0

    def of(self, intent: str) -> Mapping[str, float]:
        """Probability by type, in [0, 1], that it is chosen after such a query; types never chosen are left out.

        p(type | intent) = (n(intent, type) + SMOOTHING * p(type)) / (n(intent) + SMOOTHING)
        """
        overall = self.counts.get("", {})
        total = sum(overall.values())
        own = self.counts.get(intent, {})
        own_total = sum(own.values())
        if not total:
            return {}
        return {
            type: (own.get(type, 0.0) + SMOOTHING * count / total) / (own_total + SMOOTHING)
            for type, count in overall.items()
        }

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        return {"counts": self.counts}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TypeAffinity:
        """What `to_state` was asked of."""
        return cls({intent: dict(row) for intent, row in state["counts"].items()})

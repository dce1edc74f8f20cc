"""Which types of documents people choose after which kind of query, more often or less than chance would."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

FADE = 0.999
"""Share of a type's counts kept at each new choice where it was on offer: older habits fade."""

SMOOTHING = 5.0
"""Expected choices that the habits over all kinds count for within one kind, and no habit at all over all kinds."""

LIFT_MAX = 3.0
"""Largest logarithm told, up or down: twentyfold."""

INTENTS_MAX = 1_000


@dataclass(slots=True)
class TypeAffinity:
    """By intent and type, how often the type was chosen, and how often a choice at random among the candidates would
    have been of it. Both fade."""

    chosen: dict[str, dict[str, float]] = field(default_factory=dict)
    expected: dict[str, dict[str, float]] = field(default_factory=dict)

    def learn(self, intent: str, type: str, offered: Mapping[str, float]) -> None:
        """Takes in one choice of a type among those offered; see `shares_of`."""
        for key in ("", intent):
            if key not in self.expected and len(self.expected) >= INTENTS_MAX:
                continue
            chosen, expected = self.chosen.setdefault(key, {}), self.expected.setdefault(key, {})
            for name, share in offered.items():
                chosen[name] = FADE * chosen.get(name, 0.0) + float(name == type)
                expected[name] = FADE * expected.get(name, 0.0) + share

    def of(self, intent: str) -> Mapping[str, float]:
        """By type, the logarithm of how many times likelier than chance it is chosen, in [-LIFT_MAX, LIFT_MAX].

        lift(type | intent) = (chosen(intent, type) + S lift(type)) / (expected(intent, type) + S), with S = SMOOTHING;
        over all intents the same with 1 in place of lift(type): a gamma prior on a Poisson rate (Gelman et al.,
        Bayesian Data Analysis, section 2.6). Types never offered are left out: 0 says nothing for or against.
        """
        lifts = {}
        own_chosen, own_expected = self.chosen.get(intent, {}), self.expected.get(intent, {})
        for type, expected in self.expected.get("", {}).items():
            overall = (self.chosen[""].get(type, 0.0) + SMOOTHING) / (expected + SMOOTHING)
            own = (own_chosen.get(type, 0.0) + SMOOTHING * overall) / (own_expected.get(type, 0.0) + SMOOTHING)
            lifts[type] = min(max(math.log(own), -LIFT_MAX), LIFT_MAX)
        return lifts

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as plain values."""
        return {"chosen": self.chosen, "expected": self.expected}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TypeAffinity:
        """What `to_state` was asked of; counts of a time when chance was not counted are of no use."""
        return cls(*({intent: dict(row) for intent, row in state.get(n, {}).items()} for n in ("chosen", "expected")))


def shares_of(types: Sequence[str], ranks: npt.NDArray[np.int16]) -> dict[str, float]:
    """By type, its share of the candidates, each weighted by 1 over its best rank in any list; they sum to 1.

    That depends on what was found, and not on how it was ranked, which follows from the affinity itself.

    Args:
        types: of N candidates.
        ranks: [N, S], their rank from 1 in every strategy's list, 0 = not in it.
    """
    if not types:
        return {}
    best = np.where(ranks > 0, ranks, np.iinfo(np.int16).max).min(axis=1, initial=np.iinfo(np.int16).max)
    weights = 1.0 / best
    shares: dict[str, float] = {}
    for type, weight in zip(types, (weights / weights.sum()).tolist(), strict=True):
        shares[type] = shares.get(type, 0.0) + weight
    return shares

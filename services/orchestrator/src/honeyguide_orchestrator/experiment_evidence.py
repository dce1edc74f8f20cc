"""What an experiment has shown so far: running sums, from which the verdict can be read at any time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.confidence_sequence import (
    Interval,
    further_to_decide_mean,
    further_to_decide_preference,
    mean_interval,
    preference_interval,
)
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.experiment import BUCKETS, A, B, Mode, Trial
from honeyguide_orchestrator.interleaving import TEAM_A, TEAM_B

SEARCHES_MIN = 100
"""Searches of each variant before a split is decided: its interval is one for large numbers."""

BUCKETS_MIN = 20
"""Buckets of each variant that must have been seen by then: how much units differ shows in no fewer."""

ROUNDED = 1e-9
"""Standard error, by the mean size of a search's net reward, that is nothing but rounding."""

SIDES = (A, B)

Doubles = npt.NDArray[np.float64]


def _nothing() -> Doubles:
    return np.zeros((len(SIDES), BUCKETS))


@dataclass(slots=True)
class ExperimentEvidence:
    """Running sums of one experiment, `trial` its definition.

    searches, net: [2, 100], by variant and bucket: searches and their summed reward net of cost (split).
    rewards, costs: [2], what net is made of. wins: [2], interleaved pages on which more of a variant's documents were
    acted on than of the other's; pages: all interleaved ones. decided: the variant that was the first to be better
    beyond doubt, empty = none yet; and after how many searches.
    """

    trial: Trial
    searches: Doubles = field(default_factory=_nothing)
    net: Doubles = field(default_factory=_nothing)
    rewards: list[float] = field(default_factory=lambda: [0.0, 0.0])
    costs: list[float] = field(default_factory=lambda: [0.0, 0.0])
    wins: list[int] = field(default_factory=lambda: [0, 0])
    pages: int = 0
    decided: str = ""
    decided_after: int = 0

    def closed(self, record: DecisionRecord, trial: Trial, rewards: Mapping[str, float], cost: float) -> None:
        """Takes in a decision whose documents earned `rewards` at this cost."""
        if trial.mode is Mode.SPLIT:
            self._split(trial, max(rewards.values(), default=0.0), cost)
        else:
            self._interleaved(record, trial, rewards)
        if not self.decided:
            self.decided = {1: B, -1: A, 0: ""}[self.interval.sign]
            self.decided_after = self.count if self.decided else 0

    def _split(self, trial: Trial, reward: float, cost: float) -> None:
        side = SIDES.index(trial.side)
        self.searches[side, trial.bucket] += 1
        self.net[side, trial.bucket] += reward - cost
        self.rewards[side] += reward
        self.costs[side] += cost

    def _interleaved(self, record: DecisionRecord, trial: Trial, rewards: Mapping[str, float]) -> None:
        of_team = {TEAM_A: 0, TEAM_B: 0}
        for document_id, team in zip(record.document_ids, trial.teams, strict=False):
            if team in of_team and document_id in rewards:
                of_team[team] += 1
        self.pages += 1
        self.wins[0] += of_team[TEAM_A] > of_team[TEAM_B]
        self.wins[1] += of_team[TEAM_B] > of_team[TEAM_A]

    @property
    def count(self) -> int:
        """Searches so far."""
        return self.pages if self.trial.mode is Mode.INTERLEAVE else int(self.searches.sum())

    @property
    def interval(self) -> Interval:
        """How much better b is, valid at all moments.

        Split: mean reward net of cost of b less that of a. Interleave: share of the decisive pages that b won less the
        share that a won, in [-1, 1].
        """
        if self.trial.mode is Mode.INTERLEAVE:
            return preference_interval(self.wins[1], self.wins[0])
        estimate, standard_error = self._difference()
        if not math.isfinite(standard_error):
            return Interval(estimate, -math.inf, math.inf)
        return mean_interval(estimate, standard_error, self.count)

    @property
    def further(self) -> int | None:
        """Further searches until it is decided if all goes on like this; 0 = it is, None = nobody knows."""
        if self.trial.mode is Mode.INTERLEAVE:
            pages = further_to_decide_preference(self.wins[1], self.wins[0])
            return None if pages is None else math.ceil(pages * self.pages / sum(self.wins))
        estimate, standard_error = self._difference()
        return further_to_decide_mean(estimate, standard_error, self.count) if math.isfinite(standard_error) else None

    def _difference(self) -> tuple[float, float]:
        """Mean net reward of b less that of a, and its standard error, infinite while there is too little.

        The searches of one user are alike, so the variance is taken between buckets of users, and each variant's mean
        is a ratio of sums over buckets (linearised: Cochran 1977, "Sampling techniques", section 6.5; buckets as in
        Chamandy, Muralidharan, Najmi and Naidu 2012, "Estimating uncertainty for massive data streams").
        """
        counts = self.searches.sum(axis=1)
        means = self.net.sum(axis=1) / np.maximum(counts, 1.0)
        estimate = float(means[1] - means[0])
        seen = (self.searches > 0).sum(axis=1)
        if counts.min() < SEARCHES_MIN or seen.min() < BUCKETS_MIN:
            return estimate, math.inf
        sizes = np.abs(self.net).sum(axis=1) / counts
        residuals = ((self.net - means[:, None] * self.searches) ** 2).sum(axis=1)
        standard_error = math.sqrt(float((residuals / counts**2 * seen / (seen - 1)).sum()))
        # Where all searches cost the same and nothing was earned yet, what differs is how sums are rounded.
        return estimate, standard_error if standard_error > ROUNDED * float(sizes.max()) else math.inf

    def to_state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {
            "trial": self.trial.to_plain(),
            "searches": self.searches.tolist(),
            "net": self.net.tolist(),
            "rewards": self.rewards,
            "costs": self.costs,
            "wins": self.wins,
            "pages": self.pages,
            "decided": self.decided,
            "decided_after": self.decided_after,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ExperimentEvidence:
        """What `to_state` was asked of."""
        parts = {
            "trial": Trial.from_plain(state["trial"]),
            "searches": np.array(state["searches"], float),
            "net": np.array(state["net"], float),
            **{name: list(state[name]) for name in ("rewards", "costs", "wins")},
        }
        return cls(**{**state, **parts})

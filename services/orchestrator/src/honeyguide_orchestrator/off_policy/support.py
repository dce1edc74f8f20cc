"""Support: how much of what the target would do the logging policy ever does."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide_orchestrator.off_policy.empirical_likelihood import mean_interval
from honeyguide_orchestrator.off_policy.rounds import Doubles

ENOUGH = 0.95
LITTLE = 0.05

EFFECTIVE_MIN = 100.0
"""Effective rounds below which an estimate by weights is an anecdote."""


@dataclass(frozen=True, slots=True)
class Support:
    """Share of the target's probability on actions that the logging policy may take, in [0, 1], with a 95% interval.

    exact: known from the logged distributions; else estimated by the mean weight, whose expectation it is.
    """

    share: float
    low: float
    high: float
    exact: bool

    @property
    def statement(self) -> str:
        """In words."""
        missing = 1.0 - self.share
        if self.exact:
            if missing < 1e-9:
                return "the log covers all that it would do"
            return f"the log never does {percent(missing)} of what it would do"
        if self.high < ENOUGH:
            return f"the log seems never to do {percent(1 - self.high)} to {percent(1 - self.low)} of what it would do"
        return "nothing says that the log lacks what it would do"


def known(shares: Doubles) -> Support:
    """From each round's own share [n], known exactly."""
    low, high = mean_interval(shares, 0.0, 1.0)
    return Support(float(shares.mean()), low, high, exact=True)


def by_weights(weights: Doubles) -> Support:
    """From the weights [n]: where actions are missing, their mean stays below 1."""
    largest = max(float(weights.max(initial=0.0)), 1.0)
    low, high = mean_interval(weights, 0.0, largest)
    return Support(min(1.0, float(weights.mean())), min(1.0, low), min(1.0, high), exact=False)


def percent(share: float) -> str:
    """A share in words."""
    return f"{100 * share:.0f}%" if share >= 0.01 or share < 1e-9 else "less than 1%"

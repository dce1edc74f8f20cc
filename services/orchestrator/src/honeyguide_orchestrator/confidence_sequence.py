"""Intervals that may be looked at as often as one likes, and stopped at when one likes.

A confidence interval of a fixed-size test covers the truth with probability 1 - alpha at one moment chosen beforehand;
who looks after every search and stops at the first "significant" one is wrong far more often. A confidence sequence
covers it at all moments at once: P(for every t: truth in C_t) >= 1 - alpha (Darling and Robbins 1967).

Two are here. For means of anything with a variance, the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha,
Kennedy and Ramdas ("Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52(6),
2024, theorem 2.2): Robbins' normal mixture around an estimate with standard error s after t observations,

    estimate +- s * sqrt(2 (t rho^2 + 1) / (t rho^2) * log(sqrt(t rho^2 + 1) / alpha)).

For shares of wins, one that holds at every sample size, not only at large ones: the beta-binomial mixture (Robbins
1970; Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of
Statistics 49(2), 2021, section 3.2). After w wins and l losses it holds every p with

    B(c + w, c + l) / B(c, c) / (p^w (1 - p)^l) < 1 / alpha,

whose left side is a martingale that begins at 1 where p is the truth, and so exceeds 1 / alpha with probability alpha
at most (Ville's inequality). As log(1 - p + p e^x) is concave in p, it covers the running mean of chances that change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

ALPHA = 0.05
"""Probability with which an interval may ever miss the truth."""

TIGHTEST_AT = 2_000
"""Observations at which the normal mixture is tightest, relative to a fixed-size interval."""

WIN_PRIOR = 5.0
"""c: the mixture leans to even chances as if that many wins and losses had been seen. Of width, not of validity."""

FORECAST_MAX = 100_000_000
"""Observations beyond which nothing is forecast."""

_BISECTIONS = 40


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and what it may be: `low` <= truth <= `high` at all moments with probability 1 - alpha."""

    estimate: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 if the truth is above or below 0, 0 if that is open."""
        return int(self.low > 0) - int(self.high < 0)


def mean_interval(estimate: float, standard_error: float, count: int, alpha: float = ALPHA) -> Interval:
    """The asymptotic confidence sequence of a mean, or of whatever is as good as one, after `count` observations.

    Args:
        estimate: of the truth.
        standard_error: of the estimate, estimated.
        count: observations behind it; with 0 nothing is known.
        alpha: probability of ever missing the truth, in (0, 1).
    """
    if not count:
        return Interval(estimate, -math.inf, math.inf)
    radius = standard_error * _radius_factor(count, alpha)
    return Interval(estimate, estimate - radius, estimate + radius)


def _radius_factor(count: float, alpha: float) -> float:
    """Radius in standard errors: 1.96 if one looked once; about 2.9 to 3.5 for always."""
    # rho that minimises the radius at TIGHTEST_AT: there, appendix B.2.
    spread = count * (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / TIGHTEST_AT
    return math.sqrt(2 * (spread + 1) / spread * (0.5 * math.log(spread + 1) - math.log(alpha)))


def preference_interval(wins: int, losses: int, alpha: float = ALPHA) -> Interval:
    """The confidence sequence of chance to win less chance to lose, in [-1, 1], after that many of both."""
    if not wins + losses:
        return Interval(0.0, -1.0, 1.0)
    share = wins / (wins + losses)

    mixture = _log_mixture(wins, losses)

    def excluded(p: float) -> bool:
        return mixture - _log_likelihood(wins, losses, p) >= -math.log(alpha)

    low = _edge(excluded, 0.0, share) if wins else 0.0
    high = _edge(excluded, 1.0, share) if losses else 1.0
    return Interval(2 * share - 1, 2 * low - 1, 2 * high - 1)


def _log_mixture(wins: float, losses: float) -> float:
    return _log_beta(WIN_PRIOR + wins, WIN_PRIOR + losses) - _log_beta(WIN_PRIOR, WIN_PRIOR)


def _log_likelihood(wins: float, losses: float, p: float) -> float:
    if (wins and p <= 0) or (losses and p >= 1):
        return -math.inf
    return (wins * math.log(p) if wins else 0.0) + (losses * math.log1p(-p) if losses else 0.0)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _edge(excluded: Callable[[float], bool], out: float, within: float) -> float:
    """Where between a point that may be excluded and one that is not the exclusion ends."""
    for _ in range(_BISECTIONS):
        middle = (out + within) / 2
        if excluded(middle):
            out = middle
        else:
            within = middle
    return out


def further_to_decide_mean(estimate: float, standard_error: float, count: int, alpha: float = ALPHA) -> int | None:
    """Further observations until the interval leaves 0 out, if estimate and variance stay; None = nobody knows."""

    def decided(total: int) -> bool:
        expected_error = standard_error * math.sqrt(count / total)
        return expected_error * _radius_factor(total, alpha) < abs(estimate)

    return _further(decided, count)


def further_to_decide_preference(wins: int, losses: int, alpha: float = ALPHA) -> int | None:
    """Further wins and losses until the interval leaves 0 out, if their share stays; None = nobody knows."""
    count = wins + losses

    def decided(total: int) -> bool:
        scale = total / count
        return _log_mixture(wins * scale, losses * scale) + total * math.log(2) >= -math.log(alpha)

    return _further(decided, count)


def _further(decided: Callable[[int], bool], count: int) -> int | None:
    if not count:
        return None
    if decided(count):
        return 0
    low, high = count, 2 * count
    while not decided(high):
        if high > FORECAST_MAX:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high - count

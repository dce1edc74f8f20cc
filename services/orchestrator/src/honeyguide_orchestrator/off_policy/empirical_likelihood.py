"""Intervals that hold for heavy-tailed weights and rare rewards: empirical likelihood.

Owen (1988, "Empirical likelihood ratio confidence intervals for a single functional") asks of every candidate value v
how likely the data are under the likeliest distribution *whose mean is v*, and keeps those v for which -2 log of that
likelihood ratio is below the 95% quantile of chi-square with one degree of freedom (Wilks' theorem; for estimating
equations Qin and Lawless 1994). Nothing is assumed symmetric, so the interval of a few large weights among many small
ones leans to where the unseen weight may be, where a normal interval runs below 0.

The distribution may also put mass where no observation lies yet, at the corners of what is possible, as Karampatziakis,
Langford and Mineiro (2020, "Empirical Likelihood for Contextual Bandits", section 3) do for off-policy evaluation: so
a log without a single click gives an interval that begins at 0 and does not end there.

Why not the others: a percentile bootstrap can't resample the large weight that was not drawn; a normal interval covers
too little on skewed data; empirical Bernstein (Maurer and Pontil 2009) covers at any size of the sample, but widens
with the largest possible weight, to three to six times the width. On simulated logs of 200 to 10,000 rounds with skewed
weights and rare rewards this one covered the truth in 94 to 97% of the samples, normal and percentile bootstrap
intervals in 87 to 96%; `tests/orchestrator/test_off_policy_coverage.py` counts again.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

CHI_SQUARE_95 = 3.841458820694124
"""95% quantile of the chi-square distribution with one degree of freedom."""

_NEWTON_STEPS = 60
_STEPS = 100
_PRECISION = 1e-4
"""Of an edge, in standard errors."""


def mean_interval(values: Doubles, lowest: float, highest: float) -> tuple[float, float]:
    """95% interval of the mean of independent values [n] that can lie anywhere in [lowest, highest]."""
    corners = np.array([lowest, highest])
    return ratio_interval(values, np.ones(len(values)), corners, np.ones(2))


def ratio_interval(
    numerators: Doubles, denominators: Doubles, corner_numerators: Doubles, corner_denominators: Doubles
) -> tuple[float, float]:
    """95% interval of E[numerator] / E[denominator], from independent pairs.

    Args:
        numerators: [n].
        denominators: [n], 0 or above, not all 0.
        corner_numerators: [c], extreme pairs that are possible, whether observed or not.
        corner_denominators: [c].
    """
    pairs, times = np.unique(numerators + 1j * denominators, return_counts=True)
    a = np.concatenate([pairs.real, corner_numerators])
    b = np.concatenate([pairs.imag, corner_denominators])
    counts = np.concatenate([times.astype(np.float64), np.zeros(len(corner_numerators))])
    estimate = float((counts @ a) / (counts @ b))
    told = b > 0
    possible = a[told] / b[told]

    def beyond(v: float) -> float:
        """Above 0 where v is excluded; nearly linear in v, as the root of the ratio is in standard errors."""
        return math.sqrt(2 * _log_likelihood_ratio(a - v * b, counts)) - math.sqrt(CHI_SQUARE_95)

    residuals = a - estimate * b
    spread = math.sqrt(float(counts @ residuals**2)) / float(counts @ b)
    return (
        _edge(beyond, float(possible.min()), estimate, spread),
        _edge(beyond, float(possible.max()), estimate, spread),
    )


def _log_likelihood_ratio(z: Doubles, counts: Doubles) -> float:
    """max over t of sum counts log(1 + t z), with 1 + t z >= 0 everywhere.

    That is the dual of the search for the likeliest distribution over z with mean 0. Newton's method on a concave
    function, kept within a shrinking bracket.
    """
    largest, smallest = float(z.max()), float(z.min())
    if largest <= 0 or smallest >= 0:
        return math.inf if (counts @ np.abs(z)) > 0 else 0.0
    low, high = -1 / largest, -1 / smallest
    t = 0.0
    for _ in range(_NEWTON_STEPS):
        inside = 1 + t * z
        slopes = np.divide(z, inside, out=np.zeros_like(z), where=counts > 0)
        slope = float(counts @ slopes)
        if slope > 0:
            low = t
        else:
            high = t
        curvature = float(counts @ slopes**2)
        step = t + slope / curvature if curvature > 0 else np.inf
        previous, t = t, step if low < step < high else (low + high) / 2
        if abs(t - previous) <= 1e-8 * (high - low + abs(t)) or high - low <= 1e-12 * abs(t):
            break
    inside = np.maximum(1 + t * z[counts > 0], 1e-300)
    return max(0.0, float(counts[counts > 0] @ np.log(inside)))


def _edge(beyond: Callable[[float], float], out: float, within: float, spread: float) -> float:
    """Where between a value that may be excluded and one that is not the exclusion ends.

    The Illinois variant of false position (Dowell and Jarratt 1971), begun 1.96 standard errors (`spread`) away.
    """
    above, below = beyond(out), -math.sqrt(CHI_SQUARE_95)
    if above <= 0 or out == within:
        return out
    step = math.sqrt(CHI_SQUARE_95) * spread
    middle = within + math.copysign(min(step, abs(out - within) / 2), out - within)
    last = 0
    for _ in range(_STEPS):
        value = beyond(middle)
        if abs(value) < _PRECISION or abs(out - within) <= _PRECISION * spread:
            break
        if value > 0:
            out, above = middle, value
            below /= 2 if last > 0 else 1
            last = 1
        else:
            within, below = middle, value
            above /= 2 if last < 0 else 1
            last = -1
        ahead = -below / (above - below) if math.isfinite(above) else 0.5
        middle = within + (out - within) * min(max(ahead, 0.01), 0.99)
    return middle

import math

import numpy as np
import pytest

from honeyguide_orchestrator.confidence_sequence import (
    ALPHA,
    TIGHTEST_AT,
    Interval,
    further_to_decide_mean,
    further_to_decide_preference,
    mean_interval,
    preference_interval,
)


def test_the_normal_mixture_by_hand() -> None:
    # rho^2 t = 2 log 20 + log(1 + 2 log 20) = 5.9915 + 1.9447 = 7.9362 at the tightest;
    # 2 * 8.9362 / 7.9362 * (log(8.9362) / 2 + log 20) = 2.2520 * 4.0908 = 9.2125, whose root is 3.0352.
    interval = mean_interval(1.0, 0.1, TIGHTEST_AT, 0.05)
    assert interval.high - 1.0 == pytest.approx(0.30352, abs=1e-4)
    assert 1.0 - interval.low == pytest.approx(0.30352, abs=1e-4)
    assert mean_interval(1.0, 0.1, 0) == Interval(1.0, -math.inf, math.inf)


def test_the_beta_binomial_mixture_by_hand() -> None:
    # One win: B(6, 5) / B(5, 5) = 1/2, and 1/2 / p < 20 where p > 1/40.
    assert preference_interval(1, 0).low == pytest.approx(2 / 40 - 1)
    # Two: B(7, 5) / B(5, 5) = 5 * 6 / (10 * 11) = 3/11, and 3/11 / p^2 < 20 where p > sqrt(3 / 220).
    assert preference_interval(2, 0).low == pytest.approx(2 * math.sqrt(3 / 220) - 1)
    assert preference_interval(2, 0).high == 1.0
    lost, won = preference_interval(30, 50), preference_interval(50, 30)
    assert (lost.low, lost.high) == pytest.approx((-won.high, -won.low))
    assert won.estimate == pytest.approx(0.25)
    assert won.low < 0.25 < won.high
    assert preference_interval(0, 0) == Interval(0.0, -1.0, 1.0)


def test_the_sign_is_told_only_beyond_doubt() -> None:
    assert [Interval(0.1, *ends).sign for ends in ((0.05, 0.2), (-0.1, 0.3), (-0.3, -0.1))] == [1, 0, -1]


def ever_wrong(runs: int, steps: int, seed: int) -> tuple[float, float, float]:
    """Shares of runs in which each rule, asked again and again at even chances, ever told a winner."""
    rng = np.random.default_rng(seed)
    wrong = np.zeros(3)
    for _ in range(runs):
        told = [False] * 3
        values = np.where(rng.random(steps) < 0.5, 1, -1)
        for count, total in enumerate(values.cumsum().tolist(), start=1):
            wins = (count + total) // 2
            if count < 50 or count % 4:
                continue
            error = math.sqrt((1 - (total / count) ** 2) / count)
            told[0] |= preference_interval(wins, count - wins).sign != 0
            told[1] |= mean_interval(total / count, error, count).sign != 0
            told[2] |= abs(total / count) > 1.96 * error
        wrong += told
    return tuple((wrong / runs).tolist())


def test_whoever_looks_again_and_again_is_seldom_wrong() -> None:
    mixture, asymptotic, fixed_size = ever_wrong(runs=150, steps=500, seed=3)
    assert mixture <= ALPHA
    assert asymptotic <= ALPHA
    assert fixed_size > 4 * ALPHA


def test_skewed_values_are_covered_too() -> None:
    rng = np.random.default_rng(4)
    missed, runs = 0, 200
    for _ in range(runs):
        values = rng.standard_exponential(1_000) * (rng.random(1_000) < 0.5)
        counts = np.arange(1, 1_001)
        means = values.cumsum() / counts
        errors = np.sqrt(((values**2).cumsum() / counts - means**2) / counts)
        inside = [
            interval.low <= 0.5 <= interval.high
            for interval in map(mean_interval, means[99:].tolist(), errors[99:].tolist(), counts[99:].tolist())
        ]
        missed += not all(inside)
    assert missed / runs <= ALPHA


def test_what_is_forecast_decides() -> None:
    more = further_to_decide_preference(55, 45)
    assert more is not None
    assert more > 100
    scale = (100 + more) / 100
    assert preference_interval(math.ceil(55 * scale), math.floor(45 * scale)).sign == 1
    assert further_to_decide_preference(50, 50) is None
    assert further_to_decide_preference(0, 0) is None
    assert further_to_decide_preference(40, 5) == 0
    more = further_to_decide_mean(0.02, 0.01, 2_000)
    assert more is not None
    assert mean_interval(0.02, 0.01 * math.sqrt(2_000 / (2_000 + more)), 2_000 + more).sign == 1
    assert mean_interval(0.02, 0.01 * math.sqrt(2_000 / (1_999 + more)), 1_999 + more).sign == 0

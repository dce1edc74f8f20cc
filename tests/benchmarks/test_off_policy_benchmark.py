"""The off-policy benchmark's own arithmetic, and its estimates on the Open Bandit Dataset where that is there."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.quality.off_policy import (
    BTS,
    CAMPAIGNS,
    RANDOM,
    Campaign,
    agreement,
    leading,
    read_campaigns,
    rounds_for,
    shares_shown,
)

from honeyguide_orchestrator.off_policy.estimators import estimate
from honeyguide_orchestrator.off_policy.report import Evaluated, Verdict
from honeyguide_orchestrator.off_policy.rounds import Estimate
from honeyguide_orchestrator.off_policy.support import Support


def estimate_of(value: float, estimator: str = "dr") -> Estimate:
    return Estimate(estimator, value, value - 0.11, value + 0.11, 0.0, 0.0, 0.0, 100, 100.0, 1.0)


def test_agreement_in_rank_size_and_cover() -> None:
    estimates = {"a": estimate_of(0.1), "b": estimate_of(0.3), "c": estimate_of(0.2)}
    noise = np.tile([-0.1, 0.1], 50)
    # a and c are the same but for noise; b is better than both.
    live = {"a": 0.2 + noise, "b": 0.6 + noise, "c": 0.2 + noise[::-1]}
    told = agreement(estimates, live)
    assert told.relative_error == pytest.approx((0.5 + 0.5 + 0.0) / 3)
    assert told.covered == pytest.approx(2 / 3)
    assert (told.told_apart, told.right) == (2, 2)
    swapped = agreement({"a": estimates["b"], "b": estimates["a"], "c": estimates["c"]}, live)
    assert (swapped.told_apart, swapped.right) == (2, 0)
    same = {name: np.full(10, value) for name, value in (("a", 0.1), ("b", 0.3), ("c", 0.2))}
    assert agreement(estimates, same).rank_correlation == pytest.approx(1.0)
    opposite = {name: np.full(10, value) for name, value in (("a", 0.3), ("b", 0.1), ("c", 0.2))}
    assert agreement(estimates, opposite).rank_correlation == pytest.approx(-1.0)


def test_doubly_robust_leads_where_there_is_support() -> None:
    support = Support(1.0, 1.0, 1.0, True)
    both = tuple(estimate_of(0.1, name) for name in ("ips", "snips", "dm", "dr", "drs"))
    assert leading(Evaluated("policy", "p", both, support, Verdict.OPEN, ())).estimator == "drs"
    assert leading(Evaluated("policy", "p", both[2:3], support, Verdict.OPEN, ())).estimator == "dm"


def test_shares_and_weights_of_a_tiny_log() -> None:
    log = Campaign(
        items=np.array([0, 1, 1, 0, 1]),
        positions=np.array([0, 0, 1, 2, 2]),
        clicks=np.array([True, False, False, True, False]),
        propensities=np.full(5, 0.5),
    )
    shares = shares_shown(log, 2)
    assert shares.tolist() == [[0.5, 0.5], [0.0, 1.0], [0.5, 0.5]]
    assert rounds_for(log, shares).weights.tolist() == [1.0, 1.0, 2.0, 1.0, 1.0]


def test_the_open_bandit_datasets_on_policy_rates_are_covered() -> None:
    campaigns = read_campaigns()
    if campaigns is None:
        pytest.skip("obd-small is not there; set HONEYGUIDE_COLLECTIONS")
    for campaign in CAMPAIGNS:
        random, bts = campaigns[RANDOM, campaign], campaigns[BTS, campaign]
        items = int(max(random.items.max(), bts.items.max())) + 1
        for one in estimate(rounds_for(random, shares_shown(bts, items))):
            assert one.low <= bts.clicks.mean() <= one.high, (campaign, one.estimator)

import numpy as np
import pytest

from honeyguide_orchestrator.ranker_evidence import (
    EVIDENCE_MEMORY,
    EVIDENCE_MIN,
    TREES_ERRORS,
    Advantage,
    RankerEvidence,
    earned,
)


def test_what_is_earned_falls_with_the_position_and_ties_share_it() -> None:
    scores = np.array([3, 1, 2, 2], np.float32)
    assert earned(scores, 0) == 1.0
    assert earned(scores, 1) == pytest.approx(1 / np.log2(5))
    assert earned(scores, 2) == pytest.approx(1 / np.log2(3.5))


def test_mean_and_standard_error_of_few_actions_are_the_plain_ones() -> None:
    advantage = Advantage()
    for difference in (0.4, -0.2, 0.1):
        advantage.weigh(difference, TREES_ERRORS)
    assert advantage.mean == pytest.approx(0.1)
    # Variance (.09 + .09 + 0) / 3, over three actions.
    assert advantage.error == pytest.approx((0.06 / 3) ** 0.5)


def test_many_actions_count_as_twice_the_memory() -> None:
    advantage = Advantage()
    for i in range(20_000):
        advantage.weigh(float(i % 2), TREES_ERRORS)
    assert advantage.mean == pytest.approx(0.5, abs=1e-3)
    # The sum of squared weights of an exponential mean with rate r is r / (2 - r).
    assert advantage.error == pytest.approx(0.5 * (1 / EVIDENCE_MEMORY / (2 - 1 / EVIDENCE_MEMORY)) ** 0.5, rel=1e-2)


def test_a_challenger_serves_once_it_is_clearly_ahead_and_no_longer_than_it_is_ahead() -> None:
    advantage = Advantage()
    for _ in range(EVIDENCE_MIN - 1):
        advantage.weigh(0.1, TREES_ERRORS)
    assert not advantage.ahead
    advantage.weigh(0.1, TREES_ERRORS)
    assert advantage.ahead
    for _ in range(EVIDENCE_MIN - 1):
        advantage.weigh(-0.1, TREES_ERRORS)
    assert advantage.mean > 0
    assert advantage.ahead
    advantage.weigh(-0.1 - 1e-9, TREES_ERRORS)
    assert not advantage.ahead


def test_an_advantage_within_its_error_lets_nobody_in() -> None:
    advantage = Advantage()
    # Mean 1 / 60 at a spread of about 1 over 60 actions: error .13.
    for i in range(60):
        advantage.weigh(1.0 if i % 2 else -1.0 + (1 / 15) * (i % 4 == 0), TREES_ERRORS)
    assert 0 < advantage.mean < advantage.error
    assert not advantage.ahead


def test_the_linear_ranker_serves_while_it_is_ahead_by_however_little() -> None:
    evidence = RankerEvidence()
    for i in range(60):
        earned_by_linear = 1.0 if i % 2 else (1 / 15) * (i % 4 == 0)
        evidence.weigh(prior=0.5, linear=earned_by_linear, trees=earned_by_linear, weight=1.0)
    assert 0 < evidence.linear_over_prior.mean < evidence.linear_over_prior.error
    assert evidence.linear_serves
    assert not evidence.trees_over_prior.ahead
    evidence.weigh(prior=1.0, linear=0.0, trees=None, weight=1.1)
    assert evidence.linear_over_prior.mean < 0
    assert not evidence.linear_serves


def test_the_trees_serve_only_where_they_beat_whoever_else_would() -> None:
    evidence = RankerEvidence()
    for _ in range(EVIDENCE_MIN):
        evidence.weigh(prior=0.5, linear=0.7, trees=0.6, weight=1.0)
    assert evidence.linear_serves
    assert evidence.trees_over_prior.ahead
    assert not evidence.trees_serve
    for _ in range(EVIDENCE_MIN + 1):
        evidence.weigh(prior=0.5, linear=0.6, trees=0.8, weight=1.0)
    assert evidence.trees_serve


def test_nobody_learned_serves_where_the_prior_is_better() -> None:
    evidence = RankerEvidence()
    for _ in range(EVIDENCE_MIN):
        evidence.weigh(prior=0.5, linear=0.3, trees=0.4, weight=1.0)
    assert not evidence.linear_serves
    assert not evidence.trees_serve


def test_an_action_far_down_weighs_more_and_no_trees_are_not_judged() -> None:
    evidence = RankerEvidence()
    evidence.weigh(prior=0.5, linear=0.7, trees=None, weight=4.0)
    assert evidence.linear_over_prior.mean == pytest.approx(0.8)
    assert evidence.trees_over_prior.events == 0
    assert RankerEvidence.from_state(evidence.to_state()) == evidence

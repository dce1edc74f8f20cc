"""Shadow, exploration and experiments: what the learner's running comparisons make of closed decisions."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from tests.orchestrator.decision_records import decision_record

from honeyguide_orchestrator.comparisons import KEPT_MAX, Comparisons
from honeyguide_orchestrator.decision_log import DecisionRecord, LoggedShadow, LoggedStrategy
from honeyguide_orchestrator.evidence_report import evidence_report
from honeyguide_orchestrator.experiment import Experiment, Mode, Trial, Variant
from honeyguide_orchestrator.fanout import Status
from honeyguide_orchestrator.policy import Exploration
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.weighted_difference import WeightedDifference

SPLIT = Experiment(name="x", b=Variant(ranker="linear")).over("squarecb", "gated")
INTERLEAVED = SPLIT.model_copy(update={"mode": Mode.INTERLEAVE})
RECORD = decision_record(answered=(), document_ids=("w", "x", "y", "z"))
PRICES = Prices(0.0125, 0.00025)
BEST, OTHER = {"lexical.bm25": 20}, {"lexical.bm25": 20, "vector.dense": 50}


def trial_of(experiment: Experiment, unit: str) -> Trial:
    trial = experiment.assign(unit)
    if trial is None:
        raise AssertionError("everybody takes part")
    return trial


def asked(depths: dict[str, int]) -> tuple[LoggedStrategy, ...]:
    return tuple(LoggedStrategy(name, depth, 1.0, Status.OK, depth, 0.0) for name, depth in depths.items())


def test_a_weighted_difference_by_hand() -> None:
    difference = WeightedDifference()
    for weight, reward in ((2.0, 1.0), (0.0, 0.5), (2.0, 0.0), (0.0, 0.5)) * 25:
        difference.add(weight, reward)
    assert difference.mean == 0.5
    assert difference.other_mean == 0.5
    assert difference.effective == 50
    # Influences: 2 * (1 - .5) / 1 - (1 - .5) = .5, 0 - 0 = 0, -.5 and 0: standard error sqrt(50 * .25) / 100.
    spread = 100 * (2 * math.log(20) + math.log(1 + 2 * math.log(20))) / 2_000
    factor = math.sqrt(2 * (spread + 1) / spread * math.log(math.sqrt(spread + 1) * 20))
    assert difference.interval.high == pytest.approx(math.sqrt(12.5) / 100 * factor)
    restored = WeightedDifference.from_state(difference.to_state())
    difference.add(0.0, 0.3)
    restored.add(0.0, 0.3)
    assert restored == difference


def decisions(count: int, seed: int) -> list[tuple[DecisionRecord, float]]:
    """Decisions by a policy that explores by chances of its own in two kinds of searches, and what they earned.

    In easy searches it explores often and everybody earns much; in hard ones seldom. Exploring always costs .1.
    """
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        easy = rng.random() < 0.5
        explores = 0.5 if easy else 0.1
        explored = bool(rng.random() < explores)
        exploration = Exploration(explored, 1.0 - explores, 0.1 if explored else 0.0)
        # In shadow stands what always does as looks best in hard searches, and explores in easy ones.
        agrees = explored == easy
        chance = explores if easy else 1.0 - explores
        shadow = LoggedShadow("greedy", tuple((OTHER if easy else BEST).items()), agrees, chance)
        record = replace(RECORD, strategies=asked(OTHER if explored else BEST), exploration=exploration, shadow=shadow)
        made.append((record, (0.9 if easy else 0.3) - (0.1 if explored else 0.0) + rng.normal(0, 0.1)))
    return made


def compared(made: list[tuple[DecisionRecord, float]]) -> Comparisons:
    comparisons = Comparisons()
    for record, net in made:
        cost = PRICES.of(record.calls, record.candidates_fetched)
        comparisons.closed(record, {"w": net + cost}, PRICES)
    return comparisons


def test_the_cost_of_exploration_is_not_that_of_the_searches_explored() -> None:
    report = evidence_report(compared(decisions(4_000, seed=1))).explorations[0]
    assert report.policy == "squarecb"
    assert report.explored_share == pytest.approx(0.3, abs=0.02)
    # Explored searches earned more, for they were easy ones ...
    assert report.explored_net_mean > report.unexplored_net_mean + 0.05
    # ... but exploring cost .1 in three of ten.
    assert report.predicted_loss == pytest.approx(0.03, abs=0.003)
    assert report.loss.value == pytest.approx(0.03, abs=0.015)
    assert 0 < report.loss.low < 0.03 < report.loss.high


def test_a_policy_in_shadow_is_worth_what_it_would_have_earned() -> None:
    report = evidence_report(compared(decisions(4_000, seed=2))).shadows[0]
    assert report.agreement == pytest.approx(0.7, abs=0.03)
    assert report.supported_share == 1.0
    assert (report.shadow.calls, report.shadow.candidates) == pytest.approx((1.5, 45), rel=0.05)
    assert report.obeyed.cost == pytest.approx(0.7 * (0.0125 + 0.005) + 0.3 * (0.025 + 0.0175), rel=0.05)
    # It explores in the easy half: .55 in the mean, where .57 were earned.
    assert report.net_mean == pytest.approx(0.55, abs=0.02)
    assert report.difference.low < -0.02 < report.difference.high
    assert report.effective_decisions > 1_500


def test_where_the_policy_obeyed_never_draws_the_same_nothing_is_told() -> None:
    comparisons = Comparisons()
    shadow = LoggedShadow("full_depth", tuple(OTHER.items()), False, 0.0)
    estimated = replace(RECORD, shadow=replace(shadow, propensity=0.5), propensity_estimated=True)
    for record in (replace(RECORD, strategies=asked(BEST), shadow=shadow), estimated):
        comparisons.closed(record, {}, PRICES)
    report = evidence_report(comparisons)
    assert report.shadows[0].decisions == 2
    assert report.shadows[0].supported_share == 0
    assert not report.shadows[0].difference.HasField("low")
    assert report.explorations[0].decisions == 1


def test_experiments_are_told_apart_by_their_definition_and_are_bounded() -> None:
    comparisons = Comparisons()
    for number in range(KEPT_MAX + 5):
        experiment = SPLIT.model_copy(update={"name": f"x{number}"})
        for unit in ("ann", "bob", "cid"):
            comparisons.closed(replace(RECORD, trial=trial_of(experiment, unit)), {"w": 1.0}, PRICES)
    interleaved = replace(RECORD, trial=trial_of(INTERLEAVED, "ann").with_teams((1, 2)))
    comparisons.closed(interleaved, {"w": 1.0}, PRICES)
    report = evidence_report(comparisons)
    assert len(report.experiments) == KEPT_MAX
    assert [(one.name, one.searches) for one in report.experiments[:2]] == [("x", 1), (f"x{KEPT_MAX + 4}", 3)]
    assert report.experiments[0].a.wins == 1
    assert report.experiments[1].a.searches + report.experiments[1].b.searches == 3
    # An interleaved page tells nothing of how its policy explores.
    assert report.explorations[0].decisions == 3 * (KEPT_MAX + 5)


def test_a_restart_changes_nothing() -> None:
    made = [
        (replace(record, trial=trial_of(SPLIT, str(number % 37))), net)
        for number, (record, net) in enumerate(decisions(300, seed=3))
    ]
    whole, before = compared(made), compared(made[:120])
    after = Comparisons.from_state(json.loads(json.dumps(before.to_state())))
    for record, net in made[120:]:
        after.closed(record, {"w": net + PRICES.of(record.calls, record.candidates_fetched)}, PRICES)
    assert after.to_state() == whole.to_state()
    assert evidence_report(after) == evidence_report(whole)


def test_two_ways_that_were_never_apart_are_not_told_to_be_the_same() -> None:
    difference = WeightedDifference()
    for number in range(60):
        difference.add(1.0 / 0.95, 0.4 if number % 2 else 0.6)
    assert difference.effective > 50
    assert difference.interval.high == math.inf
    for _ in range(5):
        difference.add(0.0, 0.5)
    assert math.isfinite(difference.interval.high)


def test_what_would_hardly_ever_be_drawn_supports_nothing() -> None:
    comparisons = Comparisons()
    for propensity in (0.01, 0.5):
        shadow = LoggedShadow("full_depth", tuple(OTHER.items()), False, propensity)
        comparisons.closed(replace(RECORD, strategies=asked(BEST), shadow=shadow), {}, PRICES)
    assert evidence_report(comparisons).shadows[0].supported_share == 0.5

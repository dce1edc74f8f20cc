"""The verdict on an experiment: by hand, when b is truly better, and when nothing is."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from tests.orchestrator.decision_records import decision_record

from honeyguide_orchestrator.confidence_sequence import ALPHA, mean_interval
from honeyguide_orchestrator.experiment import Experiment, Mode, Trial, Variant
from honeyguide_orchestrator.experiment_evidence import BUCKETS_MIN, SEARCHES_MIN, ExperimentEvidence

SPLIT = Experiment(name="x", b=Variant(ranker="linear")).over("squarecb", "gated")
INTERLEAVED = SPLIT.model_copy(update={"mode": Mode.INTERLEAVE})
RECORD = decision_record(document_ids=("w", "x", "y", "z"))


def trial_of(experiment: Experiment, unit: str) -> Trial:
    trial = experiment.assign(unit)
    if trial is None:
        raise AssertionError("everybody takes part")
    return trial


def evidence_of(experiment: Experiment) -> ExperimentEvidence:
    return ExperimentEvidence(replace(trial_of(experiment, ""), side="", bucket=0))


def simulated(seed: int, searches: int, users: int, lift: float) -> ExperimentEvidence:
    """Users who differ much, and search often, click with a chance that b raises by `lift`."""
    rng = np.random.default_rng(seed)
    evidence = evidence_of(SPLIT)
    habits = rng.beta(0.4, 0.6, users)
    trials = [trial_of(SPLIT, f"{seed} {user}") for user in range(users)]
    for user, chance in zip(rng.integers(users, size=searches).tolist(), rng.random(searches).tolist(), strict=True):
        clicks = chance < habits[user] + (lift if trials[user].side == "b" else 0.0)
        evidence.closed(RECORD, trials[user], {"w": 1.0} if clicks else {}, 0.05)
    return evidence


def test_a_better_variant_wins_and_costs_count() -> None:
    evidence = simulated(seed=1, searches=3_000, users=1_500, lift=0.2)
    assert evidence.decided == "b"
    assert SEARCHES_MIN * 2 <= evidence.decided_after < 3_000
    assert evidence.interval.low > 0
    assert evidence.interval.estimate == pytest.approx(0.2, abs=0.06)
    assert evidence.further == 0
    worse = simulated(seed=1, searches=3_000, users=1_500, lift=-0.2)
    assert worse.decided == "a"
    dear = evidence_of(SPLIT)
    for user in range(2_000):
        trial = trial_of(SPLIT, str(user))
        dear.closed(RECORD, trial, {"w": 1.0} if user % 2 else {}, 0.3 if trial.side == "b" else 0.1)
    assert dear.decided == "a"
    assert dear.costs[1] / dear.searches[1].sum() == pytest.approx(0.3)


def test_equal_variants_stay_undecided_though_users_differ() -> None:
    runs = 50
    evidences = [simulated(seed, searches=1_200, users=60, lift=0.0) for seed in range(runs)]
    assert sum(bool(evidence.decided) for evidence in evidences) / runs <= ALPHA
    # Taking the searches of one user for independent ones would mistake users for variants.
    mistaken = 0
    for evidence in evidences:
        counts, sums = evidence.searches.sum(axis=1), evidence.net.sum(axis=1) + 0.05 * evidence.searches.sum(axis=1)
        means = sums / counts
        error = math.sqrt(float((means * (1 - means) / counts).sum()))
        mistaken += mean_interval(means[1] - means[0], error, evidence.count).sign != 0
    assert mistaken / runs > 2 * ALPHA


def test_the_standard_error_by_hand() -> None:
    evidence = evidence_of(SPLIT)
    # a: in each of 20 buckets 10 searches; half of the buckets earn 1 each time, half nothing. b: all earn 1/2.
    evidence.searches[:, :BUCKETS_MIN] = 10
    evidence.net[0, : BUCKETS_MIN // 2] = 10
    evidence.net[1, :BUCKETS_MIN] = 5
    # Mean 1/2; residuals 5 or -5 in 20 buckets: variance 20 * 25 / 200^2 * 20 / 19 = 0.0131579.
    interval = evidence.interval
    assert interval.estimate == 0
    assert interval == mean_interval(0.0, math.sqrt(20 * 25 / 200**2 * 20 / 19), 400)


def test_too_few_searches_or_users_decide_nothing() -> None:
    few = simulated(seed=2, searches=4_000, users=10, lift=0.9)
    assert few.decided == ""
    assert few.interval.high == math.inf
    assert few.further is None
    assert simulated(seed=2, searches=150, users=150, lift=0.9).decided == ""


def test_who_has_more_documents_acted_on_wins_a_page() -> None:
    evidence = evidence_of(INTERLEAVED)
    trial = trial_of(INTERLEAVED, "ann")
    pages = (
        ((1, 2, 2, 1), {"x": 0.6}, [0, 1]),
        ((1, 2, 2, 1), {"w": 1.0, "x": 0.6, "y": 0.5}, [0, 2]),
        ((1, 2, 2, 1), {"w": 1.0, "x": 0.6}, [0, 2]),  # as many of both
        ((0, 1, 2, 1), {"w": 1.0}, [0, 2]),  # nobody's
        ((0, 1), {"z": 0.4}, [0, 2]),  # on a later page
        ((2, 1, 1, 2), {"x": 0.6}, [1, 2]),
        ((2, 1, 1, 2), {}, [1, 2]),
    )
    for teams, rewards, wins in pages:
        evidence.closed(RECORD, trial.with_teams(teams), rewards, 0.1)
        assert evidence.wins == wins
    assert evidence.count == 7
    assert evidence.interval.estimate == pytest.approx(1 / 3)


def test_the_preferred_ranking_wins_and_a_state_is_worth_as_much() -> None:
    rng = np.random.default_rng(5)
    evidence = restored = evidence_of(INTERLEAVED)
    for page in range(1_500):
        trial = trial_of(INTERLEAVED, str(page)).with_teams((1, 2, 2, 1) if rng.random() < 0.5 else (2, 1, 1, 2))
        wanted = 2 if rng.random() < 0.65 else 1
        acted = rng.random() < 0.4
        rewards = {
            document: 1.0 for document, team in zip("wxyz", trial.teams, strict=True) if acted and team == wanted
        }
        evidence.closed(RECORD, trial, rewards, 0.1)
        if page == 700:
            restored = ExperimentEvidence.from_state(json.loads(json.dumps(evidence.to_state())))
        elif page > 700:
            restored.closed(RECORD, trial, rewards, 0.1)
    assert evidence.decided == "b"
    assert evidence.decided_after < 1_500
    assert restored.to_state() == evidence.to_state()


def test_further_pages_are_told_in_searches() -> None:
    evidence = evidence_of(INTERLEAVED)
    trial = trial_of(INTERLEAVED, "ann").with_teams((1, 2))
    for page in range(400):
        evidence.closed(RECORD, trial, {} if page % 4 else {"x" if page % 20 < 12 else "w": 1.0}, 0.1)
    assert evidence.wins == [40, 60]
    assert evidence.decided == ""
    assert evidence.further is not None
    assert evidence.further % 4 == 0
    assert evidence.further > 0


def test_equal_costs_and_no_reward_decide_nothing() -> None:
    evidence = evidence_of(SPLIT)
    for number in range(1_000):
        evidence.closed(decision_record(), trial_of(SPLIT, f"user {number}"), {}, 0.03)
    assert evidence.decided == ""
    assert evidence.interval.high == math.inf

"""Estimators on inputs small enough to reckon by hand."""

import numpy as np
import pytest

from honeyguide.errors import FailedPrecondition, InvalidArgument
from honeyguide_orchestrator.off_policy import reward_model
from honeyguide_orchestrator.off_policy.empirical_likelihood import mean_interval, ratio_interval
from honeyguide_orchestrator.off_policy.estimators import estimate
from honeyguide_orchestrator.off_policy.model_based import direct_method
from honeyguide_orchestrator.off_policy.rounds import Estimate, Predictions, Rounds
from honeyguide_orchestrator.off_policy.support import by_weights, known

PREDICTIONS = Predictions(
    logged=np.array([0.5, 0.5, 0.2, 0.2]),
    target=np.array([0.4, 0.4, 0.3, 0.3]),
    influence=np.array([0.45, 0.35, 0.3, 0.3]),
    influence_min=0.0,
    influence_max=1.0,
)
ROUNDS = Rounds(
    weights=np.array([2.0, 0.5, 0.0, 1.0]),
    rewards=np.array([1.0, 1.0, 1.0, 0.0]),
    earned=np.array([1.0, 1.0, 1.0, 0.0]),
    reward_min=0.0,
    reward_max=1.0,
    predictions=PREDICTIONS,
)


def by_name(rounds: Rounds = ROUNDS, clip: float | None = None) -> dict[str, Estimate]:
    return {one.estimator: one for one in estimate(rounds, clip=clip)}


def test_values_are_those_of_the_formulas() -> None:
    told = by_name()
    assert told["ips"].value == pytest.approx((2 + 0.5) / 4)
    assert told["snips"].value == pytest.approx(2.5 / 3.5)
    assert told["dm"].value == pytest.approx((0.45 + 0.35 + 0.3 + 0.3) / 4)
    residuals = 2 * 0.5 + 0.5 * 0.5 + 0 + 1 * -0.2
    assert told["dr"].value == pytest.approx((0.4 + 0.4 + 0.3 + 0.3 + residuals) / 4)


def test_gains_are_over_what_the_logging_policy_earned() -> None:
    for one in by_name().values():
        assert one.gain == pytest.approx(one.value - 0.75)
        assert one.gain_low < one.gain < one.gain_high


def test_diagnostics() -> None:
    told = by_name()
    assert told["ips"].effective == pytest.approx(3.5**2 / (4 + 0.25 + 1))
    assert told["ips"].weight_max == 2.0
    assert told["dm"].effective == 4
    assert told["ips"].rounds == 4


def test_clipping_cuts_weights_and_says_how_many() -> None:
    told = by_name(clip=1.0)
    assert told["ips"].value == pytest.approx((1 + 0.5) / 4)
    assert told["snips"].value == pytest.approx(1.5 / 2.5)
    assert told["ips"].clipped == 0.25
    assert told["ips"].weight_max == 1.0
    assert told["dm"].value == by_name()["dm"].value


def test_weights_of_one_give_back_what_was_earned() -> None:
    rewards = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    told = by_name(Rounds(np.ones(8), rewards, rewards, 0.0, 1.0))
    assert set(told) == {"ips", "snips"}
    for one in told.values():
        assert one.value == 0.375
        assert one.gain == pytest.approx(0.0)
        assert one.gain_low <= 0.0 <= one.gain_high
        assert one.effective == 8


def test_a_right_model_makes_doubly_robust_right_whatever_the_weights() -> None:
    rewards = np.array([1.0, 0.0, 0.5, 0.25])
    model = Predictions(rewards, np.array([0.7, 0.1, 0.3, 0.1]), np.full(4, 0.3), 0.0, 1.0)
    for weights in ([1.0, 2.0, 3.0, 4.0], [9.0, 0.0, 0.0, 0.0]):
        told = by_name(Rounds(np.array(weights), rewards, rewards, 0.0, 1.0, model))
        assert told["dr"].value == pytest.approx(0.3)


def test_shrinkage_goes_to_the_model_where_the_interval_allows_and_no_further() -> None:
    rng = np.random.default_rng(0)
    n = 2_000
    heavy = np.where(rng.random(n) < 0.01, 100.0, 0.0)
    rewards = (rng.random(n) < 0.3).astype(float)
    for predicted, exact in ((0.3, True), (0.9, False)):
        model = Predictions(np.full(n, predicted), np.full(n, predicted), np.full(n, predicted), 0.0, 1.0)
        told = by_name(Rounds(heavy, rewards, rewards, 0.0, 1.0, model))
        assert (told["drs"].low, told["drs"].high) == (told["dr"].low, told["dr"].high)
        assert told["drs"].gain_low <= told["drs"].gain <= told["drs"].gain_high
        if exact:  # the few heavy rounds can't refute it
            assert told["drs"].value == pytest.approx(predicted, abs=0.01)
        else:
            assert told["dr"].high < predicted
            assert told["dr"].value <= told["drs"].value <= told["dr"].high


def test_shrinkage_beats_what_lies_at_its_ends() -> None:
    """Root mean square errors over samples: close to doubly robust for a wrong model, to the direct one for a right."""
    errors: dict[tuple[str, float], list[float]] = {}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = 1_000
        weights = np.where(rng.random(n) < 0.02, 50.0, 0.0)
        rewards = (rng.random(n) < 0.4).astype(float)
        for predicted in (0.4, 1.0):
            model = Predictions(np.full(n, predicted), np.full(n, predicted), np.full(n, predicted), 0.0, 1.0)
            told = by_name(Rounds(weights, rewards, rewards, 0.0, 1.0, model))
            for name in ("dm", "dr", "drs"):
                errors.setdefault((name, predicted), []).append(told[name].value - 0.4)
    rms = {key: float(np.sqrt(np.mean(np.square(values)))) for key, values in errors.items()}
    assert rms["drs", 0.4] < 0.4 * rms["dr", 0.4]
    assert rms["drs", 1.0] < 0.5 * rms["dm", 1.0]


def test_nothing_supported_is_not_known() -> None:
    rewards = np.array([1.0, 0.0, 1.0])
    told = by_name(Rounds(np.zeros(3), rewards, rewards, 0.0, 1.0))
    assert (told["snips"].low, told["snips"].high) == (0.0, 1.0)
    assert told["ips"].effective == 0


@pytest.mark.parametrize(("names", "clip", "field"), [(("ipw",), None, "estimator"), (("ips",), 0.0, "clip")])
def test_what_cannot_be_asked(names: tuple[str, ...], clip: float | None, field: str) -> None:
    with pytest.raises(InvalidArgument, match=field):
        estimate(ROUNDS, names, clip)


def test_no_rounds_and_no_model() -> None:
    empty = np.empty(0)
    with pytest.raises(InvalidArgument, match="at least 1"):
        estimate(Rounds(empty, empty, empty, 0.0, 1.0))
    with pytest.raises(FailedPrecondition):
        direct_method(Rounds(np.ones(2), np.ones(2), np.ones(2), 0.0, 1.0))


def test_interval_of_shares_is_the_likelihood_ratios_own() -> None:
    # 3 of 10: v with 2 (3 log(.3 / v) + 7 log(.7 / (1 - v))) = 3.8415, from tables of that equation.
    low, high = mean_interval(np.array([1.0] * 3 + [0.0] * 7), 0.0, 1.0)
    for edge in (low, high):
        ratio = 2 * (3 * np.log(0.3 / edge) + 7 * np.log(0.7 / (1 - edge)))
        assert ratio == pytest.approx(3.8415, abs=1e-3)
    assert low < 0.3 < high


def test_interval_without_a_single_success_still_reaches_up() -> None:
    low, high = mean_interval(np.zeros(1_000), 0.0, 1.0)
    assert low == 0.0
    # n log(1 - v) = -3.8415 / 2
    assert high == pytest.approx(1 - np.exp(-3.8415 / 2_000), rel=1e-3)
    assert mean_interval(np.zeros(1_000), 0.0, 20.0)[1] > 10 * high


def test_ratio_interval_does_not_depend_on_the_scale_of_weights() -> None:
    rng = np.random.default_rng(0)
    weights, rewards = rng.exponential(size=300), (rng.random(300) < 0.2).astype(float)
    told = []
    for scale in (1.0, 7.0):
        w = scale * weights
        corners = np.array([0.0, w.max()])
        told.append(ratio_interval(w * rewards, w, corners, np.full(2, w.max())))
    assert told[0] == pytest.approx(told[1])
    value = float(weights @ rewards / weights.sum())
    assert told[0][0] < value < told[0][1]


def test_support_in_words() -> None:
    assert known(np.array([1.0, 1.0])).statement == "the log covers all that it would do"
    half = known(np.array([0.0, 1.0]))
    assert half.share == 0.5
    assert half.statement == "the log never does 50% of what it would do"
    rng = np.random.default_rng(1)
    there, away = by_weights(rng.exponential(size=2_000)), by_weights(0.4 * rng.exponential(size=2_000))
    assert there.statement == "nothing says that the log lacks what it would do"
    assert away.statement.startswith("the log seems never to do 5")
    assert away.low < 0.4 < away.high


def test_ridge_direct_method_of_two_actions() -> None:
    """Two actions tried twice each, mean rewards .5 and 1; penalty 0 (nearly): the target's mean is its mixture's."""
    taken = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    rewards = np.array([0.0, 1.0, 1.0, 1.0])
    target = np.tile([0.2, 0.8], (4, 1))
    told = reward_model.fit(taken, target, rewards, (0.0, 1.0), np.random.default_rng(0), penalty=1e-9)
    assert told.influence.mean() == pytest.approx(0.2 * 0.5 + 0.8 * 1.0)
    # A round of the first action sways the estimate by .2 * 4 / 2 of its residual (-.5 or .5), of the second by none.
    assert told.influence == pytest.approx(np.array([0.9 - 0.2, 0.9 + 0.2, 0.9, 0.9]))
    assert told.influence_min <= 0.7
    assert told.influence_max >= 1.1


def test_folds_never_predict_what_they_have_seen() -> None:
    """With one-hot rows a held-out round is predicted by the others of its action alone."""
    rng = np.random.default_rng(0)
    taken = np.ones((10, 1))
    rewards = np.zeros(10)
    rewards[3] = 1.0
    told = reward_model.fit(taken, taken, rewards, (0.0, 1.0), rng, penalty=1e-9)
    assert told.logged[3] == pytest.approx(0.0, abs=1e-9)
    assert told.logged.max() == pytest.approx(1 / 8)


def test_an_offset_is_what_the_model_begins_with() -> None:
    taken = np.ones((6, 1))
    rewards = np.full(6, 0.5)
    told = reward_model.fit(
        taken, taken, rewards, (0.0, 1.0), np.random.default_rng(0), taken_offset=0.5, target_offset=0.25
    )
    assert told.logged == pytest.approx(np.full(6, 0.5))
    assert told.target == pytest.approx(np.full(6, 0.25))

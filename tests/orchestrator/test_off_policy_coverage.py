"""Coverage of the intervals, counted on simulated logs whose truth is known."""

import numpy as np
import pytest

from honeyguide_orchestrator.off_policy import reward_model
from honeyguide_orchestrator.off_policy.estimators import estimate
from honeyguide_orchestrator.off_policy.rounds import Rounds

ACTIONS = 20
SAMPLES = 120
SHAPE = np.random.default_rng(5)
TARGET = np.exp(1.5 * SHAPE.standard_normal(ACTIONS))
TARGET /= TARGET.sum()
LOGGING = np.full(ACTIONS, 1 / ACTIONS)
CLICK_RATES = np.minimum(0.06 * np.exp(0.7 * SHAPE.standard_normal(ACTIONS)), 1.0)
TRUTH = float(TARGET @ CLICK_RATES)
GAIN = TRUTH - float(LOGGING @ CLICK_RATES)


def sample(rounds: int, seed: int) -> Rounds:
    rng = np.random.default_rng(seed)
    actions = rng.choice(ACTIONS, size=rounds, p=LOGGING)
    rewards = (rng.random(rounds) < CLICK_RATES[actions]).astype(float)
    one_hot = np.eye(ACTIONS)[actions]
    predictions = reward_model.fit(one_hot, np.tile(TARGET, (rounds, 1)), rewards, (0.0, 1.0), rng)
    return Rounds((TARGET / LOGGING)[actions], rewards, rewards, 0.0, 1.0, predictions)


@pytest.mark.parametrize("rounds", [300, 2_000])
def test_intervals_cover_the_truth_as_often_as_they_say(rounds: int) -> None:
    covered: dict[str, list[bool]] = {}
    gained: dict[str, list[bool]] = {}
    for seed in range(SAMPLES):
        for one in estimate(sample(rounds, seed)):
            covered.setdefault(one.estimator, []).append(one.low <= TRUTH <= one.high)
            gained.setdefault(one.estimator, []).append(one.gain_low <= GAIN <= one.gain_high)
    for name, counts in (*covered.items(), *gained.items()):
        # 95% of 120 samples, less three standard errors; the direct method's model is right here.
        assert np.mean(counts) >= 0.95 - 3 * (0.05 * 0.95 / SAMPLES) ** 0.5, (name, np.mean(counts))


def test_estimators_are_right_on_average() -> None:
    values: dict[str, list[float]] = {}
    for seed in range(SAMPLES):
        for one in estimate(sample(1_000, seed)):
            values.setdefault(one.estimator, []).append(one.value)
    for name, told in values.items():
        error = float(np.std(told)) / SAMPLES**0.5
        # The ridge penalty of one round shrinks the direct method a little.
        assert np.mean(told) == pytest.approx(TRUTH, abs=3 * error + (0.004 if name == "dm" else 0.0005)), name

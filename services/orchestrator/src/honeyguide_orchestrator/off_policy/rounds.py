"""A logged sample as estimators see it, and what they tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.off_policy.empirical_likelihood import mean_interval

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a reward model q predicts, and how far each round's reward sways it.

    logged: [n], q(x, a) of the action taken. target: [n], the sum of pi(a | x) q(x, a) over the target's actions. Both
    of a model that has not seen the round (cross-fitting: Chernozhukov et al. 2018, section 3), so that doubly robust
    estimates do not correct a model with the very noise it has learned.
    influence: [n], values whose mean is the direct method's estimate and whose spread is its sampling error: what the
    model, fitted on all rounds, predicts of the target plus the sway of the round's own residual.
    influence_min, influence_max: what such a value could be at most extremes.
    """

    logged: Doubles
    target: Doubles
    influence: Doubles
    influence_min: float
    influence_max: float


@dataclass(frozen=True, slots=True)
class Rounds:
    """n independent logged rounds, weighed for a target policy pi that is not the logging policy p.

    weights: [n], pi(a | x) / p(a | x) of the action taken, 0 or above. rewards: [n], in [reward_min, reward_max],
    earned by that action (where an action tells what a part of it would have earned: by the part the target takes).
    earned: [n], what the logging policy itself earned. predictions: None = no reward model, then there is neither a
    direct nor a doubly robust estimate.
    """

    weights: Doubles
    rewards: Doubles
    earned: Doubles
    reward_min: float
    reward_max: float
    predictions: Predictions | None = None

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def effective(self) -> float:
        """Effective sample size, (sum of w)^2 / sum of w^2 (Kish 1965): as many rounds of the target's own would do."""
        squares = float(self.weights @ self.weights)
        return float(self.weights.sum()) ** 2 / squares if squares else 0.0

    @property
    def weight_max(self) -> float:
        """The largest weight."""
        return float(self.weights.max(initial=0.0))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one estimator makes of a target policy.

    value: expected reward a round; low, high: its 95% interval. gain: value less what the logging policy earned on the
    same rounds, with its own 95% interval (narrower than the difference of two: both saw the same luck).
    rounds: n. effective: see `Rounds.effective`; of the direct method, which weighs nothing, n. weight_max: after
    clipping. clipped: share of the rounds whose weight was cut.
    """

    estimator: str
    value: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    rounds: int
    effective: float
    weight_max: float
    clipped: float = 0.0


def estimate_of(
    estimator: str,
    rounds: Rounds,
    values: Doubles,
    interval: tuple[float, float],
    bounds: tuple[float, float],
    *,
    weighted: bool = True,
    clipped: float = 0.0,
) -> Estimate:
    """The estimate that is the mean of `values` [n], each within `bounds`, with the gain over the logging policy."""
    gains = values - rounds.earned
    gain_low, gain_high = mean_interval(gains, bounds[0] - rounds.reward_max, bounds[1] - rounds.reward_min)
    return Estimate(
        estimator=estimator,
        value=float(values.mean()),
        low=interval[0],
        high=interval[1],
        gain=float(gains.mean()),
        gain_low=gain_low,
        gain_high=gain_high,
        rounds=len(rounds),
        effective=rounds.effective if weighted else float(len(rounds)),
        weight_max=rounds.weight_max if weighted else 1.0,
        clipped=clipped,
    )

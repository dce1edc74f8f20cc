"""Estimates that use a reward model q: the direct method, doubly robust, and what lies between.

Direct method: what q predicts of the target's actions. Small variance, needs no propensity and no support, and is as
wrong as the model is. Doubly robust (Cassel, Sarndal and Wretman 1976; Dudik, Langford and Li 2011, "Doubly Robust
Policy Evaluation and Learning"): the prediction plus the weighted residuals,

    mean of q(x, pi) + w (r - q(x, a)),

right in expectation if either the propensities or the model are, and of smaller variance than inverse propensity scores
the better the model is.

With shrinkage (Su, Dimakopoulou, Krishnamurthy and Dudik 2020, "Doubly Robust Off-Policy Evaluation with Shrinkage"; of
their two the pessimistic one): weights are cut at a limit. Less variance, and a bias towards the model. The limit is
found by Lepski's principle, as in Su, Srinath and Krishnamurthy (2020, "Adaptive Estimator Selection for Off-Policy
Evaluation"): it is lowered as long as the estimate stays within the intervals of all higher ones, down to 1, where no
round counts for more than itself and nearly all is the model's where the target's rounds are few and heavy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from honeyguide.errors import FailedPrecondition
from honeyguide_orchestrator.off_policy.empirical_likelihood import mean_interval
from honeyguide_orchestrator.off_policy.rounds import Doubles, Estimate, Predictions, Rounds, estimate_of


def direct_method(rounds: Rounds, clipped: float = 0.0) -> Estimate:
    """The model's prediction. Its interval tells the sampling error, not how wrong the model may be."""
    q = _predictions(rounds)
    bounds = (q.influence_min, q.influence_max)
    interval = mean_interval(q.influence, *bounds)
    return estimate_of("dm", rounds, q.influence, interval, bounds, weighted=False)


def doubly_robust(rounds: Rounds, clipped: float = 0.0) -> Estimate:
    """The model's prediction, corrected by the weighted residuals."""
    values, bounds = _corrected(rounds, rounds.weights, rounds.weight_max)
    return estimate_of("dr", rounds, values, mean_interval(values, *bounds), bounds, clipped=clipped)


def shrunk(rounds: Rounds, clipped: float = 0.0) -> Estimate:
    """Doubly robust with weights cut as low as the intervals of its gain allow.

    Its own intervals are those of doubly robust: how wrong the model may be only whole weights tell.
    """
    full = doubly_robust(rounds, clipped)
    best, low, high = full, full.gain_low, full.gain_high
    limit = rounds.weight_max / 2
    while limit > 0.5:
        largest = max(limit, 1.0)
        values, bounds = _corrected(rounds, np.minimum(rounds.weights, largest), largest)
        one = estimate_of("drs", rounds, values, (full.low, full.high), bounds, clipped=clipped)
        if not low <= one.gain <= high:
            break
        best, low, high = one, max(low, one.gain_low), min(high, one.gain_high)
        limit /= 2
    return replace(best, estimator="drs", gain_low=full.gain_low, gain_high=full.gain_high)


def _corrected(rounds: Rounds, weights: Doubles, largest: float) -> tuple[Doubles, tuple[float, float]]:
    """What the model predicts of each round, corrected by its residual; and what that could be at most extremes."""
    q = _predictions(rounds)
    bounds = (
        float(q.target.min()) + min(0.0, largest * (rounds.reward_min - float(q.logged.max()))),
        float(q.target.max()) + max(0.0, largest * (rounds.reward_max - float(q.logged.min()))),
    )
    return q.target + weights * (rounds.rewards - q.logged), bounds


def _predictions(rounds: Rounds) -> Predictions:
    if rounds.predictions is None:
        raise FailedPrecondition("a direct or doubly robust estimate needs a reward model")
    return rounds.predictions

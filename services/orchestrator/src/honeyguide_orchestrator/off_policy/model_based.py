"""Estimates that use a reward model q: the direct method and doubly robust.

Direct method: what q predicts of the target's actions. Small variance, needs no propensity and no support, and is as
wrong as the model is. Doubly robust (Cassel, Sarndal and Wretman 1976; Dudik, Langford and Li 2011, "Doubly Robust
Policy Evaluation and Learning"): the prediction plus the weighted residuals,

    mean of q(x, pi) + w (r - q(x, a)),

right in expectation if either the propensities or the model are, and of smaller variance than inverse propensity scores
the better the model is.
"""

from __future__ import annotations

from honeyguide.errors import FailedPrecondition
from honeyguide_orchestrator.off_policy.empirical_likelihood import mean_interval
from honeyguide_orchestrator.off_policy.rounds import Estimate, Predictions, Rounds, estimate_of


def direct_method(rounds: Rounds, clipped: float = 0.0) -> Estimate:
    """The model's prediction. Its interval tells the sampling error, not how wrong the model may be."""
    q = _predictions(rounds)
    bounds = (q.influence_min, q.influence_max)
    interval = mean_interval(q.influence, *bounds)
    return estimate_of("dm", rounds, q.influence, interval, bounds, weighted=False)


def doubly_robust(rounds: Rounds, clipped: float = 0.0) -> Estimate:
    """The model's prediction, corrected by the weighted residuals."""
    q = _predictions(rounds)
    values = q.target + rounds.weights * (rounds.rewards - q.logged)
    largest = rounds.weight_max
    bounds = (
        float(q.target.min()) + min(0.0, largest * (rounds.reward_min - float(q.logged.max()))),
        float(q.target.max()) + max(0.0, largest * (rounds.reward_max - float(q.logged.min()))),
    )
    return estimate_of("dr", rounds, values, mean_interval(values, *bounds), bounds, clipped=clipped)


def _predictions(rounds: Rounds) -> Predictions:
    if rounds.predictions is None:
        raise FailedPrecondition("a direct or doubly robust estimate needs a reward model")
    return rounds.predictions

"""Inverse propensity scores: weigh what was earned by how much likelier the target would have done it.

Plain (Horvitz and Thompson 1952): mean of w r. Unbiased where the logging policy may do all that the target may do.
Self-normalised (Hajek 1971; Swaminathan and Joachims 2015, "The Self-Normalized Estimator for Counterfactual
Learning"): sum of w r / sum of w. Biased by order 1/n, indifferent to a constant added to all rewards, never outside
their range, and mostly of smaller variance.
"""

from __future__ import annotations

import numpy as np

from honeyguide_orchestrator.off_policy.empirical_likelihood import mean_interval, ratio_interval
from honeyguide_orchestrator.off_policy.rounds import Estimate, Rounds, estimate_of


def inverse_propensity(rounds: Rounds, clipped: float = 0.0) -> Estimate:
    """The Horvitz-Thompson estimate."""
    largest = rounds.weight_max
    bounds = (min(0.0, largest * rounds.reward_min), max(0.0, largest * rounds.reward_max))
    values = rounds.weights * rounds.rewards
    return estimate_of("ips", rounds, values, mean_interval(values, *bounds), bounds, clipped=clipped)


def self_normalised(rounds: Rounds, clipped: float = 0.0) -> Estimate:
    """The self-normalised estimate; without any weight above 0 it is not known, and the interval all that is possible.

    Its gain goes by the influence of each round, w (r - v) / mean w around v (the delta method).
    """
    total = float(rounds.weights.sum())
    largest = rounds.weight_max
    if total <= 0:
        nothing = np.full(len(rounds), (rounds.reward_min + rounds.reward_max) / 2)
        whole = (rounds.reward_min, rounds.reward_max)
        return estimate_of("snips", rounds, nothing, whole, whole, clipped=clipped)
    value = float(rounds.weights @ rounds.rewards) / total
    interval = ratio_interval(
        rounds.weights * rounds.rewards,
        rounds.weights,
        np.array([largest * rounds.reward_min, largest * rounds.reward_max]),
        np.array([largest, largest]),
    )
    scale = len(rounds) / total
    values = value + scale * rounds.weights * (rounds.rewards - value)
    sway = scale * largest
    bounds = (
        value + min(0.0, sway * (rounds.reward_min - value)),
        value + max(0.0, sway * (rounds.reward_max - value)),
    )
    return estimate_of("snips", rounds, values, interval, bounds, clipped=clipped)

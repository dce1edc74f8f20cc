"""The reward model of direct and doubly robust estimates: ridge regression, whose every prediction is a weighted sum.

With design rows f (of the action taken) and g (of what the target takes, averaged over its actions), and penalty c,
theta = (F'F + c I)^-1 F'r. The direct method's estimate, mean g' theta, is linear in the rewards, so each round sways
it by a known amount, s = n mean(g)' (F'F + c I)^-1 f: a weight like that of inverse propensity scores, learned instead
of known, from which its sampling error follows without any resampling (the sandwich of White 1980). What follows from
no sample is how wrong the model is where nothing was tried.
"""

from __future__ import annotations

import numpy as np

from honeyguide_orchestrator.off_policy.rounds import Doubles, Predictions

PENALTY = 1.0
"""Ridge penalty: as much as one round says against each coefficient."""

FOLDS = 5


def fit(
    taken: Doubles,
    target: Doubles,
    rewards: Doubles,
    reward_range: tuple[float, float],
    rng: np.random.Generator,
    *,
    compared: Doubles | None = None,
    taken_offset: Doubles | float = 0.0,
    target_offset: Doubles | float = 0.0,
    compared_offset: Doubles | float = 0.0,
    penalty: float = PENALTY,
) -> Predictions:
    """Predictions of a ridge regression.

    Args:
        taken: [n, k], features of context and action taken.
        target: [n, k], the same of the target's actions, averaged by its probabilities.
        rewards: [n].
        reward_range: least and largest reward possible.
        rng: deals rounds into folds.
        taken_offset: [n], what is known of the reward beforehand; the regression learns the rest.
        target_offset: [n], the same of the target.
        compared: [n, k], features of what `Rounds.rewards` were earned by, where that is not the action taken.
        compared_offset: [n], the same of that; used with `compared` alone.
        penalty: above 0.
    """
    left = rewards - taken_offset
    if compared is None:
        compared, compared_offset = taken, taken_offset
    logged, aimed = np.empty(len(rewards)), np.empty(len(rewards))
    fold_of = rng.permutation(len(rewards)) % FOLDS
    for fold in range(FOLDS):
        held = fold_of == fold
        theta = solve(taken[~held], left[~held], penalty)
        logged[held] = compared[held] @ theta
        aimed[held] = target[held] @ theta
    inverse = np.linalg.inv(taken.T @ taken + penalty * np.eye(taken.shape[1]))
    theta = inverse @ (taken.T @ left)
    residuals = left - taken @ theta
    sway = len(rewards) * taken @ (inverse @ target.mean(axis=0))
    predicted = target @ theta + target_offset
    influence = predicted + sway * residuals - float((sway * residuals).mean())
    reach = float(np.abs(sway).max()) * (reward_range[1] - reward_range[0])
    return Predictions(
        logged=logged + compared_offset,
        target=aimed + target_offset,
        influence=influence,
        influence_min=min(float(influence.min()), float(predicted.min()) - reach),
        influence_max=max(float(influence.max()), float(predicted.max()) + reach),
    )


def solve(features: Doubles, rewards: Doubles, penalty: float) -> Doubles:
    """Coefficients of a ridge regression."""
    gram = features.T @ features + penalty * np.eye(features.shape[1])
    return np.asarray(np.linalg.solve(gram, features.T @ rewards), np.float64)

"""The estimators by name, and clipping, which all that weigh share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.off_policy.inverse_propensity import inverse_propensity, self_normalised
from honeyguide_orchestrator.off_policy.model_based import direct_method, doubly_robust, shrunk
from honeyguide_orchestrator.off_policy.rounds import Estimate, Rounds

ESTIMATORS: Mapping[str, Callable[[Rounds, float], Estimate]] = {
    "ips": inverse_propensity,
    "snips": self_normalised,
    "dm": direct_method,
    "dr": doubly_robust,
    "drs": shrunk,
}
"""ips: inverse propensity scores. snips: self-normalised. dm: direct method. dr: doubly robust; drs: with shrinkage."""

NEED_A_MODEL = ("dm", "dr", "drs")


def estimate(rounds: Rounds, names: Sequence[str] = tuple(ESTIMATORS), clip: float | None = None) -> list[Estimate]:
    """Estimates by name, those that need a reward model only where there is one.

    Args:
        rounds: at least one.
        names: of `ESTIMATORS`.
        clip: weights are cut there (Ionides 2008, "Truncated Importance Sampling"): less variance, and a bias towards
            less, where rewards are 0 or above. None = never.

    Raises:
        InvalidArgument: no rounds, an unknown name, or a clip of 0 or below.
    """
    if not len(rounds):
        raise InvalidArgument("log", "holds no round that can be used; at least 1 is needed")
    for name in names:
        if name not in ESTIMATORS:
            raise InvalidArgument("estimator", f"{name!r} is not one of {', '.join(ESTIMATORS)}")
    clipped = 0.0
    if clip is not None:
        if not clip > 0:
            raise InvalidArgument("clip", f"{clip} wanted; above 0 is allowed")
        clipped = float((rounds.weights > clip).mean())
        rounds = replace(rounds, weights=np.minimum(rounds.weights, clip))
    return [
        ESTIMATORS[name](rounds, clipped)
        for name in names
        if rounds.predictions is not None or name not in NEED_A_MODEL
    ]

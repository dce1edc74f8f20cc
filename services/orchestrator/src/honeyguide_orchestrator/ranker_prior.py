"""What rankers believe before any feedback: a static score fusion, by the kinds of features."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

FEATURES_KEPT, NAMES_KEPT = 16_384, 4_096
"""Features, and sets of them, whose prior weights are kept."""

PRIOR_WEIGHTS = {
    "agreement": 1.0,
    "best_rank": 0.5,
    "popularity": 1.0,
    "q2e": 2.0,
    "q2e_actions": 1.0,
    "recency": 0.3,
    "expected": 2.0,
    "q2e_short": 2.5,
    "q2e_long": 2.5,
    "actions_day": 0.3,
    "q2e_latest": 0.5,
    "q2e_silent": -2.5,
    "called": 3.0,
    "q2e_passed_over": -2.0,
    "named": 2.0,
    "type_meant": 0.5,
    "type_affinity": 1.0,
}
"""Weights of features that belong to no strategy, before feedback."""

PRIOR_STRATEGY_WEIGHTS = {"reciprocal_rank": 0.5, "top": 0.2, "score": 1.3}
"""Weights of every strategy's features before feedback: a score fusion that leans on the top of each list."""

PRIOR_SHARES = {
    "lexical.popular": 0.5,
    "lexical.fuzzy": 0.5,
    "memory.near": 0.2,
    "memory.popular": 0.1,
    "memory.fresh": 0.1,
}
"""How much of those weights a strategy has whose rank says less of the query than the others' do: it tells again what
full text tells, or what `expected` tells (what was wanted for near queries), sees names only, or does not look at the
query. Weak lists poison a fusion."""


@lru_cache(maxsize=FEATURES_KEPT)
def prior_weight(name: str) -> float:
    """Weight of a feature before any feedback."""
    strategy, _, feature = name.rpartition(":")
    if not strategy:
        return PRIOR_WEIGHTS.get(name, 0.0)
    return PRIOR_SHARES.get(strategy, 1.0) * PRIOR_STRATEGY_WEIGHTS.get(feature, 0.0)


def weights_of(names: tuple[str, ...], learned: Mapping[str, float]) -> Floats:
    """Learned weights of features, or their prior, [len(names)]."""
    return np.array(list(map(learned.get, names, _prior_weights(names))), np.float32)


@lru_cache(maxsize=NAMES_KEPT)
def _prior_weights(names: tuple[str, ...]) -> tuple[float, ...]:
    return tuple(map(prior_weight, names))


def weight_of(name: str, learned: Mapping[str, float]) -> float:
    """Learned weight of a feature, or its prior."""
    weight = learned.get(name)
    return prior_weight(name) if weight is None else weight

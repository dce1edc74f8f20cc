import math

import numpy as np
import pytest

from honeyguide_orchestrator.candidate_features import feature_names
from honeyguide_orchestrator.lift import lifts

ANSWERED = ("lexical.bm25", "vector.dense")
NAMES = feature_names(ANSWERED)
# The second document stands first in both lists but for the last one, which is dense's alone.
RANKS = np.array([[1, 0], [2, 1], [0, 2]], np.int16)


def features() -> np.ndarray:
    made = np.zeros((3, len(NAMES)), np.float32)
    for s, name in enumerate(ANSWERED):
        made[:, NAMES.index(f"{name}:top")] = np.where(RANKS[:, s] > 0, 1 / np.maximum(RANKS[:, s], 1), 0)
    made[:, NAMES.index("agreement")] = (RANKS > 0).mean(axis=1)
    made[:, NAMES.index("best_rank")] = [1, 1, 0.5]
    return made


def by_top(features: np.ndarray) -> np.ndarray:
    return features[:, [NAMES.index(f"{name}:top") for name in ANSWERED]].sum(axis=1)


def test_a_strategy_is_credited_for_what_its_agreement_changed() -> None:
    # With both: .5 + 1 = 1.5, first. Without dense: .5 behind 1. Without bm25: 1, first all the same.
    lifted = lifts(ANSWERED, features(), RANKS, row=1, weight=1.0, score=by_top)
    assert lifted["vector.dense"] == pytest.approx(1 - 1 / math.log2(3))
    assert lifted["lexical.bm25"] == pytest.approx(0.0)


def test_what_a_strategy_found_alone_is_no_lift() -> None:
    # The first document is bm25's alone: only dense, whose list pushes it down, has a lift there.
    lifted = lifts(ANSWERED, features(), RANKS, row=0, weight=0.5, score=by_top)
    assert lifted == {"vector.dense": pytest.approx(0.5 / math.log2(3) - 0.5)}


def test_one_list_alone_lifts_nothing() -> None:
    assert lifts(("a",), features(), RANKS[:, :1], 0, 1.0, by_top) == {}

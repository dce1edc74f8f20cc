"""What agreement is worth: by how much each strategy moved the wanted document, had another found it as well.

The lift of a strategy is the graded reward of the wanted document where it stands, less that of where it would stand
had the strategy not answered. It is computed from the decision's own record, ranker in the loop. Where nobody else
found the document the chain of `allocation_model` already credits the find; the lift here is of the other case, and
may be negative: a weak list pushes others' good finds down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.candidate_features import OF_QUERY_MEMORY, feature_names

Floats = npt.NDArray[np.float32]
Score = Callable[[Floats], Floats]
"""Scores candidates by their features, as the ranker that served does."""


def lifts(
    answered: Sequence[str], features: Floats, ranks: npt.NDArray[np.int16], row: int, weight: float, score: Score
) -> Mapping[str, float]:
    """The lift in [-1, 1] by strategy, of those without which the document in `row` would still be a candidate.

    Args:
        answered: strategies that answered.
        features: [N, K], of the best candidates, as `candidate_features` makes them.
        ranks: [N or more, len(answered)], their ranks in each list, 0 = not in it.
        row: of the wanted document.
        weight: what the action earns at the first position.
        score: scores candidates as the ranker does that serves.
    """
    rows = len(features)
    if row >= rows or len(answered) < 2:
        return {}
    ranks = ranks[:rows]
    found = ranks > 0
    names = feature_names(answered)
    memory = np.array([name.startswith("memory.") for name in answered])
    of_query = [i for i, name in enumerate(names) if name.startswith(OF_QUERY_MEMORY) and ":" not in name]
    with_all = _reward(score(features), row, weight, np.ones(rows, bool))
    lifted: dict[str, float] = {}
    for s, name in enumerate(answered):
        others = found.copy()
        others[:, s] = False
        if not others[row].any():
            continue
        without = features.copy()
        without[:, [i for i, one in enumerate(names) if one.startswith(f"{name}:")]] = 0.0
        without[:, names.index("agreement")] = others.sum(axis=1) / (len(answered) - 1)
        best = np.where(others, ranks, np.iinfo(np.int16).max).min(axis=1)
        without[:, names.index("best_rank")] = np.where(others.any(axis=1), 1.0 / best, 0.0)
        if memory[s]:  # what memory knows of a document comes with its lists only
            forgotten = ~(others & memory).any(axis=1)
            without[np.ix_(forgotten, of_query)] = 0.0
        lifted[name] = with_all - _reward(score(without), row, weight, np.asarray(others.any(axis=1)))
    return lifted


def _reward(scores: Floats, row: int, weight: float, there: npt.NDArray[np.bool_]) -> float:
    above = int((scores[there] > scores[row]).sum())
    return weight / math.log2(2 + above)

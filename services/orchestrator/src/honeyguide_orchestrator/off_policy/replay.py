"""What a logged search would have shown, had it asked for less or ranked otherwise.

A list cut to a smaller depth is the beginning of the logged one, and a strategy that is not asked leaves its column
empty; so for every allocation *contained* in the logged one (no strategy asked for more) the candidates are known, and
a document that was acted on gets the place that it would have had among them. This holds as long as strategies answer
independently of each other, which all do but the entities related to what others found (their list is taken as it was).

Scores move by what the ranker of now makes of the changed features: exactly for what the lists say of a candidate
(found, ranks, agreement), nearly for scores within a list cut in depth (their smallest is taken from the candidates
whose features are logged), and without what a memory list tells of a candidate where none is left that does.

What someone would have done is taken from what they did, by the position-based model (Richardson, Dominowska and Ragno
2007): people want the same document and look as far down as they would have anyway, so an action at position p tells of
examination(q) / examination(p) actions at position q (Joachims, Swaminathan and Schnabel 2017; Li, Abbasi-Yadkori,
Kveton, Muthukrishnan, Vinay and Wen 2018, "Offline Evaluation of Ranking Policies with Click Models", section 4).
Documents that were not on the pages looked at can't be judged, and count as not acted on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.candidate_features import GENERAL, PER_STRATEGY, best_rank
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.ranker import Ranker, RankerModel
from honeyguide_orchestrator.ranker_learner import looked_at

Floats = npt.NDArray[np.float32]
Examination = Callable[[int], float]
"""Probability that a position (from 1) is looked at, in (0, 1]."""

TOLD_BY_MEMORY_LISTS = ("q2e", "trend")
"""General features that come with a memory strategy's list; what else memory knows is told of every candidate."""

SCORE_MIN = 0.05
"""Normalised score of the last candidate of a list; see `candidate_features`."""

DECIMALS = 5
"""Scores as close as that are tied: the features' half precision and sums in another order must not decide."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a changed page would have earned: `reward` in [0, 1] where looked at, with that `weight` (1 = as likely)."""

    reward: float
    weight: float

    @property
    def earned(self) -> float:
        """Expected reward."""
        return self.reward * self.weight


NOTHING = Judgement(0.0, 1.0)


def shown_rows(record: DecisionRecord, position: int) -> int:
    """Rows on the pages up to the one with this position."""
    return -(-position // record.page_size) * record.page_size


def judge(
    record: DecisionRecord,
    rewards: Mapping[str, float],
    places: Mapping[str, int],
    examination: Examination = looked_at,
) -> Judgement:
    """What the documents acted on would have earned at other places (from 1, missing = not shown): the best of them.

    Args:
        record: what was shown.
        rewards: what was credited, by document.
        places: where the documents would stand.
        examination: see `Examination`.
    """
    best = NOTHING
    for document_id, reward in rewards.items():
        place = places.get(document_id)
        position = record.document_ids.index(document_id) + 1
        if place is None or place > shown_rows(record, position):
            continue
        full = reward * math.log2(1 + position)
        option = Judgement(full / math.log2(1 + place), examination(place) / examination(position))
        if option.earned > best.earned:
            best = option
    return best


def documents_within(record: DecisionRecord, depths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many documents are found by lists that are cut to each row of `depths` [K, A], in the order of `answered`."""
    found = (record.ranks > 0) & (record.ranks <= depths[:, None, :])
    counts: npt.NDArray[np.int64] = found.any(axis=2).sum(axis=1)
    return counts


def places_by_ranker(
    record: DecisionRecord, rewards: Mapping[str, float], ranker: Ranker, model: RankerModel
) -> dict[str, int]:
    """Where another ranker would have put the documents acted on, among the candidates whose features are logged.

    What filled the page stays where it was, below them.
    """
    rows = len(record.features)
    if not rows:
        return _filled(record, rewards)
    scores = ranker.scores(record.features, record.answered, model)
    return _places(record, rewards, scores, record.ranks[:rows] > 0) | _filled(record, rewards)


def places_by_allocation(
    record: DecisionRecord,
    rewards: Mapping[str, float],
    kept: Mapping[str, int],
    ranker: Ranker,
    model: RankerModel,
) -> dict[str, int]:
    """Where the documents acted on would have stood with lists cut to `kept` candidates a strategy (missing = none).

    With what filled the page it is filled again.
    """
    rows = len(record.features)
    if not rows:
        return _filled(record, rewards)
    depths = np.array([kept.get(name, 0) for name in record.answered], np.int64)
    found = (record.ranks[:rows] > 0) & (record.ranks[:rows] <= depths)
    features = _cut(record, found, depths > 0)
    moved = ranker.scores(features, record.answered, model) - ranker.scores(record.features, record.answered, model)
    return _places(record, rewards, record.scores[:rows] + moved, found) | _filled(record, rewards)


def _filled(record: DecisionRecord, rewards: Mapping[str, float]) -> dict[str, int]:
    """Places of those documents acted on with which the page was filled."""
    last = record.document_ids[record.decided :]
    return {id: place for place, id in enumerate(last, record.decided + 1) if id in rewards}


def _places(
    record: DecisionRecord, rewards: Mapping[str, float], scores: Floats, found: npt.NDArray[np.bool_]
) -> dict[str, int]:
    """Places from 1 among the candidates found [M, A]; ties in the order of first appearance, as when lists merge."""
    rows = np.flatnonzero(found.any(axis=1))
    first = found[rows].argmax(axis=1)
    rank = record.ranks[rows, first]
    order = rows[np.lexsort((rank, first, -np.round(scores[rows].astype(np.float64), DECIMALS)))]
    places = {record.document_ids[row]: place for place, row in enumerate(order.tolist(), start=1)}
    return {document_id: places[document_id] for document_id in rewards if document_id in places}


def _cut(record: DecisionRecord, found: npt.NDArray[np.bool_], asked: npt.NDArray[np.bool_]) -> Floats:
    """The features, had only what is in `found` [M, A] been found by the strategies still `asked` [A]."""
    features = record.features.copy()
    general, lists = features[:, : len(GENERAL)], features[:, len(GENERAL) :]
    per = lists.reshape(len(features), len(record.answered), len(PER_STRATEGY))
    before = record.ranks[: len(features)] > 0
    shortened = (before & ~found).any(axis=0) & asked
    for s in np.flatnonzero(shortened):
        per[:, s, PER_STRATEGY.index("score")] = _rescaled(per[:, s, PER_STRATEGY.index("score")], found[:, s])
    per[~found] = 0.0
    features[:, len(GENERAL) :] = per.reshape(len(features), -1)
    general[:, GENERAL.index("agreement")] = found.sum(axis=1) / max(int(asked.sum()), 1)
    general[:, GENERAL.index("best_rank")] = best_rank(per[:, :, PER_STRATEGY.index("top")], record.answered)
    memory = np.array([name.startswith("memory.") for name in record.answered], bool)
    forgotten = (before & memory).any(axis=1) & ~(found & memory).any(axis=1)
    for name in TOLD_BY_MEMORY_LISTS:
        general[forgotten, GENERAL.index(name)] = 0.0
    return features


def _rescaled(scores: Floats, found: npt.NDArray[np.bool_]) -> Floats:
    """Min-max normalised scores after a list was cut: its last candidate is now another."""
    if not found.any():
        return scores
    low, high = float(scores[found].min()), float(scores[found].max())
    if high <= low:
        return np.where(found, 1.0, scores).astype(np.float32)
    rescaled = SCORE_MIN + (1.0 - SCORE_MIN) * (scores - low) / (high - low)
    return np.where(found, rescaled, scores).astype(np.float32)

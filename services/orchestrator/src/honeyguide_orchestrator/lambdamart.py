"""How the LambdaMART model is fitted: a batch of boosted trees over the latest decisions that were acted on.

Every such decision is one group of documents, graded by what actions said of them. The trees descend LambdaMART's
gradient (Burges 2010, MSR-TR-2010-82) from the linear ranker's scores, so that with little data little changes.
Position bias is corrected by weighting every group with the inverse of the probability that the position acted on is
looked at (Joachims, Swaminathan and Schnabel 2017). In half of the groups what memory knows of the very query is
hidden, as it is from half of the linear ranker's steps, or queries never seen would suffer.

How many trees there are is chosen by cross-validation over queries, so that a repeated query is never on both sides.
It is none unless the gain over the linear ranker exceeds its standard error.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.example import ROWS_MAX, Example, without_query_memory
from honeyguide_orchestrator.ranker_evidence import earned
from honeyguide_orchestrator.ranker_prior import weights_of
from honeyguide_orchestrator.trees import Trees, pack

Floats = npt.NDArray[np.float32]

GROUPS_MAX = 10_000
"""Of 30 rows and some 70 features: 40 MB, and about ten seconds of one core to fit."""

GRADES = 4
"""Grades above 0 that actions are rounded to; the gain of a grade is linear in it."""

FOLDS = 3
MANY = 2_000
"""Groups from which on one fold, held out from the others, is enough to choose by."""

ROUNDS = (10, 20, 40, 80)
"""Numbers of trees that are tried, besides none."""

PARAMETERS: Mapping[str, Any] = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 10,
    "label_gain": list(range(GRADES + 1)),
    "num_leaves": 8,
    "learning_rate": 0.05,
    "min_data_in_leaf": 50,
    "lambda_l2": 1.0,
    "feature_fraction": 0.7,
    "max_bin": 63,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True)
class Group:
    """A decision that was acted on.

    features: [M, K], half precision. graded: by row, the position (from 1) it was shown at is row + 1, the grade of
    the document in (0, 1].
    """

    query: str
    names: tuple[str, ...]
    features: npt.NDArray[np.float16]
    graded: Mapping[int, float]


@dataclass(slots=True)
class Groups:
    """The latest decisions that were acted on, by id."""

    kept: OrderedDict[str, Group] = field(default_factory=OrderedDict)
    _names: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict, repr=False)

    def add(self, example: Example) -> None:
        """Takes in an action, which may be another one on a decision that is here already."""
        known = self.kept.get(example.decision_id)
        graded = dict(known.graded) if known else {}
        graded[example.row] = max(example.grade, graded.get(example.row, 0.0))
        rows = min(len(example.features), max(ROWS_MAX, example.shown, len(known.features) if known else 0))
        if known is None and len(self.kept) >= GROUPS_MAX:
            self.kept.popitem(last=False)
        self.kept[example.decision_id] = Group(
            example.query,
            self._names.setdefault(example.names, example.names),
            known.features if known and len(known.features) == rows else example.features[:rows].astype(np.float16),
            graded,
        )

    def follow(self, earlier: Groups) -> None:
        """Puts groups that are older before those that are here."""
        joined = OrderedDict(earlier.kept)
        for id, group in self.kept.items():
            known = joined.pop(id, None)  # acted on before and again
            joined[id] = group if known is None else _of_both(known, group)
        while len(joined) > GROUPS_MAX:
            joined.popitem(last=False)
        self.kept = joined


def _of_both(earlier: Group, later: Group) -> Group:
    """One decision's group, of what was acted on in either."""
    longer = max(earlier, later, key=lambda group: len(group.features))
    graded = {
        row: max(group.graded.get(row, 0.0) for group in (earlier, later)) for row in {**earlier.graded, **later.graded}
    }
    return replace(longer, graded=graded)


def fit(
    groups: Mapping[str, Group],
    base: Mapping[str, float],
    examination: Callable[[int], float],
    actions: int,
    stop: Event,
) -> Trees | None:
    """Fits trees. Deterministic; takes seconds, and is meant for a thread of its own.

    Args:
        groups: by decision id.
        base: learned weights of the linear ranker, whose scores the trees correct.
        examination: probability that a position is looked at, in (0, 1].
        actions: how many actions have been seen, kept with the result.
        stop: ends the work early when set.

    Returns:
        None if no number of trees ordered held-out queries better than the linear ranker, or it was stopped.
    """
    table = _table(groups, base, examination)
    if table is None:
        return None
    parts: list[npt.NDArray[np.float64]] = []
    for fold in range(FOLDS if len(table.folds) < MANY else 1):
        held, rest = np.flatnonzero(table.folds == fold), np.flatnonzero(table.folds != fold)
        if not len(held) or not len(rest):
            continue
        booster = _boost(table.of(rest), max(ROUNDS), stop)
        if booster is None:
            return None
        parts.append(_gains(booster, table.of(held)))
    if not parts:
        return None
    gains = np.concatenate(parts)
    best = int(gains.mean(axis=0).argmax())
    if gains[:, best].mean() <= gains[:, best].std() / len(gains) ** 0.5:
        return None
    booster = _boost(table, ROUNDS[best], stop)
    if booster is None:
        return None
    return Trees(pack(booster.model_to_string()), table.names, dict(base), actions, ROUNDS[best])


@dataclass(frozen=True, slots=True)
class _Table:
    """G groups one below the other.

    rows: [N, K] features. grades, base: [N], the latter the linear ranker's scores. weights, folds: [G].
    begins: [G + 1], the rows where groups begin, and where the last one ends.
    """

    names: tuple[str, ...]
    rows: Floats
    grades: npt.NDArray[np.int32]
    base: Floats
    weights: Floats
    folds: npt.NDArray[np.int64]
    begins: npt.NDArray[np.int64]

    def of(self, chosen: npt.NDArray[np.int64]) -> _Table:
        """Those groups only."""
        sizes = np.diff(self.begins)[chosen]
        parts = [np.arange(self.begins[g], self.begins[g + 1]) for g in chosen]
        rows = np.concatenate(parts)
        begins = np.concatenate([[0], np.cumsum(sizes)])
        return _Table(
            self.names,
            self.rows[rows],
            self.grades[rows],
            self.base[rows],
            self.weights[chosen],
            self.folds[chosen],
            begins,
        )


def _table(
    groups: Mapping[str, Group], base: Mapping[str, float], examination: Callable[[int], float]
) -> _Table | None:
    names = tuple(dict.fromkeys(name for known in {g.names: None for g in groups.values()} for name in known))
    places = {name: i for i, name in enumerate(names)}
    weights_of_base = weights_of(names, base)
    parts: list[Floats] = []
    grades: list[npt.NDArray[np.int32]] = []
    weights: list[float] = []
    folds: list[int] = []
    sizes: list[int] = []
    for id, group in groups.items():
        rows, kept = group.features.astype(np.float32), np.ones(len(group.features), bool)
        if zlib.crc32(id.encode()) % 2:
            rows, kept = without_query_memory(rows, group.names)
            if not any(kept[row] for row in group.graded):
                continue
        graded = np.zeros(len(rows), np.int32)
        for row, grade in group.graded.items():
            graded[row] = max(1, round(GRADES * grade))
        wide = np.zeros((len(rows), len(names)), np.float32)
        wide[:, [places[name] for name in group.names]] = rows
        parts.append(wide[kept])
        grades.append(graded[kept])
        sizes.append(int(kept.sum()))
        weights.append(max(1.0 / examination(row + 1) for row in group.graded if kept[row]))
        folds.append(zlib.crc32(group.query.encode()) % FOLDS)
    if not parts:
        return None
    rows = np.concatenate(parts)
    begins = np.concatenate([[0], np.cumsum(sizes)])
    return _Table(
        names,
        rows,
        np.concatenate(grades),
        rows @ weights_of_base,
        np.array(weights, np.float32),
        np.array(folds),
        begins,
    )


def _boost(table: _Table, rounds: int, stop: Event) -> Any:
    import lightgbm

    sizes = np.diff(table.begins)
    data = lightgbm.Dataset(
        table.rows,
        table.grades,
        group=sizes,
        weight=np.repeat(table.weights, sizes),
        init_score=table.base,
        feature_name=[f"f{i}" for i in range(len(table.names))],
        params=dict(PARAMETERS),
    )
    booster = lightgbm.Booster(dict(PARAMETERS), data)
    for _ in range(rounds):
        if stop.is_set():
            return None
        if booster.update():
            break
    return booster


def _gains(booster: Any, table: _Table) -> npt.NDArray[np.float64]:
    """What the documents acted on earn more than without trees, [G, len(ROUNDS)]: by group and number of trees."""
    corrections = [booster.predict(table.rows, num_iteration=rounds, num_threads=1) for rounds in ROUNDS]
    gains = np.zeros((len(table.weights), len(ROUNDS)))
    for g, weight in enumerate(table.weights.tolist()):
        part = slice(int(table.begins[g]), int(table.begins[g + 1]))
        base, graded = table.base[part], np.flatnonzero(table.grades[part]).tolist()
        before = sum(earned(base, row) for row in graded)
        for i, correction in enumerate(corrections):
            scores = base + correction[part].astype(np.float32)
            gains[g, i] = weight * (sum(earned(scores, row) for row in graded) - before)
    return gains

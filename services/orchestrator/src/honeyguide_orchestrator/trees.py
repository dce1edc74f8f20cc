"""A fitted LambdaMART model: trees that correct a linear ranker's scores, in LightGBM's own text format.

LightGBM's wheel needs the system's libgomp.so.1, which a bare machine may lack. So it is imported when first needed,
and where it cannot be, rankers that need it are not offered.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from honeyguide_orchestrator.ranker_prior import weights_of

Floats = npt.NDArray[np.float32]

HEAD = 60
"""Candidates that the trees rank, the first by the linear scores; the others follow in the linear order. Trees cost
more the more there are to rank, and have learned from nothing that stood deeper."""

LAYOUTS_MAX = 64
MODELS_MAX = 4

log = structlog.get_logger("honeyguide.trees")


@cache
def why_unavailable() -> str:
    """Why LightGBM cannot be had here; empty if it can. Says so in the log, once."""
    try:
        import lightgbm  # noqa: F401
    except (ImportError, OSError) as error:
        log.warning("no LambdaMART ranker: LightGBM cannot be loaded", error=str(error)[:300])
        return f"LightGBM cannot be loaded: {str(error)[:300]}"
    return ""


@lru_cache(maxsize=MODELS_MAX)
def _booster(packed: str) -> Any:
    # Every snapshot brings the model's text again; it is parsed once.
    import lightgbm

    return lightgbm.Booster(model_str=zlib.decompress(base64.b64decode(packed)).decode())


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the columns of a search's features are in the model's, and their linear weights."""

    theirs: npt.NDArray[np.int64]
    ours: npt.NDArray[np.int64]
    base: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """A candidate's score is base . features + the sum of the trees.

    Args:
        packed: the model's text, compressed, in base64.
        names: the features it was fitted on. A feature it does not know is left to the linear part, one that a search
            does not have (its strategy did not answer) is 0, as it is for a document that a strategy did not find.
        base: learned weights of the linear part by feature name; others have their prior.
        actions: how many actions had been seen when it was fitted.
        rounds: how many trees it has.
    """

    packed: str
    names: tuple[str, ...]
    base: Mapping[str, float]
    actions: int
    rounds: int
    _layouts: dict[tuple[str, ...], _Layout] = field(default_factory=dict, repr=False)

    def scores(self, features: Floats, names: tuple[str, ...]) -> Floats:
        """Scores [N] of candidates by their features [N, len(names)]."""
        layout = self._layout(names)
        scores: Floats = features @ layout.base
        if len(scores) <= HEAD:
            return scores + self._corrections(features, layout)
        head = np.sort(np.argpartition(-scores, HEAD - 1)[:HEAD])
        corrected = scores[head] + self._corrections(features[head], layout)
        scores += min(float(corrected.min() - scores.max()), 0.0)
        scores[head] = corrected
        return scores

    def scores_of_each(self, searches: Sequence[tuple[Floats, tuple[str, ...]]]) -> list[Floats]:
        """Scores of the candidates of several searches, each given by its features and their names, of at most `HEAD`
        rows; at least one search. One call of the trees costs more than the rows of many searches do."""
        layouts = [self._layout(names) for _, names in searches]
        rows = [self._rows(features, layout) for (features, _), layout in zip(searches, layouts, strict=True)]
        corrections = np.split(self._predicted(np.concatenate(rows)), np.cumsum([len(one) for one in rows])[:-1])
        return [
            features @ layout.base + correction
            for (features, _), layout, correction in zip(searches, layouts, corrections, strict=True)
        ]

    def contributions(self, features: Floats, names: tuple[str, ...]) -> Floats:
        """What every feature adds to the scores [N, len(names)]: its linear part and its SHAP value in the trees
        (Lundberg et al. 2020), which is against the mean over what was learned from."""
        layout = self._layout(names)
        parts: Floats = features * layout.base
        values = _booster(self.packed).predict(self._rows(features, layout), num_threads=1, pred_contrib=True)
        parts[:, layout.ours] += values[:, layout.theirs]
        return parts

    def importances(self, names: tuple[str, ...]) -> Floats:
        """Share of every feature in what the trees gain, [len(names)]."""
        layout = self._layout(names)
        gains = np.asarray(_booster(self.packed).feature_importance("gain"), np.float32)
        shares = np.zeros(len(names), np.float32)
        shares[layout.ours] = gains[layout.theirs] / max(float(gains.sum()), 1e-12)
        return shares

    def _corrections(self, features: Floats, layout: _Layout) -> Floats:
        return self._predicted(self._rows(features, layout))

    def _predicted(self, rows: Floats) -> Floats:
        if not len(rows):
            return np.zeros(0, np.float32)
        return np.asarray(_booster(self.packed).predict(rows, num_threads=1), np.float32)

    def _rows(self, features: Floats, layout: _Layout) -> Floats:
        rows = np.zeros((len(features), len(self.names)), np.float32)
        rows[:, layout.theirs] = features[:, layout.ours]
        return rows

    def _layout(self, names: tuple[str, ...]) -> _Layout:
        layout = self._layouts.get(names)
        if layout is None:
            if len(self._layouts) >= LAYOUTS_MAX:
                self._layouts.clear()
            places = {name: i for i, name in enumerate(self.names)}
            shared = [(places[name], i) for i, name in enumerate(names) if name in places]
            layout = _Layout(
                np.array([theirs for theirs, _ in shared], np.int64),
                np.array([ours for _, ours in shared], np.int64),
                weights_of(names, self.base),
            )
            self._layouts[names] = layout
        return layout

    def to_state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {
            "packed": self.packed,
            "names": self.names,
            "base": dict(self.base),
            "actions": self.actions,
            "rounds": self.rounds,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Trees:
        """What `to_state` was asked of."""
        return cls(state["packed"], tuple(state["names"]), dict(state["base"]), state["actions"], state["rounds"])


def pack(text: str) -> str:
    """A model's text as `Trees` keeps it."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()

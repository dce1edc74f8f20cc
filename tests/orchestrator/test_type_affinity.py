from __future__ import annotations

import json

import numpy as np
import pytest

from honeyguide_orchestrator.example import Example
from honeyguide_orchestrator.situation import FEATURES
from honeyguide_orchestrator.type_affinity import AFFINITY_MAX, PULL, STEP, TYPES_MAX, TypeAffinity

NAMES = ("type_affinity", "lexical.bm25:found", "lexical.bm25:top")
RANKER = np.zeros(len(NAMES), np.float32)


def context(**values: float) -> np.ndarray:
    x = np.zeros(len(FEATURES), np.float32)
    for name, value in {"bias": 1.0, **values}.items():
        x[FEATURES.index(name)] = value
    return x


def chosen(row: int, tops: tuple[float, ...] = (0.0, 0.0), found: tuple[float, ...] | None = None) -> Example:
    rows = zip(found or (1.0,) * len(tops), tops, strict=True)
    features = np.array([[0.0, here, top] for here, top in rows], np.float32)
    return Example("d", "q", NAMES, features, len(tops), row + 1, 1.0)


def test_one_choice_by_hand() -> None:
    affinity = TypeAffinity()
    affinity.learn(chosen(0), ("track", "artist"), context(), RANKER, 1.0)
    step = STEP * 0.5 / (1 + 0.5**2) ** 0.5
    assert affinity.of(context()) == pytest.approx({"track": step, "artist": -step}, rel=1e-4)


def plain(
    weights: dict[str, np.ndarray], sums: dict[str, np.ndarray], example: Example, types: tuple[str, ...], x: np.ndarray
) -> None:
    """One step as the module's text has it, type by type, with a ranker that scores everything alike."""
    worth = {type: float(np.clip(weights.get(type, 0 * x) @ x, -AFFINITY_MAX, AFFINITY_MAX)) for type in types}
    chances = np.exp([worth[type] for type in types])
    chances /= chances.sum()
    for type in dict.fromkeys(types):
        share = sum(chance for chance, other in zip(chances, types, strict=True) if other == type)
        own = weights.setdefault(type, np.zeros(len(FEATURES)))
        slope = 2.0 * (share - (type == types[example.row])) * x + PULL * own
        sums[type] = sums.get(type, np.ones(len(FEATURES))) + slope**2
        own -= STEP * slope / sums[type] ** 0.5


def test_learns_as_the_plain_formula_does_one_type_after_the_other() -> None:
    rng = np.random.default_rng(0)
    affinity = TypeAffinity()
    weights: dict[str, np.ndarray] = {}
    sums: dict[str, np.ndarray] = {}
    for _ in range(200):
        types = tuple(rng.choice(["film", "person", "track", "artist"], 5).tolist())
        if len(set(types)) > 1:
            action, x = chosen(int(rng.integers(5)), (0.0,) * 5), context(words=rng.random(), digits=rng.random())
            affinity.learn(action, types, x, RANKER, 2.0)
            plain(weights, sums, action, types, x)
    state = affinity.to_state()
    for type in weights:
        assert state["weights"][type] == pytest.approx(weights[type].tolist(), abs=1e-5)
        assert state["sums"][type] == pytest.approx(sums[type].tolist(), rel=1e-5)


def test_a_type_that_ranks_explain_gains_little() -> None:
    explained, surprising = TypeAffinity(), TypeAffinity()
    weights = np.array([0, 0, 5], np.float32)
    explained.learn(chosen(0, (1.0, 0.0)), ("track", "artist"), context(), weights, 1.0)
    surprising.learn(chosen(1, (1.0, 0.0)), ("track", "artist"), context(), weights, 1.0)
    assert 0 < explained.of(context())["track"] < 0.1 * surprising.of(context())["artist"]


def test_what_is_wanted_can_depend_on_the_query() -> None:
    affinity = TypeAffinity()
    long, short = context(words=1.2), context(words=0.4, digits=1.0)
    for _ in range(300):
        affinity.learn(chosen(0), ("abstract", "product"), long, RANKER, 1.0)
        affinity.learn(chosen(1), ("abstract", "product"), short, RANKER, 1.0)
    assert affinity.of(long)["abstract"] > affinity.of(long)["product"] + 1
    assert affinity.of(short)["product"] > affinity.of(short)["abstract"] + 1


def test_nothing_learned_says_nothing_and_one_type_alone_neither() -> None:
    affinity = TypeAffinity()
    assert affinity.of(context()) == {}
    affinity.learn(chosen(0), ("product", "product"), context(), RANKER, 1.0)
    assert affinity.of(context()) == {}


def test_what_only_memory_found_does_not_count_and_is_not_learned_from() -> None:
    names = ("type_affinity", "memory.query:found", "memory.query:top")
    only_memory = Example("d", "q", names, np.array([[0, 1, 1], [0, 1, 0.5]], np.float32), 2, 1, 1.0)
    affinity = TypeAffinity()
    affinity.learn(only_memory, ("track", "artist"), context(), RANKER, 1.0)
    assert affinity.of(context()) == {}


def test_a_context_of_another_version_teaches_nothing() -> None:
    affinity = TypeAffinity()
    affinity.learn(chosen(0), ("track", "artist"), context()[:-1], RANKER, 1.0)
    assert affinity.of(context()) == {}


def test_affinities_and_types_are_bounded() -> None:
    affinity = TypeAffinity()
    affinity.learn(chosen(0), ("track", "artist"), context(), RANKER, 1.0)
    state = affinity.to_state()
    affinity = TypeAffinity.from_state(
        {**state, "weights": {type: [10.0] * len(FEATURES) for type in state["weights"]}}
    )
    assert affinity.of(context())["track"] == AFFINITY_MAX
    for i in range(TYPES_MAX):
        affinity.learn(chosen(0), (f"type {i}", "artist"), context(), RANKER, 1.0)
    assert len(affinity.of(context())) == TYPES_MAX


def test_state_restores_the_same_and_of_other_features_begins_anew() -> None:
    affinity = TypeAffinity()
    affinity.learn(chosen(0), ("track", "artist"), context(words=0.5), RANKER, 1.0)
    state = json.loads(json.dumps(affinity.to_state()))
    again = TypeAffinity.from_state(state)
    assert again.of(context(words=0.5)) == affinity.of(context(words=0.5))
    again.learn(chosen(1), ("track", "artist"), context(), RANKER, 1.0)
    affinity.learn(chosen(1), ("track", "artist"), context(), RANKER, 1.0)
    assert again.of(context()) == affinity.of(context())
    assert TypeAffinity.from_state({**state, "features": ["other"]}).of(context()) == {}

from __future__ import annotations

import json

import numpy as np
import pytest

from honeyguide_orchestrator.example import Example
from honeyguide_orchestrator.situation import FEATURES
from honeyguide_orchestrator.type_affinity import AFFINITY_MAX, STEP, TYPES_MAX, TypeAffinity

NAMES = ("type_affinity", "lexical.bm25:found", "lexical.bm25:top")


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
    affinity.learn(chosen(0), ("track", "artist"), context(), {}, 1.0)
    step = STEP * 0.5 / (1 + 0.5**2) ** 0.5
    assert affinity.of(context()) == pytest.approx({"track": step, "artist": -step}, rel=1e-4)


def test_a_type_that_ranks_explain_gains_little() -> None:
    explained, surprising = TypeAffinity(), TypeAffinity()
    weights = {"lexical.bm25:top": 5.0}
    explained.learn(chosen(0, (1.0, 0.0)), ("track", "artist"), context(), weights, 1.0)
    surprising.learn(chosen(1, (1.0, 0.0)), ("track", "artist"), context(), weights, 1.0)
    assert 0 < explained.of(context())["track"] < 0.1 * surprising.of(context())["artist"]


def test_what_is_wanted_can_depend_on_the_query() -> None:
    affinity = TypeAffinity()
    long, short = context(words=1.2), context(words=0.4, digits=1.0)
    for _ in range(300):
        affinity.learn(chosen(0), ("abstract", "product"), long, {}, 1.0)
        affinity.learn(chosen(1), ("abstract", "product"), short, {}, 1.0)
    assert affinity.of(long)["abstract"] > affinity.of(long)["product"] + 1
    assert affinity.of(short)["product"] > affinity.of(short)["abstract"] + 1


def test_nothing_learned_says_nothing_and_one_type_alone_neither() -> None:
    affinity = TypeAffinity()
    assert affinity.of(context()) == {}
    affinity.learn(chosen(0), ("product", "product"), context(), {}, 1.0)
    assert affinity.of(context()) == {}


def test_what_only_memory_found_does_not_count_and_is_not_learned_from() -> None:
    names = ("type_affinity", "memory.query:found", "memory.query:top")
    only_memory = Example("d", "q", names, np.array([[0, 1, 1], [0, 1, 0.5]], np.float32), 2, 1, 1.0)
    affinity = TypeAffinity()
    affinity.learn(only_memory, ("track", "artist"), context(), {}, 1.0)
    assert affinity.of(context()) == {}


def test_affinities_and_types_are_bounded() -> None:
    affinity = TypeAffinity()
    for _ in range(200):
        affinity.learn(chosen(0), ("track", "artist"), context(), {}, 1_000.0)
        affinity.weights["track"] += 1
    assert affinity.of(context())["track"] == AFFINITY_MAX
    for i in range(TYPES_MAX):
        affinity.learn(chosen(0), (f"type {i}", "artist"), context(), {}, 1.0)
    assert len(affinity.weights) == TYPES_MAX


def test_state_restores_the_same_and_of_other_features_begins_anew() -> None:
    affinity = TypeAffinity()
    affinity.learn(chosen(0), ("track", "artist"), context(words=0.5), {}, 1.0)
    state = json.loads(json.dumps(affinity.to_state()))
    again = TypeAffinity.from_state(state)
    assert again.of(context(words=0.5)) == affinity.of(context(words=0.5))
    again.learn(chosen(1), ("track", "artist"), context(), {}, 1.0)
    affinity.learn(chosen(1), ("track", "artist"), context(), {}, 1.0)
    assert again.of(context()) == affinity.of(context())
    assert TypeAffinity.from_state({**state, "features": ["other"]}).of(context()) == {}

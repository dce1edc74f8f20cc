from __future__ import annotations

import json
import math

import numpy as np
import pytest

from honeyguide_orchestrator.type_affinity import INTENTS_MAX, LIFT_MAX, TypeAffinity, shares_of


def test_shares_go_by_the_best_rank_of_any_list() -> None:
    ranks = np.array([[1, 0], [0, 2], [4, 4], [0, 0]], np.int16)
    shares = shares_of(["track", "artist", "track", "artist"], ranks)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["track"] == pytest.approx((1 + 1 / 4) / (1 + 1 / 2 + 1 / 4), rel=1e-3)
    assert shares_of([], np.zeros((0, 0), np.int16)) == {}


def test_a_choice_raises_its_type_and_lowers_the_others_by_hand() -> None:
    affinity = TypeAffinity()
    affinity.learn("named", "track", {"track": 0.5, "artist": 0.5})
    overall = {"track": 6 / 5.5, "artist": 5 / 5.5}
    assert affinity.of("unseen") == pytest.approx({type: math.log(lift) for type, lift in overall.items()})
    assert affinity.of("named")["track"] == pytest.approx(math.log((1 + 5 * 6 / 5.5) / 5.5))
    assert affinity.of("named")["artist"] == pytest.approx(math.log((0 + 5 * 5 / 5.5) / 5.5))


def test_nothing_learned_says_nothing_and_one_type_alone_neither() -> None:
    assert TypeAffinity().of("text") == {}
    affinity = TypeAffinity()
    for _ in range(50):
        affinity.learn("text", "product", {"product": 1.0})
    assert affinity.of("text")["product"] == pytest.approx(0, abs=1e-9)


def test_a_type_never_wanted_stays_low_while_it_is_not_offered() -> None:
    affinity = TypeAffinity()
    for _ in range(100):
        affinity.learn("text", "track", {"track": 0.6, "artist": 0.4})
    low = affinity.of("text")["artist"]
    for _ in range(2_000):
        affinity.learn("text", "track", {"track": 1.0})
    assert affinity.of("text")["artist"] == pytest.approx(low)
    assert low < -2


def test_lifts_and_intents_are_bounded() -> None:
    affinity = TypeAffinity()
    for i in range(INTENTS_MAX + 50):
        affinity.learn(f"intent {i}", "track", {"track": 0.01, "artist": 0.99})
    assert len(affinity.expected) == INTENTS_MAX
    assert affinity.of("intent 0") == {"track": LIFT_MAX, "artist": -LIFT_MAX}


def test_state_restores_the_same_lifts_and_counts_of_old_begin_anew() -> None:
    affinity = TypeAffinity()
    affinity.learn("text", "track", {"track": 0.5, "artist": 0.5})
    again = TypeAffinity.from_state(json.loads(json.dumps(affinity.to_state())))
    assert again.of("text") == affinity.of("text")
    assert TypeAffinity.from_state({"counts": {"": {"track": 3.0}}}).of("text") == {}

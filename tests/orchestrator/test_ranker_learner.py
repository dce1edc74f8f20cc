import json

import numpy as np
import pytest

from honeyguide_orchestrator.ranker_learner import EVIDENCE_MIN, LinearLearner, examination

NAMES = ("lexical.bm25:top", "vector.dense:top", "q2e")


def shown(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_looking_falls_with_the_position() -> None:
    assert examination(1) == 1.0
    assert examination(4) == pytest.approx(4**-0.7)


def test_learns_what_tells_the_wanted_document_and_is_let_to_serve_for_it() -> None:
    learner = LinearLearner()
    rng = np.random.default_rng(0)
    for i in range(400):
        rows = rng.random((10, 3)).astype(np.float32)
        rows[:, 2] = 0
        wanted = int(rows[:, 1].argmax())
        learner.learn(NAMES, rows, wanted, wanted + 1, 2 * i)
    model = learner.model()
    assert model.weights["vector.dense:top"] > model.weights["lexical.bm25:top"]
    assert model.advantage > 0
    assert model.serves


def test_does_not_serve_without_evidence_nor_when_it_is_worse() -> None:
    learner = LinearLearner()
    for i in range(EVIDENCE_MIN - 1):
        learner.learn(NAMES, shown([[1, 0, 0], [0, 1, 0]]), 0, 1, 2 * i)
    assert not learner.model().serves
    worse = LinearLearner({"lexical.bm25:top": -5.0})
    for i in range(EVIDENCE_MIN + 5):
        worse.learn(NAMES, shown([[1, 0, 0], [0, 0, 0]]), 0, 1, 2 * i)
        worse.learned["lexical.bm25:top"] = -5.0
    assert worse.advantage < 0
    assert not worse.model().serves


def test_half_of_the_steps_do_not_see_what_memory_knows_of_the_query() -> None:
    blind, seeing = LinearLearner(), LinearLearner()
    rows = shown([[0, 0, 1], [0, 0, 0]])
    blind.learn(NAMES, rows, 0, 1, seed=1)
    seeing.learn(NAMES, rows, 0, 1, seed=2)
    assert "q2e" not in blind.learned
    assert seeing.learned["q2e"] > 0


def test_an_action_far_down_weighs_more() -> None:
    near, far = LinearLearner(), LinearLearner()
    rows = shown([[0, 0, 0], [1, 0, 0]])
    near.learn(NAMES, rows, 1, 1, 2)
    far.learn(NAMES, rows, 1, 9, 2)
    assert far.sums["lexical.bm25:top"] > near.sums["lexical.bm25:top"]


def test_restored_from_its_state_it_learns_on_identically() -> None:
    learner = LinearLearner()
    learner.learn(NAMES, shown([[1, 0, 0], [0, 1, 0]]), 1, 2, 2)
    again = LinearLearner.from_state(json.loads(json.dumps(learner.to_state())))
    for one in (learner, again):
        one.learn(NAMES, shown([[1, 0, 0], [0, 1, 0]]), 0, 1, 4)
    assert learner == again

import json
from bisect import bisect_left
from collections import defaultdict

import numpy as np
import pytest
from river import linear_model, optim, utils
from structlog.testing import capture_logs

from honeyguide_orchestrator.allocation_learner import (
    ACCUMULATOR,
    KNOWN_SHARE,
    STEP,
    AllocationLearner,
    StrategyTraits,
)
from honeyguide_orchestrator.allocation_model import Costs
from honeyguide_orchestrator.situation import FEATURES

DEPTHS = (5, 10, 20, 50)
NAMES = ("a", "b", "c")
COSTS = Costs.of(DEPTHS, 0.0125, 0.00025)
ALL = np.ones(3, bool)
NONE = np.zeros(3, np.int64)


def context(feature: str = "bias") -> np.ndarray:
    x = np.zeros(len(FEATURES), np.float32)
    x[0] = 1.0
    x[FEATURES.index(feature)] = 1.0
    return x


def learner() -> AllocationLearner:
    made = AllocationLearner(DEPTHS)
    for name in NAMES:
        made.ensure(StrategyTraits(name, dependable=name == "a"))
    return made


def test_learns_to_drop_a_redundant_strategy_and_one_that_never_finds() -> None:
    made = learner()
    for i in range(2_000):
        ranks = {"a": 2, "b": 1} if i % 10 else {}
        made.learn(context(), {"a": 20, "b": 20, "c": 20}, ranks, 0.9, i)
    rungs, _ = made.model(NAMES).allocate(context(), ALL, NONE, COSTS)
    assert (rungs > 0).sum() == 1
    assert rungs[2] == 0


def test_learns_to_keep_two_that_complement_each_other() -> None:
    made = learner()
    for i in range(400):
        made.learn(context(), {"a": 20, "b": 20, "c": 20}, {"a": 1} if i % 2 else {"b": 1}, 0.9, i)
    rungs, _ = made.model(NAMES).allocate(context(), ALL, NONE, COSTS)
    assert rungs[0] > 0
    assert rungs[1] > 0
    assert rungs[2] == 0


def test_learns_by_context() -> None:
    made = learner()
    for i in range(600):
        x = context("digits" if i % 2 else "question")
        made.learn(x, {"a": 20, "b": 20, "c": 20}, {"b": 1} if i % 2 else {"c": 1}, 0.9, i)
    model = made.model(NAMES)
    assert model.allocate(context("digits"), ALL, NONE, COSTS)[1][0] == 1
    assert model.allocate(context("question"), ALL, NONE, COSTS)[1][0] == 2


def test_depths_that_were_not_asked_teach_nothing() -> None:
    made = learner()
    before = made.model(NAMES).weights.copy()
    made.learn(context(), {"a": 5}, {}, 0.0, 1)
    after = made.model(NAMES).weights
    assert not np.array_equal(before[0, 0], after[0, 0])
    assert np.array_equal(before[0, 1:], after[0, 1:])
    assert np.array_equal(before[1:], after[1:])


def test_the_value_of_a_find_is_its_mean_reward() -> None:
    made = learner()
    for i in range(1_000):
        made.learn(context(), {"a": 5}, {"a": 1}, 0.25, i)
    assert made.model(NAMES).values[0, 0] == pytest.approx(0.25, abs=0.01)


def test_restored_from_its_state_it_learns_on_identically() -> None:
    made = learner()
    for i in range(50):
        made.learn(context(), {"a": 20, "b": 10}, {"a": 1 + i % 15}, 0.5, i)
    again = AllocationLearner.from_state(json.loads(json.dumps(made.to_state())), DEPTHS)
    for one in (made, again):
        one.learn(context("digits"), {"a": 20, "b": 10}, {"b": 2}, 0.7, 99)
    assert np.array_equal(made.model(NAMES).weights, again.model(NAMES).weights)
    assert np.array_equal(made.model(NAMES).deviations, again.model(NAMES).deviations)
    assert again.updates == 51


def test_a_context_of_another_version_is_left_out_and_said_so() -> None:
    made = learner()
    before = made.to_state()
    with capture_logs() as logs:
        made.learn(context()[:-1], {"a": 5}, {"a": 1}, 1.0, 1)
        made.learn(context()[:-1], {"a": 5}, {}, None, 1)
    assert made.to_state() == before
    assert [entry["log_level"] for entry in logs] == ["warning", "warning"]


def test_learns_as_rivers_own_regressions_do_one_after_the_other() -> None:
    made, names = learner(), (*FEATURES, "misses", *(f"missed:{name}" for name in NAMES))
    table = made.to_state()["strategies"]
    rivers = {
        (name, b): linear_model.LogisticRegression(optim.AdaGrad(STEP), intercept_lr=0.0)
        for name in NAMES
        for b in range(len(DEPTHS))
    }
    for (name, b), one in rivers.items():
        one._weights = utils.VectorDict(dict(zip(names, table[name]["weights"][b], strict=True)))
        one.optimizer.g2 = defaultdict(lambda: ACCUMULATOR)
    rng = np.random.default_rng(0)
    for i in range(200):
        x = context("digits" if i % 2 else "question") * rng.random(len(FEATURES), np.float32)
        ranks = {name: int(rng.integers(1, 21)) for name in NAMES if rng.random() < 0.5}
        asked, missed = dict.fromkeys(NAMES, 20), [name for name in NAMES if name not in ranks]
        others = [(name, other) for name in NAMES for other in missed if other != name]
        told = np.random.default_rng(i).random(len(others)) < KNOWN_SHARE
        made.learn(x, asked, ranks, 0.5, i)
        for name in NAMES:
            flags = [other for (own, other), tell in zip(others, told, strict=True) if own == name and tell]
            features = dict(zip(FEATURES, x.tolist(), strict=True))
            features |= {"misses": float(len(flags))} | {f"missed:{other}": 1.0 for other in flags}
            found = bisect_left(DEPTHS, ranks[name]) if name in ranks else len(DEPTHS)
            for b in range(min(found, bisect_left(DEPTHS, 20)) + 1):
                rivers[name, b].learn_one(features, b == found)
    for name, state in made.to_state()["strategies"].items():
        for b, row in enumerate(state["weights"]):
            assert dict(zip(names, row, strict=True)) == pytest.approx(dict(rivers[name, b].weights), abs=1e-6)


def test_another_ladder_begins_anew() -> None:
    made = learner()
    made.learn(context(), {"a": 5}, {"a": 1}, 1.0, 1)
    assert AllocationLearner.from_state(made.to_state(), (3, 6)).strategies == {}

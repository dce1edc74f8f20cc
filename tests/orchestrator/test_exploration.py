"""What draws tell of their exploration, and the budget that it keeps to."""

from dataclasses import replace

import numpy as np
import pytest

from honeyguide_orchestrator.allocation_learner import AllocationLearner, StrategyTraits
from honeyguide_orchestrator.allocation_model import AllocationModel, Costs
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.policy import PolicyOptions, Situation, both, safe_rungs
from honeyguide_orchestrator.situation import FEATURES

DEPTHS = (5, 10, 20)
NAMES = ("lexical.bm25", "memory.query", "memory.fresh", "vector.dense")
OPTIONS = PolicyOptions(
    Costs.of(DEPTHS, 0.0125, 0.00025),
    exploration_share=0.5,
    exploration_share_known=0.5,
    gamma=20.0,
    warm_up=30.0,
    epsilon=0.3,
)


def model_after(searches: int = 60) -> AllocationModel:
    learner = AllocationLearner(DEPTHS)
    for name in NAMES:
        learner.ensure(StrategyTraits(name, name == "lexical.bm25", name == "memory.fresh"))
    for i in range(searches):
        ranks = {"lexical.bm25": 1 + i % 9, "vector.dense": 3} if i % 3 else {"memory.query": 1}
        learner.learn(context(), dict.fromkeys(NAMES, 20), ranks, 0.8, i)
    return learner.model(NAMES)


def context() -> np.ndarray:
    x = np.zeros(len(FEATURES), np.float32)
    x[0] = 1.0
    return x


def situation(allowed: tuple[bool, ...] = (True, True, True, True)) -> Situation:
    return Situation(
        context(),
        np.array(allowed),
        np.array([True, False, False, False]),
        np.array([False, False, True, False]),
        np.zeros(4, np.int64),
    )


MODEL = model_after(10)


@pytest.mark.parametrize("name", ["squarecb", "epsilon_greedy", "thompson"])
def test_what_is_forgone_is_the_predicted_loss_to_what_looked_best(name: str) -> None:
    at, rng = situation(), np.random.default_rng(2)
    best = POLICIES["greedy"](OPTIONS).draw(at, MODEL, rng).rungs
    _, order = MODEL.allocate(at.x, at.allowed, at.answered, OPTIONS.costs)
    order = range(4) if name == "thompson" else order
    explored = 0
    for _ in range(200):
        draw = POLICIES[name](OPTIONS).draw(at, MODEL, rng)
        assert draw.exploration.explored == bool((draw.rungs != best).any())
        assert 0 < draw.exploration.best_propensity <= 1
        if not draw.exploration.explored:
            assert draw.exploration.forgone == 0
            continue
        explored += 1
        net = MODEL.net_rewards(at.x, np.stack([best, draw.rungs]), order, OPTIONS.costs)
        assert draw.exploration.forgone == pytest.approx(float(net[0] - net[1]), abs=1e-5)
    assert explored > 10


def test_the_chance_of_what_looked_best_is_the_same_whatever_was_drawn() -> None:
    rng = np.random.default_rng(3)
    draws = [POLICIES["squarecb"](OPTIONS).draw(situation(), MODEL, rng) for _ in range(2_000)]
    (chance,) = {draw.exploration.best_propensity for draw in draws}
    assert np.mean([not draw.exploration.explored for draw in draws]) == pytest.approx(chance, abs=0.03)


@pytest.mark.parametrize("name", ["squarecb", "epsilon_greedy", "thompson"])
def test_without_a_budget_all_that_is_drawn_looks_best_or_at_least_safe(name: str) -> None:
    at, rng = situation(), np.random.default_rng(4)
    best = POLICIES["greedy"](OPTIONS).draw(at, MODEL, rng).rungs
    policy = POLICIES[name](replace(OPTIONS, exploration_share=0.0, warm_up=0.0))
    for _ in range(50):
        rungs = policy.draw(at, MODEL, rng).rungs
        net = MODEL.net_rewards(at.x, np.stack([rungs, safe_rungs(at, MODEL)]), range(4), OPTIONS.costs)
        assert (rungs == best).all() or (name == "thompson" and net[0] >= net[1])


def test_the_budget_caps_how_often_a_draw_looks_worse_than_what_is_safe() -> None:
    at = situation()
    # Calls are dear, and weights drawn far and wide, so that much of what is drawn looks worse than what is safe.
    costs = Costs.of(DEPTHS, 0.2, 0.0)
    shares = {}
    for share in (0.2, 1.0):
        policy, rng = (
            POLICIES["thompson"](PolicyOptions(costs, share, share, gamma=1.0, warm_up=0.0, epsilon=0.0)),
            np.random.default_rng(5),
        )
        wild = replace(MODEL, deviations=MODEL.deviations * 20)
        rows = [policy.draw(at, wild, rng).rungs for _ in range(300)]
        net = MODEL.net_rewards(at.x, np.stack([*rows, safe_rungs(at, MODEL)]), range(4), costs)
        shares[share] = float(np.mean(net[:-1] < net[-1]))
    assert shares[1.0] > 0.15
    assert shares[0.2] == pytest.approx(0.2 * shares[1.0], abs=0.06)


def test_two_draws_at_once_ask_for_enough_for_both() -> None:
    rng = np.random.default_rng(5)
    a, b = (POLICIES[name](OPTIONS).draw(situation(), MODEL, rng) for name in ("squarecb", "safe"))
    union = both(a, b)
    assert (union.rungs >= a.rungs).all()
    assert (union.rungs >= b.rungs).all()
    assert union.estimated

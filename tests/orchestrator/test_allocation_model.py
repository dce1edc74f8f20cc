import numpy as np
import pytest

from honeyguide_orchestrator.allocation_model import AllocationModel, Costs


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def two_strategies(overlap: float) -> AllocationModel:
    """Both find the wanted document in their first bin with probability .5; b after a missed with `overlap`."""
    weights = np.full((2, 2, 3), 0.0, np.float32)
    weights[:, 1, 0] = logit(0.2)
    weights[1, 0, 1] = logit(overlap) - logit(0.5)
    return AllocationModel(
        ("a", "b"),
        (5, 10),
        weights,
        np.zeros_like(weights),
        np.array([[1.0, 0.5], [1.0, 0.5]], np.float32),
    )


X = np.array([1.0], np.float32)
COSTS = Costs.of((5, 10), call=0.0125, candidate=0.00025)
BOTH = np.array([True, True])
NEITHER = np.array([0, 0])


def test_costs_are_a_call_and_its_candidates() -> None:
    assert COSTS.by_rung == pytest.approx([0.0125 + 5 * 0.00025, 0.0125 + 10 * 0.00025])


def test_net_reward_of_one_strategy_is_its_finds_less_its_cost() -> None:
    model = two_strategies(0.5)
    rungs = np.array([[1, 0], [2, 0], [0, 0]])
    # First bin .5 worth 1; second bin (1 - .5) * .2 = .1 worth .5.
    expected = [0.5 - 0.01375, 0.5 + 0.05 - 0.015, 0.0]
    assert model.net_rewards(X, rungs, (0, 1), COSTS) == pytest.approx(expected, abs=1e-6)


def test_a_strategy_that_finds_the_same_is_worth_little_after_the_other_missed() -> None:
    model = two_strategies(0.01)
    both = np.array([[1, 1]])
    expected = 0.5 - 0.01375 + 0.5 * 0.01 - 0.01375
    assert model.net_rewards(X, both, (0, 1), COSTS) == pytest.approx([expected], abs=1e-6)


def test_allocation_drops_the_redundant_strategy_and_keeps_the_complementary_one() -> None:
    redundant = two_strategies(0.01)
    redundant.weights[1, 1, 1] = -20.0
    rungs, _ = redundant.allocate(X, BOTH, NEITHER, COSTS)
    assert rungs[1] == 0
    assert rungs[0] > 0
    rungs, order = two_strategies(0.9).allocate(X, BOTH, NEITHER, COSTS)
    assert (rungs > 0).all()
    assert order == (0, 1)


def test_what_has_answered_already_is_reckoned_with_at_no_cost() -> None:
    redundant = two_strategies(0.01)
    redundant.weights[1, 1, 1] = -20.0
    dear = Costs.of((5, 10), call=0.4, candidate=0.0)
    rungs, order = redundant.allocate(X, BOTH, np.array([1, 0]), dear)
    assert rungs.tolist() == [1, 0]
    assert order == (0, 1)
    rungs, _ = two_strategies(0.9).allocate(X, BOTH, np.array([1, 0]), COSTS)
    assert rungs[0] == 1
    assert rungs[1] > 0


def test_nothing_is_gained_behind_the_most_that_a_strategy_tells() -> None:
    model = two_strategies(0.9)
    model.weights[:, 1, 0] = 5.0  # as it was promised: nothing is ever learned of it
    for deepest, rung in ((5, 1), (7, 2), (10, 2), (1_000, 2)):
        rungs, _ = model.within([deepest, 10]).allocate(X, np.array([True, False]), NEITHER, COSTS)
        assert rungs.tolist() == [rung, 0]


def test_what_is_not_allowed_is_not_asked() -> None:
    rungs, order = two_strategies(0.9).allocate(X, np.array([False, True]), NEITHER, COSTS)
    assert rungs[0] == 0
    assert rungs[1] > 0
    assert sorted(order) == [0, 1]


def test_nothing_is_asked_that_costs_more_than_it_gains() -> None:
    rungs, _ = two_strategies(0.9).allocate(X, BOTH, NEITHER, Costs.of((5, 10), call=1.0, candidate=0.0))
    assert rungs.tolist() == [0, 0]


def test_alternatives_are_the_net_rewards_of_the_allocations_they_stand_for() -> None:
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(5, 2, 3 + 5)).astype(np.float32)
    values = rng.random((5, 2)).astype(np.float32)
    model = AllocationModel(tuple("abcde"), (5, 10), weights, weights, values)
    x = rng.normal(size=3).astype(np.float32)
    rungs = np.array([0, 2, 0, 1, 0])
    order = (3, 1, 0, 2, 4)
    alternatives = model.alternatives(x, rungs, order, COSTS)
    for s in range(5):
        for rung in range(3):
            option = rungs.copy()
            option[s] = rung
            expected = model.net_rewards(x, option[None, :], order, COSTS)[0]
            assert alternatives[s, rung] == pytest.approx(expected, abs=1e-5), (s, rung)
    additions, asked = model.additions(x, rungs, order, COSTS), rungs > 0
    assert additions[~asked] == pytest.approx(alternatives[~asked, 1:], abs=1e-5)
    assert (additions[asked] == -np.inf).all()

"""One suite for every policy, and exact propensities by counting."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide_orchestrator.allocation_learner import AllocationLearner, StrategyTraits
from honeyguide_orchestrator.allocation_model import AllocationModel, Costs
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.policy import Policy, PolicyOptions, Situation, safe_rungs
from honeyguide_orchestrator.situation import FEATURES

DEPTHS = (5, 10, 20)
NAMES = ("lexical.bm25", "memory.query", "memory.fresh", "vector.dense")
OPTIONS = PolicyOptions(
    Costs.of(DEPTHS, 0.0125, 0.00025),
    exploration_share=0.5,
    exploration_share_known=0.7,
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


def situation(
    allowed: tuple[bool, ...] = (True, True, True, True), answered: tuple[int, ...] = (0, 0, 0, 0)
) -> Situation:
    return Situation(
        context(),
        np.array(allowed),
        np.array([True, False, False, False]),
        np.array([False, False, True, False]),
        np.array(answered),
    )


MODEL = model_after(10)


@pytest.fixture(params=sorted(POLICIES))
def policy(request: pytest.FixtureRequest) -> Policy:
    return POLICIES[request.param](OPTIONS)


@settings(max_examples=40, deadline=None)
@given(allowed=st.tuples(*[st.booleans()] * 4), seed=st.integers(0, 2**32 - 1))
def test_every_policy_keeps_to_what_is_allowed_and_asks_something_dependable(
    allowed: tuple[bool, ...], seed: int
) -> None:
    for name, factory in POLICIES.items():
        at = situation(allowed)
        draw = factory(OPTIONS).draw(at, MODEL, np.random.default_rng(seed))
        assert draw.rungs.shape == (4,), name
        assert not draw.rungs[~at.allowed].any(), name
        assert (draw.rungs >= 0).all()
        assert (draw.rungs <= len(DEPTHS)).all(), name
        if any(allowed):
            assert draw.rungs[at.must_ask].any(), name
        assert 0 < draw.propensity <= 1, name
        assert ((draw.propensities > 0) & (draw.propensities <= 1)).all(), name


@pytest.mark.parametrize("name", ["squarecb", "epsilon_greedy", "greedy", "thompson"])
def test_learned_policies_make_use_of_what_has_answered_and_leave_it_as_it_is(name: str) -> None:
    at, rng = situation(answered=(0, 2, 0, 0)), np.random.default_rng(1)
    chosen = POLICIES[name](PolicyOptions(OPTIONS.costs, 1.0, 1.0, gamma=1.0, warm_up=5.0, epsilon=1.0))
    draws = [chosen.draw(at, MODEL, rng) for _ in range(200)]
    assert {int(draw.rungs[1]) for draw in draws} == {2}
    if name != "thompson":  # whose chances are estimated
        assert {float(draw.propensities[1]) for draw in draws} == {1.0}
        assert all(draw.distribution and (draw.distribution.allocations[:, 1] == 2).all() for draw in draws)


def test_the_same_seed_draws_the_same(policy: Policy) -> None:
    model = model_after()
    first = [policy.draw(situation(), model, np.random.default_rng(7)).rungs.tolist() for _ in range(2)]
    assert first[0] == first[1]


@pytest.mark.parametrize("name", ["squarecb", "epsilon_greedy", "greedy", "full_depth", "safe"])
def test_propensities_are_the_frequencies(name: str) -> None:
    model, at, rng = model_after(), situation(), np.random.default_rng(1)
    chosen = POLICIES[name](OPTIONS)
    draws = [chosen.draw(at, model, rng) for _ in range(2_500)]
    told: dict[tuple[int, ...], float] = {}
    for draw in draws:
        assert not draw.estimated
        told[tuple(draw.rungs)] = draw.propensity
    seen = {rungs: sum(tuple(draw.rungs) == rungs for draw in draws) / len(draws) for rungs in told}
    for rungs, propensity in told.items():
        assert seen[rungs] == pytest.approx(propensity, abs=0.04), rungs
    assert sum(told.values()) == pytest.approx(1.0, abs=0.02)
    for s in range(4):
        for draw in draws[:50]:
            share = sum(other.rungs[s] == draw.rungs[s] for other in draws) / len(draws)
            assert share == pytest.approx(draw.propensities[s], abs=0.04)


def test_squarecb_shuns_what_is_worse() -> None:
    model, at, rng = model_after(300), situation(), np.random.default_rng(1)
    gentle = POLICIES["squarecb"](PolicyOptions(OPTIONS.costs, 1.0, 1.0, gamma=1.0, warm_up=0.0, epsilon=0))
    sharp = POLICIES["squarecb"](PolicyOptions(OPTIONS.costs, 1.0, 1.0, gamma=1e4, warm_up=0.0, epsilon=0))

    def fresh_share(policy: Policy) -> float:
        return float(np.mean([policy.draw(at, model, rng).rungs[2] > 0 for _ in range(1_000)]))

    assert fresh_share(sharp) < 0.02 < fresh_share(gentle)


def test_squarecb_tries_more_than_looks_best_and_never_less() -> None:
    model, at, rng = model_after(300), situation(), np.random.default_rng(1)
    [best] = POLICIES["greedy"](OPTIONS).distribution(at, model, rng).allocations
    tried = POLICIES["squarecb"](replace(OPTIONS, gamma=1.0, warm_up=0.0)).distribution(at, model, rng)
    assert best.any()
    assert len(tried.allocations) > 1
    assert (tried.allocations >= best).all()


def test_squarecb_tries_more_of_queries_that_people_acted_on() -> None:
    model, rng = model_after(300), np.random.default_rng(1)
    policy = POLICIES["squarecb"](replace(OPTIONS, exploration_share=0.1, exploration_share_known=0.8, warm_up=0.0))
    new, known = (
        1 - policy.distribution(situation(answered=answered), model, rng).probabilities[0]
        for answered in ((0, 0, 0, 0), (0, 2, 0, 0))
    )
    assert 0 < 3 * new < known


def test_warming_up_ends_as_decisions_are_learned_from() -> None:
    at, safe = situation(), safe_rungs(situation(), MODEL)
    policy = POLICIES["squarecb"](replace(OPTIONS, exploration_share=0.0, warm_up=20.0))
    for updates, share in ((0, 1.0), (20, 0.5), (980, 0.02)):
        drawn = policy.distribution(at, replace(MODEL, updates=updates), np.random.default_rng(1))
        assert drawn.probability(safe) == pytest.approx(share)
        assert drawn.probabilities.sum() == pytest.approx(1.0)


def test_squarecb_explores_less_the_more_was_learned() -> None:
    model, at, rng = model_after(300), situation(), np.random.default_rng(1)
    policy = POLICIES["squarecb"](replace(OPTIONS, exploration_share=1.0, warm_up=0.0))
    best = [
        policy.draw(at, replace(model, updates=n), rng).exploration.best_propensity for n in (1, 100, 1_000, 10_000)
    ]
    assert best[0] == best[1] < best[2] < best[3]


def test_thompson_says_that_it_estimates() -> None:
    draw = POLICIES["thompson"](OPTIONS).draw(situation(), model_after(), np.random.default_rng(3))
    assert draw.estimated


@settings(max_examples=20, deadline=None)
@given(allowed=st.tuples(*[st.booleans()] * 4), seed=st.integers(0, 2**32 - 1))
def test_distributions_tell_the_propensity_of_every_draw(allowed: tuple[bool, ...], seed: int) -> None:
    at = situation(allowed)
    for name, factory in POLICIES.items():
        chosen = factory(OPTIONS)
        draw = chosen.draw(at, MODEL, np.random.default_rng(seed))
        told = chosen.distribution(at, MODEL, np.random.default_rng(seed))
        assert told.probabilities.sum() == pytest.approx(1.0), name
        assert (told.probabilities > 0).all(), name
        assert len(np.unique(told.allocations, axis=0)) == len(told.allocations), name
        assert told.estimated == (name == "thompson")
        assert draw.distribution is not None
        if not told.estimated:
            assert told.probability(draw.rungs) == pytest.approx(draw.propensity), name
            assert draw.distribution.probability(draw.rungs) == pytest.approx(draw.propensity), name
            for s in range(4):
                same = told.allocations[:, s] == draw.rungs[s]
                assert told.probabilities[same].sum() == pytest.approx(draw.propensities[s]), name


def test_a_distribution_tells_how_likely_an_allocation_is() -> None:
    told = Distribution(np.array([[1, 0], [1, 2], [0, 2]], np.int8), np.array([0.5, 0.3, 0.2]))
    assert told.probability(np.array([1, 2])) == pytest.approx(0.3)
    assert told.probability(np.array([2, 2])) == 0.0
    counted = Distribution.counted(np.array([[1, 0], [1, 2], [1, 0], [1, 0]]))
    assert counted.estimated
    assert counted.probability(np.array([1, 0])) == pytest.approx(0.75)

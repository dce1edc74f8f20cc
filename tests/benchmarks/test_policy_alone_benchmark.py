from __future__ import annotations

import numpy as np
import pytest
from benchmarks.quality.needs import Need
from benchmarks.quality.policy_alone import Found, Variant, World, play
from benchmarks.quality.streams import Search

from honeyguide.retriever import Strategy
from honeyguide_orchestrator.allocation_learner import AllocationLearner
from honeyguide_orchestrator.allocation_model import AllocationModel
from honeyguide_orchestrator.policy import Draw, Situation, certain
from honeyguide_orchestrator.situation import FEATURES

NEED = Need("music", "q", "query", {"wanted": 1})
RANKS = np.array([[7, 0], [3, 2], [0, 1]], np.int16)


class Always:
    """Asks the same rungs, whatever was learned."""

    name = "always"

    def __init__(self, *rungs: int) -> None:
        self._rungs = np.array(rungs)

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        return certain(self._rungs)


def world(searches: int) -> World:
    x = np.zeros(len(FEATURES), np.float32)
    x[0] = 1.0
    yes, no = np.ones(2, bool), np.zeros(2, bool)
    situation = Situation(x, yes, yes, no, np.zeros(2, np.int64))
    strategies = tuple(Strategy(name, "", dependable=True) for name in ("a", "b"))
    found = [
        Found(Search(i, NEED, "wanted", 60.0 * i, False), situation, ("deep", "wanted", "other"), RANKS)
        for i in range(searches)
    ]
    return World(strategies, found)


@pytest.mark.parametrize(
    ("rungs", "gain", "calls", "candidates"),
    [((1, 0), 1.0, 1, 1), ((2, 0), 1 / np.log2(3), 1, 2), ((2, 1), 1 / np.log2(3), 2, 4), ((0, 1), 1.0, 1, 2)],
)
def test_what_is_earned_is_the_gain_of_what_was_asked_less_its_cost(
    rungs: tuple[int, int], gain: float, calls: int, candidates: int
) -> None:
    earned = play(world(1), Variant(lambda: Always(*rungs)), 1)
    assert (earned.calls, earned.candidates) == ([calls], [candidates])
    assert earned.reward == [pytest.approx(gain - 0.0125 * calls - 0.00025 * candidates)]


def test_a_policy_is_told_of_the_lists_it_asked_or_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[dict[str, int], dict[str, int], float | None]] = []

    def learn(self: AllocationLearner, x: object, asked: dict, ranks: dict, reward: float | None, seed: int) -> None:
        told.append((asked, ranks, reward))

    monkeypatch.setattr(AllocationLearner, "learn", learn)
    play(world(100), Variant(lambda: Always(1, 0)), 1)
    acted = [ranks for _, ranks, reward in told if reward is not None]
    assert all(asked == {"a": 5} for asked, _, _ in told)
    assert acted
    assert all(ranks == {"a": 3} for ranks in acted)
    assert any(reward is None and ranks == {} for _, ranks, reward in told)
    told.clear()
    play(world(100), Variant(lambda: Always(1, 0), told_all=True), 1)
    assert all(asked == {"a": 100, "b": 100} for asked, _, _ in told)
    assert {"a": 3, "b": 2} in [ranks for _, ranks, _ in told]

import asyncio
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.orchestrator.decision_records import decision_record

from honeyguide.errors import Unavailable
from honeyguide_orchestrator import refit
from honeyguide_orchestrator.attribution import Credit
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.example import example_of
from honeyguide_orchestrator.ranker_learner import REFIT_MIN, RankerLearner
from honeyguide_orchestrator.refit import Refits
from honeyguide_orchestrator.trees import Trees

TREES = Trees("", (), {}, REFIT_MIN, 1)


def record(i: int) -> DecisionRecord:
    made = decision_record(f"d{i}", query=f"query {i}", document_ids=("x", "y", "z"), page_size=2)
    return replace(made, features=np.full_like(made.features, i))


class Log:
    """A decision log in memory: every second decision was acted on, at its third document."""

    def __init__(self, decisions: int) -> None:
        self.decisions = decisions
        self.broken = False

    async def read(self, after: str, count: int) -> list[tuple[str, str]]:
        begin = int(after.partition("-")[0]) + 1 if after != "0" else 0
        return [(f"{i}-0", f"d{i}") for i in range(begin, min(begin + count, self.decisions))]

    async def rewards(self, ids: Sequence[str]) -> dict[str, dict[str, float]]:
        if self.broken:
            raise Unavailable("the decision log does not answer")
        return {id: {"z": 0.5 / math.log2(4)} if int(id[1:]) % 2 else {} for id in ids}

    async def fetch(self, ids: Sequence[str]) -> dict[str, DecisionRecord]:
        return {id: record(int(id[1:])) for id in ids}


@pytest.fixture(autouse=True)
def lightgbm_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    # These tests are of when trees are fitted, not of how.
    monkeypatch.setattr("honeyguide_orchestrator.ranker_learner.why_unavailable", lambda: "")


@pytest.fixture
def slow_fit(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, list[Any]]]:
    """A fit that takes until it is released or stopped; and what it was called with."""
    release = threading.Event()
    calls: list[Any] = []

    def fit(
        groups: Mapping[str, Any], base: Mapping[str, float], examination: Any, actions: int, stop: threading.Event
    ) -> Trees | None:
        calls.append((groups, actions, threading.current_thread()))
        while not release.wait(0.005):
            if stop.is_set():
                return None
        return TREES

    monkeypatch.setattr(refit, "fit", fit)
    yield release, calls
    release.set()


def refits(log: Log | None = None) -> Refits:
    return Refits(log or Log(0))  # type: ignore[arg-type]


async def test_a_fit_keeps_nothing_waiting(slow_fit: tuple[threading.Event, list[Any]]) -> None:
    release, calls = slow_fit
    learner, fits = RankerLearner(actions=REFIT_MIN), refits()
    fits.begin(learner, "0")
    fits.turn()
    for _ in range(5):
        await asyncio.sleep(0.01)
        fits.turn()
    assert learner.trees is None
    assert len(calls) == 1
    assert calls[0][2] is not threading.main_thread()
    learner.actions += 10
    release.set()
    await fits.done()
    assert learner.trees is TREES
    assert learner.fitted_at == REFIT_MIN


async def test_closing_gives_up_what_is_under_way(slow_fit: tuple[threading.Event, list[Any]]) -> None:
    learner, fits = RankerLearner(actions=REFIT_MIN), refits()
    fits.begin(learner, "0")
    fits.turn()
    await asyncio.sleep(0.02)
    await asyncio.wait_for(fits.close(), 5)
    assert learner.trees is None


async def test_a_fit_for_an_earlier_learner_is_not_adopted(slow_fit: tuple[threading.Event, list[Any]]) -> None:
    release, _ = slow_fit
    first, second, fits = RankerLearner(actions=REFIT_MIN), RankerLearner(), refits()
    fits.begin(first, "0")
    fits.turn()
    await asyncio.sleep(0.02)
    fits.begin(second, "0")
    release.set()
    await fits.done()
    assert first.trees is None
    assert second.trees is None


async def test_after_a_restart_what_was_acted_on_comes_from_the_log(
    slow_fit: tuple[threading.Event, list[Any]],
) -> None:
    release, calls = slow_fit
    release.set()
    learner, fits = RankerLearner(actions=REFIT_MIN), refits(Log(1_207))
    fits.begin(learner, "1199-0")
    live = example_of(Credit(record(1_203), "y", 2, 1.0, 1.0, 1_203))
    assert live is not None
    learner.groups.add(live)
    fits.turn()
    await fits.done()
    groups = calls[0][0]
    assert list(groups) == [*(f"d{i}" for i in range(1, 1_200, 2)), "d1203"]
    assert groups["d7"].graded == {2: pytest.approx(0.5)}
    assert groups["d7"].query == "query 7"
    assert np.array_equal(groups["d7"].features, record(7).features)
    assert groups["d1203"].graded == {1: 1.0}


async def test_a_log_that_does_not_answer_is_asked_again_at_the_next_fit(
    slow_fit: tuple[threading.Event, list[Any]],
) -> None:
    release, calls = slow_fit
    release.set()
    log = Log(10)
    learner, fits = RankerLearner(actions=REFIT_MIN), refits(log)
    fits.begin(learner, "9-0")
    log.broken = True
    fits.turn()
    await fits.done()
    assert not calls
    assert learner.trees is None
    log.broken = False
    learner.actions *= 3
    fits.turn()
    await fits.done()
    assert len(calls[0][0]) == 5


def test_an_action_below_the_kept_features_teaches_no_ranker() -> None:
    short = replace(record(1), features=record(1).features[:1])
    assert example_of(Credit(short, "y", 2, 0.5, 0.5, 0)) is None
    kept = example_of(Credit(record(1), "z", 3, 0.25, 0.25, 0))
    assert kept is not None
    assert kept.grade == pytest.approx(0.5)
    assert kept.shown == 4
    assert kept.row == 2

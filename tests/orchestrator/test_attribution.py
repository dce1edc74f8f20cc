import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.orchestrator.decision_records import decision_record

from honeyguide.documents import Context
from honeyguide.query import Understanding
from honeyguide_orchestrator.attribution import FURTHER, Attribution, Rewards, Verdict
from honeyguide_orchestrator.decision_log import DecisionRecord, LoggedShadow, LoggedStrategy, decode, encode, new_id
from honeyguide_orchestrator.event_stream import Event
from honeyguide_orchestrator.experiment import Mode, Trial, Variant
from honeyguide_orchestrator.fanout import Status
from honeyguide_orchestrator.policy import Exploration

REWARDS = Rewards({"click": 1.0, "dislike": -1.0}, play_full_s=30.0)


def record(id: str = "d1", time_s: float = 1_000.0, **more: Any) -> DecisionRecord:
    """Full text put y first, x second and z third; memory was late."""
    return decision_record(
        id,
        document_ids=("x", "y", "z"),
        context=Context(time_s, user_id="u1", attributes={"plan": "free"}),
        strategies=(
            LoggedStrategy("lexical.bm25", 20, 0.9, Status.OK, 3, 0.001),
            LoggedStrategy("memory.query", 5, 0.5, Status.LATE, 0, 0.5, "late"),
            LoggedStrategy("vector.dense", 0, 0.8, Status.NOT_ASKED, 0, 0.0),
        ),
        ranks=np.array([[2], [1], [3]], np.int16),
        page_size=2,
        **more,
    )


def click(document_id: str = "y", decision_id: str = "d1", time_s: float = 1_010.0, **more: object) -> Event:
    return Event(id="e1", decision_id=decision_id, document_id=document_id, action="click", time_s=time_s, **more)  # type: ignore[arg-type]


def test_a_record_survives_its_bytes() -> None:
    before = record(
        query="Halo",
        understanding=Understanding("halo", "halo"),
        scope="s",
        snapshot_version=3,
        propensity=0.25,
        x=np.array([1, 0.5], np.float32),
        types=("film", "film", "person"),
        scores=np.array([3, 2, 1], np.float32),
        features=np.array([[1, 0.5], [0.25, 2]], np.float32),
        strategy_scores=np.array([[4], [8]], np.float32),
        swapped_at=1,
        shadow=LoggedShadow("greedy", (("lexical.bm25", 5),), False, 0.25),
        exploration=Exploration(True, 0.75, 0.01),
        trial=Trial("x", Mode.SPLIT, Variant(), Variant(ranker="linear"), "b", 7, (1, 2)),
    )
    after = decode(encode(before))
    for name in ("x", "scores", "ranks", "features", "strategy_scores"):
        assert np.array_equal(getattr(before, name), getattr(after, name)), name
    arrays = {name: np.empty(0) for name in ("x", "scores", "ranks", "features", "strategy_scores")}
    assert repr(replace(before, **arrays)) == repr(replace(after, **arrays))


def test_credit_goes_by_the_position_shown_and_names_who_found_it() -> None:
    attribution = Attribution(window_s=60)
    attribution.opened(record(), "1-0", 0)
    verdict, credit = attribution.attribute(click("y"), 1.0, record())
    assert verdict is Verdict.ATTRIBUTED
    assert credit is not None
    assert credit.position == 2
    assert credit.reward == pytest.approx(1 / math.log2(3))
    assert credit.gain == credit.reward
    assert credit.ranks == {"lexical.bm25": 1}
    # A late strategy is not held to have found nothing.
    assert credit.asked == {"lexical.bm25": 20}


def test_a_second_document_raises_the_reward_only_if_it_earns_more() -> None:
    attribution = Attribution(window_s=60)
    attribution.opened(record(), "1-0", 0)
    _, first = attribution.attribute(click("y"), 1.0, record())
    _, better = attribution.attribute(click("x"), 1.0, record())
    _, worse = attribution.attribute(click("z"), 1.0, record())
    assert first is not None
    assert better is not None
    assert worse is not None
    assert better.gain == pytest.approx(1 - 1 / math.log2(3))
    assert worse.gain == 0
    assert attribution.attribute(click("x"), 1.0, record()) == (Verdict.REPEATED, None)


@pytest.mark.parametrize(
    ("event", "weight", "known", "verdict"),
    [
        (click(), 1.0, False, Verdict.UNKNOWN_DECISION),
        (click(time_s=1_061.0), 1.0, True, Verdict.LATE),
        (click("nowhere"), 1.0, True, Verdict.NOT_SHOWN),
        (click(), 0.0, True, Verdict.NEUTRAL),
        (click(), -1.0, True, Verdict.NEUTRAL),
    ],
)
def test_what_earns_no_credit(event: Event, weight: float, known: bool, verdict: Verdict) -> None:
    attribution = Attribution(window_s=60)
    attribution.opened(record(), "1-0", 0)
    assert attribution.attribute(event, weight, record() if known else None) == (verdict, None)


def test_decisions_close_by_the_times_of_decisions_and_say_whether_they_were_rewarded() -> None:
    attribution = Attribution(window_s=60)
    for i, (id, time_s) in enumerate([("d1", 1_000.0), ("d2", 1_010.0), ("d3", 1_065.0)]):
        attribution.opened(record(id, time_s), f"{i}-0", i)
    attribution.attribute(click(decision_id="d1"), 1.0, record("d1"))
    assert [(closed.id, rewards) for closed, rewards in attribution.close()] == [("d1", {"y": 1 / math.log2(3)})]
    attribution.opened(record("d4", 1_071.0), "4-0", 3)
    assert [(closed.id, rewards) for closed, rewards in attribution.close()] == [("d2", {})]
    assert list(attribution.open) == ["d3", "d4"]
    assert attribution.credited == {}


def action(name: str, seconds: float = 0.0) -> Event:
    return Event(id="e", decision_id="d", document_id="x", action=name, seconds=seconds)


def test_rewards() -> None:
    assert REWARDS.of(click()) == 1.0
    assert REWARDS.of(action("dislike")) == -1.0
    assert REWARDS.of(action("skip")) == 0.0
    assert REWARDS.of(action("play", seconds=15.0)) == 0.5
    assert REWARDS.of(action("play", seconds=600.0)) == 1.0


def test_an_action_that_earns_more_raises_what_a_document_was_credited_with() -> None:
    attribution = Attribution(window_s=60)
    attribution.opened(record(), "1-0", 0)
    attribution.attribute(click("x"), 0.1, record())
    verdict, more = attribution.attribute(click("x"), 1.0, record())
    assert verdict is Verdict.RAISED
    assert more is not None
    assert (more.reward, more.earlier, more.gain) == (1.0, 0.1, 0.9)
    assert attribution.attribute(click("x"), 0.5, record()) == (Verdict.REPEATED, None)
    assert attribution.rewards("d1") == {"x": 1.0}


def test_what_was_credited_to_decisions_that_are_not_open_is_known_until_their_time_is_over() -> None:
    attribution = Attribution(window_s=60)
    attribution.attribute(click("x", "early"), 1.0, record("early", 1_000.0))
    assert attribution.unknown(["early", "closed"]) == ["closed"]
    attribution.remember({"closed": record("closed", 900.0)}, {"closed": {"x": 1.0}})
    assert attribution.attribute(click("x", "closed", 950.0), 1.0, record("closed", 900.0)) == (Verdict.REPEATED, None)
    assert attribution.attribute(click("y", "closed", 950.0), 1.0, record("closed", 900.0))[0] is Verdict.ATTRIBUTED
    assert set(attribution.rewards("closed")) == {"x", "y"}
    attribution.opened(record("early", 1_000.0), "1-0", 0)
    assert list(attribution.close()) == []
    assert set(attribution.credited) == {"early"}


def test_a_decision_that_was_open_and_is_gone_does_not_stay_credited_after_a_restart() -> None:
    before, after = Attribution(window_s=60), Attribution(window_s=60)
    for id in ("gone", "there"):
        before.opened(record(id), "1-0", 0)
        before.attribute(click("x", id), 1.0, record(id))
    after.opened(record("there"), "1-0", 0)
    after.restore(before.to_state())
    after.opened(record("later", 2_000.0), "2-0", 1)
    assert [closed.id for closed, _ in after.close()] == ["there"]
    assert after.credited == {}


def test_a_log_of_years_ago_and_searches_of_today_do_not_close_each_other() -> None:
    attribution = Attribution(window_s=60)
    now_s = 1_700_000_000.0
    for number in range(5):
        attribution.opened(record(f"past{number}", 1_000.0 + number), f"{2 * number}-0", 2 * number)
        attribution.opened(record(f"live{number}", now_s + number), f"{2 * number + 1}-0", 2 * number + 1)
    assert list(attribution.close()) == []
    attribution.opened(record("past", 1_100.0), "10-0", 10)
    assert [closed.id for closed, _ in attribution.close()] == [f"past{number}" for number in range(5)]
    attribution.opened(record("live", now_s + 100), "11-0", 11)
    assert [closed.id for closed, _ in attribution.close()] == [f"live{number}" for number in range(5)]


def test_beyond_a_number_the_oldest_close_early_and_once() -> None:
    attribution = Attribution(window_s=60, open_max=3)
    closed = []
    for number in range(200):
        attribution.opened(record(f"d{number}", 1_000.0 + number), f"{number}-0", number)
        assert len(attribution.open) <= 4
        closed += [record.id for record, _ in attribution.close()]
    assert closed == [f"d{number}" for number in range(197)]
    assert attribution.closed_early == 197
    assert sum(map(len, attribution._oldest.values())) <= 4
    # Those left close by their time.
    attribution.opened(record("later", 1_260.0), "200-0", 200)
    assert [record.id for record, _ in attribution.close()] == ["d197", "d198", "d199"]
    assert attribution.closed_early == 197


def test_the_last_of_a_replayed_log_closes_after_many_others() -> None:
    attribution = Attribution(window_s=60)
    attribution.opened(record("past"), "0-0", 0)
    for number in range(1, FURTHER + 1):
        assert list(attribution.close()) == []
        attribution.opened(record(f"live{number}", 1_700_000_000.0), f"{number}-0", number)
    assert [closed.id for closed, _ in attribution.close()] == ["past"]


def test_an_untracked_decision_that_is_gone_is_told_by_its_id() -> None:
    attribution = Attribution(window_s=60)
    for tracked, verdict in ((False, Verdict.UNTRACKED), (True, Verdict.UNKNOWN_DECISION)):
        gone = click(decision_id=new_id(tracked))
        assert attribution.attribute(gone, 1.0, None) == (verdict, None)

"""One step of the learner over lists in the place of Redis, lexical and memory."""

import asyncio
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.orchestrator.decision_records import decision_record

from honeyguide.api.lexical.v1 import lexical_pb2
from honeyguide.api.memory.v1 import memory_pb2
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import Condition, Context, time_from_proto
from honeyguide.errors import InvalidArgument, ResourceExhausted, Unavailable
from honeyguide.query import Interpretation, Understanding
from honeyguide.retriever import Strategy
from honeyguide_orchestrator.attribution import Rewards
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.event_stream import Event
from honeyguide_orchestrator.examination import PRIOR_POWER
from honeyguide_orchestrator.foreground import Foreground
from honeyguide_orchestrator.learner import FETCHED_AT_ONCE, Learner, LearnerOptions
from honeyguide_orchestrator.packing import packed, unpacked
from honeyguide_orchestrator.remembering import TOLD_AT_ONCE
from honeyguide_orchestrator.situation import FEATURES
from honeyguide_orchestrator.snapshot import Snapshot

WINDOW_S = 600.0
GENRE = Understanding(
    "drama", "drama", interpretations=(Interpretation(1.0, conditions=(Condition("genre", frozenset({"drama"})),)),)
)
"""Of which it matters what the documents are that are acted on."""


def record(id: str, time_s: float, **more: Any) -> DecisionRecord:
    return decision_record(id, context=Context(time_s, user_id=f"user of {id}"), **more)


def click(id: str, decision: str, document: str = "x") -> Event:
    return Event(id=id, decision_id=decision, document_id=document, action="click", time_s=100.0)


class Streams:
    """The decision log, the event stream, lexical and memory at once; `refused`: an event that memory refuses;
    `elsewhere`: decisions that are kept, but not in the stream; `logged`: what is in it, if not each once; `fitting`:
    documents that fit into one message."""

    def __init__(self, decisions: Sequence[DecisionRecord], events: Sequence[Event]) -> None:
        self.decisions = {decision.id: decision for decision in decisions}
        self.elsewhere: dict[str, DecisionRecord] = {}
        self.logged: list[str] = []
        self.events = list(events)
        self.fetched: list[Sequence[str]] = []
        self.settled: dict[str, Mapping[str, float]] = {}
        self.open: Set[str] = frozenset()
        self.remembered: list[memory_pb2.Action] = []
        self.shown: list[memory_pb2.Impressions] = []
        self.calls = 0
        self.refused = ""
        self.down = self.lexical_down = False
        self.fitting = 1_000

    async def fetch(self, ids: Sequence[str], pause: Any = None) -> dict[str, DecisionRecord]:
        known = self.decisions | self.elsewhere
        return {id: known[id] for id in ids if id in known}

    async def read(self, after: Any, count: int) -> list[Any]:
        if isinstance(after, str):
            begin = int(after.partition("-")[0])
            return [(f"{i + 1}-0", id) for i, id in enumerate(self.logged or self.decisions)][begin : begin + count]
        begin = int(after.get(0, "0").partition("-")[0])
        return [(0, f"{begin + i + 1}-0", event) for i, event in enumerate(self.events[begin : begin + count])]

    async def settle(self, rewards: Mapping[str, Mapping[str, float]], open: Set[str] = frozenset()) -> None:
        self.settled |= rewards
        self.open = (self.open - rewards.keys()) | open

    async def rewards(self, ids: Sequence[str]) -> dict[str, Mapping[str, float]]:
        return {id: self.settled[id] for id in ids if id in self.settled}

    async def FetchDocuments(self, request: Any, timeout: float) -> lexical_pb2.FetchDocumentsResponse:
        await asyncio.sleep(0)
        self.fetched.append(request.document_ids)
        if self.lexical_down:
            raise Unavailable("lexical")
        if len(request.document_ids) > self.fitting:
            raise ResourceExhausted("Received message larger than max")
        return lexical_pb2.FetchDocumentsResponse(
            documents=[
                lexical_pb2.FetchedDocument(document=document_pb2.Document(id=id, type="film"))
                for id in request.document_ids
            ]
        )

    async def RecordActions(self, request: memory_pb2.RecordActionsRequest, timeout: float) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("memory")
        if any(action.event_id == self.refused for action in request.actions):
            raise InvalidArgument("actions", "no")
        self.remembered += request.actions

    async def RecordImpressions(self, request: memory_pb2.RecordImpressionsRequest, timeout: float) -> None:
        await asyncio.sleep(0)
        if any(page.page_id == self.refused for page in request.pages):
            raise InvalidArgument("pages", "no")
        self.shown += request.pages


class Snapshots:
    """The newest snapshot, as bytes; the lease is whoever's wants it."""

    def __init__(self) -> None:
        self.kept = b""
        self.version = 0

    async def publish(self, content: Mapping[str, Any], lease_token: str, time_s: float, after_version: int) -> int:
        if self.version > after_version:
            return -1
        self.kept = packed(content)
        self.version += 1
        return self.version

    async def fetch(self) -> Snapshot | None:
        return Snapshot(self.version, 0.0, unpacked(self.kept)) if self.kept else None


def learner_of(streams: Streams, snapshots: Snapshots | None = None, open_max: int = 1_000) -> Learner:
    strategies = (Strategy("lexical.bm25", "full text", dependable=True),)
    lease: Any = SimpleNamespace(token="ours")
    return Learner(
        decision_log=streams,  # type: ignore[arg-type]
        event_stream=streams,  # type: ignore[arg-type]
        snapshots=snapshots or Snapshots(),  # type: ignore[arg-type]
        lease=lease,
        lexical=streams,
        memory=streams,
        strategies=lambda: strategies,
        options=LearnerOptions(
            (5, 10, 20), Rewards({"click": 0.5}, 30.0), WINDOW_S, open_max, 0.01, 0.001, 0.1, 0.1, 10.0, False
        ),
        clock=lambda: 0.0,
        make_way=Foreground().make_way,
    )


async def test_memory_is_told_of_every_event_and_models_of_each_document_once() -> None:
    events = [click(f"e{i}", "d1", "xy"[i % 2]) for i in range(TOLD_AT_ONCE + 5)]
    streams = Streams([record("d1", 100.0)], events)
    learner = learner_of(streams)
    assert await learner.step() == 1 + len(events)
    assert sorted(action.event_id for action in streams.remembered) == sorted(event.id for event in events)
    assert {action.context.user_id for action in streams.remembered} == {"user of d1"}
    assert [action.position for action in streams.remembered[:4]] == [1, 2, 1, 2]
    assert streams.calls == 2
    assert learner.ranker.actions == 2
    await learner.publish()
    assert set(streams.settled["d1"]) == {"x", "y"}


async def test_a_click_on_what_filled_a_later_page_is_credited() -> None:
    streams = Streams([record("d1", 100.0)], [])
    learner = learner_of(streams)
    await learner.step()
    streams.decisions["d1"] = record("d1", 100.0, document_ids=("x", "y", "z"))
    streams.events += [click("e1", "d1", "z"), click("e2", "d1", "nowhere")]
    await learner.step()
    await learner.publish()
    assert set(streams.settled["d1"]) == {"z"}
    assert [action.position for action in streams.remembered] == [3, 0]
    assert learner._progress.events == {"attributed": 1, "not_shown": 1}


async def test_memory_is_told_once_of_every_page_shown() -> None:
    times_s = {f"d{i}": 100.0 + i for i in range(TOLD_AT_ONCE + 5)}
    streams = Streams([decision_record(id, context=Context(time_s)) for id, time_s in times_s.items()], [])
    streams.refused = "d1"
    learner = learner_of(streams)
    with capture_logs() as logs:
        await learner.step()
        await learner.step()
    assert [page.page_id for page in streams.shown] == [id for id in streams.decisions if id != "d1"]
    (page,) = (page for page in streams.shown if page.page_id == "d2")
    assert list(page.document_ids) == list(streams.decisions["d2"].document_ids)
    assert list(page.looked_at) == pytest.approx([1.0, 2**-PRIOR_POWER])
    assert time_from_proto("time", page.time) == 102.0
    assert [entry["refused"].count('"d1"') for entry in logs] == [1]


async def test_a_person_who_looks_again_within_half_an_hour_has_seen_a_page_once() -> None:
    def seen(id: str, time_s: float, user: str) -> DecisionRecord:
        return decision_record(id, context=Context(time_s, user_id=user))

    looks = [seen("a", 100.0, "u"), seen("b", 200.0, "u"), seen("c", 200.0, "v"), seen("d", 2_000.0, "u")]
    streams = Streams([*looks, seen("e", 200.0, ""), seen("f", 210.0, "")], [])
    await learner_of(streams).step()
    a, b, c, d, e, f = (page.page_id for page in streams.shown)
    assert a == b
    assert len({a, c, d, e, f}) == 5


async def test_one_event_that_memory_refuses_does_not_keep_the_others_from_it() -> None:
    streams = Streams([record("d1", 100.0)], [click("good", "d1"), click("bad", "d1"), click("better", "d1")])
    streams.refused = "bad"
    with capture_logs() as logs:
        await learner_of(streams).step()
    assert [action.event_id for action in streams.remembered] == ["good", "better"]
    assert [entry["refused"].count('"bad"') for entry in logs] == [1]


async def test_a_step_fails_where_memory_does_not_answer() -> None:
    streams = Streams([record("d1", 100.0)], [click("e", "d1")])
    streams.down = True
    with pytest.raises(Unavailable):
        await learner_of(streams).step()


async def test_a_record_with_another_context_stops_neither_events_nor_decisions_that_close() -> None:
    fewer = np.ones(len(FEATURES) - 1, np.float32)
    odd, clicked = record("odd", 100.0, x=fewer), record("clicked", 100.0, x=fewer)
    later = [record(f"later {i}", 101.0 + i * 2 * WINDOW_S) for i in range(2)]
    streams = Streams([odd, clicked, *later], [click("e", "clicked")])
    learner = learner_of(streams)
    with capture_logs() as logs:
        await learner.step()
        await learner.publish()
    assert {entry["log_level"] for entry in logs} == {"warning"}
    # The ranker learns of the click; of the three decisions that close, the last is learned from.
    assert learner.ranker.actions == 1
    assert set(streams.settled) == {"odd", "clicked", "later 0"}
    assert learner._allocation.updates == 1


async def test_rankers_learn_nothing_from_features_of_an_earlier_version() -> None:
    new = record("new", 101.0)
    old = record("old", 100.0, features=new.features[:, 1:])
    streams = Streams([old, new], [click("e1", "old"), click("e2", "new")])
    learner = learner_of(streams)
    with capture_logs() as logs:
        await learner.step()
        await learner.publish()
    assert not logs
    assert learner.ranker.actions == 1
    assert set(streams.settled) == {"old", "new"}


async def test_what_breaks_in_a_decision_that_closes_is_logged_and_learning_goes_on() -> None:
    later = [record(f"later {i}", 101.0 + i * 2 * WINDOW_S) for i in range(2)]
    learner = learner_of(streams := Streams([record("broken", 100.0), *later], []))
    with pytest.MonkeyPatch.context() as patch, capture_logs() as logs:
        closed = learner.ranker.__class__.closed

        def breaks(self: Any, record: DecisionRecord, acted_on: Any) -> None:
            if record.id == "broken":
                raise ValueError("no")
            closed(self, record, acted_on)

        patch.setattr(learner.ranker.__class__, "closed", breaks)
        await learner.step()
        await learner.publish()
    assert [(entry["log_level"], entry["decision"]) for entry in logs] == [("error", "broken")]
    assert set(streams.settled) == {"broken", "later 0"}
    assert learner._allocation.updates == 1


async def test_what_arrives_after_a_decision_closed_adds_to_its_rewards_and_is_learned_once() -> None:
    streams = Streams([record("d1", 100.0), record("d2", 100.0 + 2 * WINDOW_S)], [click("e1", "d1")])
    learner = learner_of(streams)
    await learner.step()
    await learner.publish()
    (reward,) = streams.settled["d1"].values()
    streams.events += [click("again", "d1"), click("late", "d1", "y"), click("late again", "d1", "y")]
    await learner.step()
    await learner.publish()
    assert set(streams.settled["d1"]) == {"x", "y"}
    assert streams.settled["d1"]["x"] == reward
    assert learner._progress.events == {"attributed": 2, "repeated": 2}
    assert learner.ranker.actions == 2
    await learner.step()
    assert learner._attribution.credited == {}


async def test_a_credited_decision_is_settled_as_an_open_one_until_its_window_closes() -> None:
    streams = Streams([record("d1", 100.0), record("d2", 101.0)], [click("e1", "d1")])
    learner = learner_of(streams)
    await learner.step()
    await learner.publish()
    assert (set(streams.settled), streams.open) == ({"d1"}, {"d1"})
    streams.decisions["d3"] = record("d3", 101.0 + 2 * WINDOW_S)
    await learner.step()
    await learner.publish()
    assert (set(streams.settled), streams.open) == ({"d1", "d2"}, set())
    assert (set(streams.settled["d1"]), set(streams.settled["d2"])) == ({"x"}, set())
    streams.events.append(click("late", "d1", "y"))
    await learner.step()
    await learner.publish()
    assert (set(streams.settled["d1"]), streams.open) == ({"x", "y"}, set())


async def test_a_decision_that_is_credited_before_it_is_taken_in_is_open_then() -> None:
    streams = Streams([], [click("e1", "d1")])
    streams.elsewhere = {"d1": record("d1", 100.0)}
    learner = learner_of(streams)
    await learner.step()
    await learner.publish()
    streams.decisions = streams.elsewhere
    await learner.step()
    await learner.publish()
    assert (set(streams.settled["d1"]), streams.open) == ({"x"}, {"d1"})


async def test_what_a_learner_did_not_publish_its_successor_learns_once() -> None:
    streams = Streams([record("d1", 100.0), record("d2", 100.0 + 2 * WINDOW_S)], [click("e1", "d1")])
    snapshots = Snapshots()
    learner = learner_of(streams, snapshots)
    await learner.step()
    await learner.publish()
    streams.events += [click("late", "d1", "y"), click("late again", "d1", "y"), click("e2", "d2")]
    await learner.step()  # and it dies
    successor = learner_of(streams, snapshots)
    await successor.restore()
    await successor.step()
    assert successor._progress.events == {"attributed": 3, "repeated": 1}
    assert successor.ranker.actions == 3
    await successor.publish()
    assert set(streams.settled["d1"]) == {"x", "y"}
    # One that dies between the two leaves the settling to its successor.
    streams.settled.clear()
    streams.events.append(click("still later", "d1", "x"))
    third = learner_of(streams, snapshots)
    await third.restore()
    assert set(streams.settled["d1"]) == {"x", "y"}
    await third.step()
    assert third._progress.events == {"attributed": 3, "repeated": 2}


async def test_who_comes_back_after_another_learned_goes_on_from_what_that_learned() -> None:
    streams = Streams([record("d1", 100.0), record("d2", 100.0 + 2 * WINDOW_S)], [click("e1", "d1")])
    snapshots = Snapshots()
    ours, theirs = learner_of(streams, snapshots), learner_of(streams, snapshots)
    await ours.step()
    assert await ours.publish()
    assert await ours.publish()
    await theirs.restore()
    streams.events.append(click("late", "d1", "y"))
    await theirs.step()
    assert await theirs.publish()
    await ours.step()
    assert not await ours.publish()
    await ours.restore()
    assert (ours.ranker.actions, ours._progress.events) == (2, {"attributed": 2})
    assert await ours.publish()


async def test_a_decision_that_is_logged_twice_counts_once() -> None:
    streams = Streams([record("d1", 100.0), record("d2", 101.0)], [click("e1", "d1")])
    streams.logged = ["d1", "d1", "d2"]
    snapshots = Snapshots()
    learner = learner_of(streams, snapshots)
    await learner.step()
    await learner.publish()
    assert learner._progress.decisions == 2
    successor = learner_of(streams, snapshots)
    await successor.restore()
    assert list(successor._attribution.open) == ["d1", "d2"]


async def test_a_log_of_years_ago_closes_beside_searches_of_today() -> None:
    old = [record(f"old {i}", 100.0 + i * WINDOW_S / 2) for i in range(6)]
    streams = Streams([record("today", 1e9), *old], [click("e1", "old 0"), click("e2", "old 5")])
    snapshots = Snapshots()
    learner = learner_of(streams, snapshots)
    await learner.step()
    await learner.publish()
    assert list(streams.settled) == ["old 0", "old 5", "old 1", "old 2"]
    assert list(learner._attribution.open) == ["today", "old 3", "old 4", "old 5"]
    ordinals = [opened.ordinal for opened in learner._attribution.open.values()]
    successor = learner_of(streams, snapshots)
    await successor.restore()
    assert list(successor._attribution.open) == ["today", "old 3", "old 4", "old 5"]
    assert [opened.ordinal for opened in successor._attribution.open.values()] == ordinals == [0, 4, 5, 6]


async def test_decisions_that_are_too_many_to_hold_close_early_and_clicks_that_come_later_count() -> None:
    streams = Streams([record(f"d{i}", 100.0 + i) for i in range(6)], [click("e1", "d1"), click("e5", "d5")])
    snapshots = Snapshots()
    learner = learner_of(streams, snapshots, open_max=2)
    with capture_logs() as logs:
        await learner.step()
        await learner.step()
    await learner.publish()
    assert [entry["event"] for entry in logs] == ["searches are closed before their time for feedback is over"]
    assert set(streams.settled) == {"d0", "d1", "d2", "d3", "d5"}
    assert list(learner._attribution.open) == ["d4", "d5"]
    streams.events += [click("late", "d0"), click("again", "d1")]
    await learner.step()
    assert learner._progress.events == {"attributed": 3, "repeated": 1}
    successor = learner_of(streams, snapshots, open_max=2)
    await successor.restore()
    assert list(successor._attribution.open) == ["d4", "d5"]
    await successor.step()
    assert successor._progress.events == learner._progress.events


async def test_nothing_is_learned_from_what_was_done_about_an_untracked_search() -> None:
    streams = Streams([record("d1", 100.0)], [click("e1", "unseen"), click("e2", "d1")])
    streams.elsewhere = {"unseen": record("unseen", 100.0, tracked=False)}
    learner = learner_of(streams)
    await learner.step()
    await learner.publish()
    assert learner._progress.events == {"attributed": 1, "untracked": 1}
    assert [action.event_id for action in streams.remembered] == ["e2"]
    assert (learner.ranker.actions, learner._allocation.updates) == (1, 1)
    assert set(streams.settled) == {"d1"} == set(learner._attribution.credited)


async def test_an_action_that_earns_more_is_learned_by_what_it_earns_more() -> None:
    played = [
        Event(id=f"e{seconds}", decision_id="d1", document_id="x", action="play", time_s=100.0, seconds=seconds)
        for seconds in (3.0, 30.0)
    ]
    streams = Streams([record("d1", 100.0)], played)
    learner = learner_of(streams)
    await learner.step()
    await learner.publish()
    assert streams.settled["d1"] == {"x": 1.0}
    assert learner._progress.events == {"attributed": 1, "raised": 1}
    assert (learner.ranker.actions, learner._allocation.updates) == (1, 1)
    value = learner._allocation.value_sums
    once = learner_of(Streams([record("d1", 100.0)], played[1:]))
    await once.step()
    assert value == pytest.approx(once._allocation.value_sums)
    assert learner.ranker.linear.count == 2


async def test_more_documents_than_are_asked_for_at_once_are_asked_for_in_parts() -> None:
    ids = [f"x{i}" for i in range(2 * FETCHED_AT_ONCE + 1)]
    streams = Streams([], [])
    assert [document.id async for document in learner_of(streams)._fetched(ids)] == ids
    assert [len(some) for some in streams.fetched] == [FETCHED_AT_ONCE, FETCHED_AT_ONCE, 1]


async def test_documents_too_long_for_one_message_are_asked_for_by_fewer() -> None:
    ids = [f"x{i}" for i in range(20)]
    streams = Streams([], [])
    streams.fitting = 3
    assert [document.id async for document in learner_of(streams)._fetched(ids)] == ids
    assert max(len(some) for some in streams.fetched[4:]) <= 2 * streams.fitting


async def test_learning_goes_on_where_documents_are_too_large_to_be_fetched_even_alone() -> None:
    streams = Streams([record("d1", 100.0, understanding=GENRE)], [click("e", "d1")])
    streams.fitting = 0
    learner = learner_of(streams)
    with capture_logs() as logs:
        await learner.step()
    assert {entry["event"] for entry in logs} == {"a document is too large to be fetched"}
    assert learner.ranker.actions == 1


async def test_learning_goes_on_where_documents_cannot_be_met() -> None:
    streams = Streams([record("d1", 100.0)], [click("e", "d1")])
    streams.lexical_down = True
    learner = learner_of(streams)
    with capture_logs() as logs:
        await learner.step()
    assert [entry["event"] for entry in logs] == ["documents not met"]
    assert learner.ranker.actions == 1


async def test_what_an_event_leaves_unset_of_who_acted_is_that_of_its_decision() -> None:
    given = Context(0.0, device="phone", attributes={"plan": "free"})
    asked = Context(0.0, user_id="u1", session_id="s1", device="tv", attributes={"shop": "de"})
    event = Event(id="e1", decision_id="d1", document_id="x", action="click", time_s=100.0, context=given)
    streams = Streams([replace(record("d1", 0.0), context=asked)], [event])
    await learner_of(streams).step()
    (action,) = streams.remembered
    told = action.context
    assert (told.user_id, told.session_id, told.device) == ("u1", "s1", "phone")
    assert dict(told.attributes) == {"shop": "de", "plan": "free"}

"""Attribution: joining an event to its decision, and to the strategies that supplied the document."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from heapq import heappop, heappush
from typing import Any

from honeyguide.documents import DAY_S
from honeyguide.text import normalize
from honeyguide_orchestrator.decision_log import DecisionRecord, is_untracked
from honeyguide_orchestrator.event_stream import Event
from honeyguide_orchestrator.fanout import Status

ERA_S = 30 * DAY_S
FURTHER = 1_000
"""Decisions of another time after which one closes: those of its own time do not come any more, or seldom."""


class Verdict(Enum):
    """What an event turned out to be."""

    ATTRIBUTED = "attributed"
    RAISED = "raised"
    REPEATED = "repeated"
    NOT_SHOWN = "not_shown"
    LATE = "late"
    UNKNOWN_DECISION = "unknown_decision"
    UNTRACKED = "untracked"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Rewards:
    """What actions earn: `by_action` in [-1, 1], and the seconds of a play that earn 1."""

    by_action: Mapping[str, float]
    play_full_s: float

    def of(self, event: Event) -> float:
        """What an event says of its document, in [-1, 1]."""
        if event.action == "play":
            return min(1.0, event.seconds / self.play_full_s)
        return self.by_action.get(event.action, 0.0)


@dataclass(frozen=True)
class Credit:
    """An attributed event: the document stood at `position` (from 1) and earned the graded `reward` in [0, 1].

    `earlier` is what it had earned before, 0 = nothing. `gain` is by how much the decision's reward rises, which is the
    best of its documents'.
    """

    record: DecisionRecord
    document_id: str
    position: int
    reward: float
    gain: float
    ordinal: int
    earlier: float = 0.0

    @cached_property
    def asked(self) -> dict[str, int]:
        """Depth by strategy, of those that answered: a failed or late one says nothing of its worth."""
        return asked_depths(self.record)

    @cached_property
    def ranks(self) -> dict[str, int]:
        """Rank by strategy, of those that found the document."""
        row = self.record.ranks[self.position - 1].tolist()
        return {name: rank for name, rank in zip(self.record.answered, row, strict=True) if rank}


@dataclass(frozen=True, slots=True)
class Judged:
    """An event, the decision it belongs to as far as that is known, and what it turned out to be."""

    event: Event
    record: DecisionRecord | None
    verdict: Verdict
    credit: Credit | None

    @property
    def normalized_query(self) -> str:
        """What was searched for."""
        return self.record.understanding.normalized_query if self.record else normalize(self.event.query)


@dataclass(slots=True)
class _Open:
    record: DecisionRecord
    position: str
    ordinal: int


@dataclass(slots=True)
class Attribution:
    """The decisions whose window is open, and what was credited to them so far.

    A decision closes when a decision more than `window_s` younger comes after it: time is that of the requests, and a
    log of years ago may be replayed beside searches of today. So one that is of another time (`ERA_S`) does not close
    it, but many of them do. An event in time for its decision may arrive when that is
    closed already, and is credited all the same: what was credited before is then to be had from the decision log.
    Where more than `open_max` are open, the oldest close before their time is over.

    watermark_s: when the decision was made that came last. apart: when those were made that are credited, but not open:
    closed already, or not taken in yet. closing: those that are due, still open until `close` tells of them.
    closed_early: how many closed before their time was over.
    """

    window_s: float
    open_max: int = 50_000
    watermark_s: float = -math.inf
    open: OrderedDict[str, _Open] = field(default_factory=OrderedDict)
    credited: dict[str, dict[str, float]] = field(default_factory=dict)
    apart: dict[str, float] = field(default_factory=dict)
    closing: dict[str, None] = field(default_factory=dict)
    closed_early: int = 0
    _oldest: dict[int, list[tuple[float, int, str]]] = field(default_factory=dict)

    def opened(self, record: DecisionRecord, position: str, ordinal: int) -> None:
        """Takes in a decision, in the order they came."""
        time_s = self.watermark_s = record.context.time_s
        era = int(time_s // ERA_S)
        for other, oldest in list(self._oldest.items()):
            near = era - 1 <= other <= era
            while oldest and (oldest[0][0] + self.window_s < time_s if near else oldest[0][1] + FURTHER <= ordinal):
                self._due(heappop(oldest)[2])
            while oldest and oldest[0][2] not in self.open:  # it closed early
                heappop(oldest)
            if not oldest:
                del self._oldest[other]
        heappush(self._oldest.setdefault(era, []), (time_s, ordinal, record.id))
        self.open[record.id] = _Open(record, position, ordinal)
        self.apart.pop(record.id, None)
        if len(self.open) - len(self.closing) > self.open_max:
            self._due(next(id for id in self.open if id not in self.closing))
            self.closed_early += 1

    def _due(self, id: str) -> None:
        if id in self.open:
            self.closing[id] = None

    def record(self, decision_id: str) -> DecisionRecord | None:
        """The record of an open decision."""
        known = self.open.get(decision_id)
        return known.record if known else None

    def lengthened(self, record: DecisionRecord) -> None:
        """Takes in the record of an open decision to which documents were added, for a later page."""
        if record.id in self.open:
            self.open[record.id].record = record

    def attribute(self, event: Event, weight: float, record: DecisionRecord | None) -> tuple[Verdict, Credit | None]:
        """Joins an event that earns `weight` to its decision."""
        if record is None:
            return Verdict.UNTRACKED if is_untracked(event.decision_id) else Verdict.UNKNOWN_DECISION, None
        if not record.tracked:
            return Verdict.UNTRACKED, None
        if event.time_s - record.context.time_s > self.window_s:
            return Verdict.LATE, None
        if weight <= 0:
            return Verdict.NEUTRAL, None
        try:
            position = record.document_ids.index(event.document_id) + 1
        except ValueError:
            return Verdict.NOT_SHOWN, None
        reward = weight / math.log2(1 + position)
        rewards = self.credited.get(record.id, {})
        earlier = rewards.get(event.document_id, 0.0)
        if reward <= earlier:
            return Verdict.REPEATED, None
        gain = max(0.0, reward - max(rewards.values(), default=0.0))
        self.credited[record.id] = rewards | {event.document_id: reward}
        known = self.open.get(record.id)
        if known is None:
            self.apart[record.id] = record.context.time_s
        credit = Credit(record, event.document_id, position, reward, gain, known.ordinal if known else -1, earlier)
        return Verdict.RAISED if earlier else Verdict.ATTRIBUTED, credit

    def unknown(self, decision_ids: Iterable[str]) -> list[str]:
        """Those of which nothing is known here: what was credited to them stands in the decision log, if anything."""
        return [id for id in decision_ids if id not in self.open and id not in self.credited]

    def remember(self, records: Mapping[str, DecisionRecord], credited: Mapping[str, Mapping[str, float]]) -> None:
        """Takes in what the decision log says was credited to decisions that are closed."""
        for id, rewards in credited.items():
            self.credited[id] = dict(rewards)
            self.apart[id] = records[id].context.time_s

    def rewards(self, decision_id: str) -> Mapping[str, float]:
        """What was credited to a decision so far, by document."""
        return self.credited.get(decision_id, {})

    def close(self) -> Iterator[tuple[DecisionRecord, Mapping[str, float]]]:
        """Closes what is due: the record, and what was credited to it, by document."""
        for id in [id for id, time_s in self.apart.items() if time_s + self.window_s < self.watermark_s]:
            del self.apart[id]
            self.credited.pop(id, None)
        due, self.closing = self.closing, {}
        for id in due:
            yield self.open.pop(id).record, self.credited.pop(id, {})

    def to_state(self) -> dict[str, Any]:
        """What a successor needs: the decisions from the oldest open one on it reads from the log again."""
        oldest = next(iter(self.open.values()), None)
        return {
            "watermark_s": self.watermark_s if math.isfinite(self.watermark_s) else None,
            "credited": self.credited,
            "apart": self.apart,
            "open": len(self.open),
            "ordinal": oldest.ordinal if oldest else 0,
            "closing": list(self.closing),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes in what `to_state` told; the decisions from the oldest open one on are opened before."""
        if state["watermark_s"] is not None:
            self.watermark_s = state["watermark_s"]
        still = set(state.get("closing", ()))
        for id in self.closing:
            if id not in still:  # it was closed when it had become due
                del self.open[id]
        self.closing = {id: None for id in self.closing if id in still}
        self.credited = {id: dict(rewards) for id, rewards in state["credited"].items()}
        apart = state.get("apart", {})
        # One that was open and is gone from the log's stream will not close.
        self.apart = {id: apart.get(id, -math.inf) for id in self.credited if id not in self.open}


def asked_depths(record: DecisionRecord) -> dict[str, int]:
    """Depth by strategy, of those that answered."""
    return {s.name: s.depth for s in record.strategies if s.depth > 0 and s.status is Status.OK}

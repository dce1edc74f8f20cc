"""What came of it, for people to read: reward, calls and cost over time, and what each kind of query gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from honeyguide_orchestrator.attribution import Credit
from honeyguide_orchestrator.decision_log import DecisionRecord

BUCKETS_MAX = 400
BUCKET_DECISIONS = 50
KINDS_MAX = 300
FADE = 0.998
"""Share of a kind's sums kept at each search of that kind: reaches back about 500 of them."""

ALL = "all"


@dataclass(slots=True)
class Stretch:
    """Sums over a stretch of decisions."""

    decisions: float = 0.0
    time_s: float = 0.0
    reward: float = 0.0
    cost: float = 0.0
    candidates: float = 0.0
    calls: float = 0.0
    rewarded: float = 0.0
    depth: dict[str, float] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    judged: dict[str, float] = field(default_factory=dict)
    found: dict[str, float] = field(default_factory=dict)

    def decided(self, record: DecisionRecord, cost: float) -> None:
        """Adds a decision."""
        self.decisions += 1
        self.time_s = max(self.time_s, record.context.time_s)
        self.cost += cost
        self.candidates += record.candidates_fetched
        self.calls += record.calls
        for strategy in record.strategies:
            if strategy.depth:
                _add(self.depth, strategy.name, strategy.depth)
                _add(self.asked, strategy.name, 1)

    def credited(self, credit: Credit) -> None:
        """Adds what an event earned."""
        self.reward += credit.gain
        if credit.earlier:
            return
        self.rewarded += 1
        for name in credit.asked:
            _add(self.judged, name, 1)
        for name in credit.ranks:
            _add(self.found, name, 1)

    def fade(self, share: float) -> None:
        """Keeps only a share of all sums."""
        for name in ("decisions", "reward", "cost", "candidates", "calls", "rewarded"):
            setattr(self, name, getattr(self, name) * share)
        for table in (self.depth, self.asked, self.judged, self.found):
            for name in table:
                table[name] *= share

    def absorb(self, later: Stretch) -> None:
        """Adds the stretch that follows."""
        self.time_s = max(self.time_s, later.time_s)
        for name in ("decisions", "reward", "cost", "candidates", "calls", "rewarded"):
            setattr(self, name, getattr(self, name) + getattr(later, name))
        for name in ("depth", "asked", "judged", "found"):
            for strategy, value in getattr(later, name).items():
                _add(getattr(self, name), strategy, value)


@dataclass(slots=True)
class Progress:
    """Counts of what was learned from, a bounded history, and faded sums by kind of query."""

    decisions: int = 0
    events: dict[str, int] = field(default_factory=dict)
    bucket_decisions: int = BUCKET_DECISIONS
    history: list[Stretch] = field(default_factory=list)
    kinds: dict[str, Stretch] = field(default_factory=dict)

    def decided(self, record: DecisionRecord, cost: float) -> int:
        """Takes in a decision; returns its ordinal, from 0."""
        ordinal = self.decisions
        self.decisions += 1
        bucket = ordinal // self.bucket_decisions
        if bucket >= BUCKETS_MAX:
            self._halve()
            bucket = ordinal // self.bucket_decisions
        while len(self.history) <= bucket:
            self.history.append(Stretch())
        self.history[bucket].decided(record, cost)
        for kind in (ALL, record.understanding.intent):
            stretch = self._kind(kind)
            if stretch:
                stretch.fade(FADE)
                stretch.decided(record, cost)
        return ordinal

    def credited(self, credit: Credit) -> None:
        """Takes in what an event earned."""
        bucket = credit.ordinal // self.bucket_decisions
        if 0 <= bucket < len(self.history):
            self.history[bucket].credited(credit)
        for kind in (ALL, credit.record.understanding.intent):
            stretch = self._kind(kind)
            if stretch:
                stretch.credited(credit)

    def counted(self, verdict: str) -> None:
        """Counts an event by what became of it."""
        self.events[verdict] = self.events.get(verdict, 0) + 1

    def _kind(self, kind: str) -> Stretch | None:
        if kind not in self.kinds and len(self.kinds) >= KINDS_MAX:
            return None
        return self.kinds.setdefault(kind, Stretch())

    def _halve(self) -> None:
        """Joins stretches two by two, so that the history stays bounded however long it gets."""
        for i in range(0, len(self.history) - 1, 2):
            self.history[i].absorb(self.history[i + 1])
        self.history = self.history[::2]
        self.bucket_decisions *= 2

    def to_state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Progress:
        """What `to_state` was asked of."""
        return cls(
            decisions=state["decisions"],
            events=dict(state["events"]),
            bucket_decisions=state["bucket_decisions"],
            history=[Stretch(**stretch) for stretch in state["history"]],
            kinds={kind: Stretch(**stretch) for kind, stretch in state["kinds"].items()},
        )


def _add(table: dict[str, float], name: str, value: float) -> None:
    table[name] = table.get(name, 0.0) + value

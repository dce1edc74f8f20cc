"""Replaying a log of past searches: search at its time, see where what was acted on stands, send the action, next."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, field
from statistics import fmean, stdev

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.api.search.v1 import feedback_pb2
from honeyguide.documents import time_to_proto
from honeyguide.errors import InvalidArgument, NotFound, Unavailable
from honeyguide_standalone.api import Api, new_event_id
from honeyguide_standalone.click_log import LoggedAction

LEARNED_WITHIN_S = 60.0
POLL_FIRST_S = 0.001
POLL_MOST_S = 0.05

STATIC = {"policy": "full_depth", "ranker": "fusion"}
"""What nothing is learned by but memory: every strategy at full depth, memory's among them, fused by rank."""


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How to replay.

    first: how many results are looked at (MRR@first). page_size: results a search shows, at least `first`. wait: True
    to search on only when the learner's snapshot that a search reads from has taken the last action in. feedback:
    False to measure only: nothing is sent, and nothing learned from the searches. compare: True to search everything a
    second time, untracked, by `STATIC`.
    """

    first: int = 5
    page_size: int = 10
    wait: bool = False
    feedback: bool = True
    policy: str = ""
    ranker: str = ""
    compare: bool = False


@dataclass(slots=True)
class Standing:
    """Sums over some of the replayed searches."""

    searches: int = 0
    reciprocal_ranks: float = 0.0
    hits: int = 0
    calls: int = 0
    candidates: int = 0

    def add(self, position: int, calls: int, candidates: int) -> None:
        """Adds a search; position from 1, 0 = not among the first."""
        self.searches += 1
        self.reciprocal_ranks += 1.0 / position if position else 0.0
        self.hits += position > 0
        self.calls += calls
        self.candidates += candidates

    def __add__(self, other: Standing) -> Standing:
        return Standing(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Standing) -> Standing:
        return Standing(*(mine - its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    @property
    def mrr(self) -> float:
        """Mean of 1 / position, 0 where the document was not among the first."""
        return self.reciprocal_ranks / max(self.searches, 1)

    @property
    def hit_rate(self) -> float:
        """Share of the searches that had it among the first."""
        return self.hits / max(self.searches, 1)


@dataclass(slots=True)
class Replayed:
    """What came of a replay: over all of it, and over each quarter of the log.

    absent: of the actions on documents that are not in the catalogue, which no search can find; known at the end.
    static, gains: where searches are compared, what the static system comes to, and by how much the reciprocal rank of
    each search is better.
    """

    total: int
    whole: Standing = field(default_factory=Standing)
    quarters: list[Standing] = field(default_factory=lambda: [Standing() for _ in range(4)])
    positions: list[int] = field(default_factory=list)
    elapsed_s: float = 0.0
    waited_s: float = 0.0
    absent: Standing = field(default_factory=Standing)
    static: Standing = field(default_factory=Standing)
    gains: list[float] = field(default_factory=list)

    @property
    def present(self) -> Standing:
        """Over the actions on documents that are in the catalogue."""
        return self.whole - self.absent

    @property
    def gain(self) -> tuple[float, float]:
        """By how much MRR is better than the static system's, and half of the 95% interval, over searches."""
        spread = stdev(self.gains) if len(self.gains) > 1 else math.inf
        return fmean(self.gains), 1.96 * spread / len(self.gains) ** 0.5

    def compare(self, seen: Seen, static: Seen, document_id: str) -> None:
        """Adds what the static system showed for the same search."""
        position, its = seen.position(document_id), static.position(document_id)
        self.static.add(its, static.calls, static.candidates)
        self.gains.append((1.0 / position if position else 0.0) - (1.0 / its if its else 0.0))

    def add(self, position: int, calls: int, candidates: int) -> None:
        """Adds the next search of the log."""
        quarter = min(3, 4 * self.whole.searches // max(self.total, 1))
        self.whole.add(position, calls, candidates)
        self.quarters[quarter].add(position, calls, candidates)
        self.positions.append(position)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a replayed search showed first, and what it cost."""

    decision_id: str
    shown: tuple[str, ...]
    calls: int
    candidates: int

    def position(self, document_id: str) -> int:
        """Of a document, from 1; 0 = not among the first."""
        return self.shown.index(document_id) + 1 if document_id in self.shown else 0


class Replayer:
    """Searches and acts as a log says."""

    def __init__(self, api: Api, options: ReplayOptions) -> None:
        self._api = api
        self._options = options
        self._learned: _Learned | None = None
        self.waited_s = 0.0

    async def search(self, action: LoggedAction) -> Seen:
        """Searches as of the action's time.

        Raises:
            InvalidArgument: the system refuses the search; the message names the line, or the option that is wrong.
        """
        if self._options.wait and self._options.feedback and self._learned is None:
            self._learned = _Learned(self._api, await _events_learned(self._api))
        options = self._options
        return await self._seen(action, options.policy, options.ranker, untracked=not options.feedback)

    async def static(self, action: LoggedAction) -> Seen:
        """What the static system shows as of the action's time."""
        return await self._seen(action, **STATIC, untracked=True)

    async def _seen(self, action: LoggedAction, policy: str, ranker: str, *, untracked: bool) -> Seen:
        try:
            response = await self._api.search(
                action.query,
                context=_context(action),
                page_size=max(self._options.page_size, self._options.first),
                explain=True,
                policy=policy,
                ranker=ranker,
                untracked=untracked,
            )
        except InvalidArgument as error:
            first = error.violations[0]
            if first.field in {"policy", "ranker"}:
                raise InvalidArgument(f"--{first.field}", first.description) from None
            raise InvalidArgument(f"line {action.line}", error.message) from None
        asked = [outcome for outcome in response.explanation.strategies if outcome.depth > 0]
        return Seen(
            response.decision_id,
            tuple(result.document.id for result in response.results[: self._options.first]),
            len(asked),
            sum(outcome.returned for outcome in asked),
        )

    async def act(self, action: LoggedAction, decision_id: str) -> None:
        """Sends the action, and waits until it is learned from if so told.

        Raises:
            InvalidArgument: the system refuses it; the message names the line.
            Unavailable: the learner takes nothing in.
        """
        event = feedback_pb2.FeedbackEvent(
            event_id=new_event_id(),
            decision_id=decision_id,
            document_id=action.document_id,
            action=feedback_pb2.ActionType.Value(f"ACTION_TYPE_{action.action.upper()}"),
            seconds=action.seconds,
            time=time_to_proto(action.time_s),
            query=action.query,
            context=_context(action),
        )
        (acknowledgement,) = await self._api.feedback([event])
        if acknowledgement.status == feedback_pb2.EVENT_STATUS_REJECTED:
            raise InvalidArgument(f"line {action.line}: {acknowledgement.field}", acknowledgement.description)
        if self._learned:
            self.waited_s += await self._learned.one_more()


async def replay(
    api: Api,
    actions: Iterable[LoggedAction],
    total: int,
    options: ReplayOptions,
    told: Callable[[Replayed], None] = lambda replayed: None,
) -> Replayed:
    """Replays actions one after the other; `told` hears of each search as it is done.

    Raises:
        InvalidArgument: the system refuses an action of the log; the message names the line.
        Unavailable: the system does not answer, or its learner takes nothing in while it is waited for.
    """
    replayed, replayer = Replayed(total), Replayer(api, options)
    missed: dict[str, Standing] = defaultdict(Standing)
    begin = time.perf_counter()
    for action in actions:
        static = await replayer.static(action) if options.compare else None
        seen = await replayer.search(action)
        position = seen.position(action.document_id)
        replayed.add(position, seen.calls, seen.candidates)
        if static is not None:
            replayed.compare(seen, static, action.document_id)
        if not position:
            missed[action.document_id].add(0, seen.calls, seen.candidates)
        if options.feedback:
            await replayer.act(action, seen.decision_id)
        replayed.waited_s = replayer.waited_s
        replayed.elapsed_s = time.perf_counter() - begin
        told(replayed)
    for id, standing in missed.items():
        if not await _is_there(api, id):
            replayed.absent += standing
    return replayed


async def _is_there(api: Api, document_id: str) -> bool:
    try:
        await api.get_document(document_id)
    except NotFound:
        return False
    return True


def _context(action: LoggedAction) -> document_pb2.Context:
    return document_pb2.Context(user_id=action.user_id, session_id=action.session_id, time=time_to_proto(action.time_s))


class _Learned:
    """Waits for the learner, by the number of events that its newest snapshot has taken in.

    Of a system that others send feedback to as well, their events count too: then waiting is only roughly right.
    """

    def __init__(self, api: Api, events: int) -> None:
        self._api = api
        self._wanted = events

    async def one_more(self) -> float:
        """Waits until one more event is taken in; returns the seconds that took."""
        self._wanted += 1
        begin = time.perf_counter()
        pause_s = POLL_FIRST_S
        while await _events_learned(self._api) < self._wanted:
            if time.perf_counter() - begin > LEARNED_WITHIN_S:
                raise Unavailable(
                    f"the learner has taken in nothing for {LEARNED_WITHIN_S:g} s; is one running "
                    "(HONEYGUIDE_ORCHESTRATOR_LEARNER)?"
                )
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, POLL_MOST_S)
        return time.perf_counter() - begin


async def _events_learned(api: Api) -> int:
    return sum((await api.progress(1)).events.values())

"""Simulated users at work: they search, look at the first page, and what they do is streamed back."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.api.search.v1 import feedback_pb2, search_pb2
from honeyguide.documents import time_to_proto
from honeyguide.errors import HoneyguideError, Unavailable
from honeyguide_standalone.api import Api
from honeyguide_standalone.demo.clicks import Act, act_on
from honeyguide_standalone.demo.users import SimulatedUser, Wish

IN_FLIGHT = 8
PAGE = 10
CALL_COST = 0.0125
CANDIDATE_COST = 0.00025
UNACKNOWLEDGED_MAX = 2_000
FAILURES_MAX = 20
RETRY_S = 0.5
EVENTS_PER_REQUEST = 100
SESSION_S = 1_800.0


@dataclass(frozen=True, slots=True)
class Search:
    """One simulated search: what was wanted, where it was shown (0 = not on the first page), and what it cost."""

    wish: Wish
    user_id: str
    session_id: str
    decision_id: str
    time_s: float
    shown: tuple[str, ...]
    position: int
    candidates: int
    calls: int
    depths: dict[str, int]

    @property
    def reciprocal_rank(self) -> float:
        """1 / position of the wanted document, 0 if it was not shown."""
        return 1.0 / self.position if self.position else 0.0

    @property
    def reward(self) -> float:
        """What the wanted document earns where it was shown, less the cost of calls and candidates."""
        earned = 1.0 / math.log2(1 + self.position) if self.position else 0.0
        return earned - CALL_COST * self.calls - CANDIDATE_COST * self.candidates


@dataclass(frozen=True, slots=True)
class Clock:
    """Simulated time: the n-th search happens at `begin_s` + n times `step_s`, in seconds since 1970-01-01."""

    begin_s: float
    step_s: float

    def at(self, number: int) -> float:
        """Time of a search."""
        return self.begin_s + number * self.step_s


class FeedbackSender:
    """Streams events; waits while too many are not yet acknowledged, and sends those again if a stream ends.

    A server may end a stream at any time, so that streams spread over its replicas: what was not acknowledged then
    goes over the next one. A service that is away is tried again for a while.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._waiting: deque[feedback_pb2.FeedbackEvent] = deque()
        self._sent: dict[str, feedback_pb2.FeedbackEvent] = {}
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(UNACKNOWLEDGED_MAX)
        self._closed = False
        self._task = asyncio.create_task(self._run())

    async def send(self, events: Sequence[feedback_pb2.FeedbackEvent]) -> None:
        """Hands events over. Raises what ended the sender."""
        for event in events:
            await self._room.acquire()
            if self._task.done():
                self._task.result()
            self._waiting.append(event)
        self._wake.set()

    async def close(self) -> None:
        """Waits until everything is durable. Raises what ended the sender."""
        self._closed = True
        self._wake.set()
        await self._task

    async def _run(self) -> None:
        failures = 0
        try:
            while not self._closed or self._waiting or self._sent:
                self._waiting.extendleft(reversed(self._sent.values()))
                self._sent.clear()
                try:
                    await self._stream()
                    failures = 0
                except Unavailable:
                    failures += 1
                    if failures > FAILURES_MAX:
                        raise
                    await asyncio.sleep(RETRY_S)
        finally:
            for _ in range(UNACKNOWLEDGED_MAX):  # whoever waits for room shall hear of the end
                self._room.release()

    async def _stream(self) -> None:
        async for response in self._api.stream_feedback(self._requests()):
            for acknowledgement in response.acknowledgements:
                if acknowledgement.status == feedback_pb2.EVENT_STATUS_REJECTED:
                    raise HoneyguideError(
                        f"feedback was rejected: {acknowledgement.field}: {acknowledgement.description}"
                    )
                if self._sent.pop(acknowledgement.event_id, None) is not None:
                    self._room.release()

    async def _requests(self) -> AsyncIterator[feedback_pb2.StreamFeedbackRequest]:
        while not self._closed or self._waiting:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            events = [self._waiting.popleft() for _ in range(min(len(self._waiting), EVENTS_PER_REQUEST))]
            self._sent.update((event.event_id, event) for event in events)
            yield feedback_pb2.StreamFeedbackRequest(events=events)


@dataclass(slots=True)
class Simulation:
    """A crowd of users over one running system; `begin` is how many searches were simulated in earlier runs."""

    api: Api
    users: Sequence[SimulatedUser]
    seed: int
    begin: int
    clock: Clock
    told: Callable[[Search], None] = field(default=lambda search: None)

    async def teach(self, searches: int) -> None:
        """Lets users search and act, a few at a time; every action is durable when this returns."""
        sender = FeedbackSender(self.api)
        try:
            await each(searches, lambda number: self._teach_one(number, sender))
        finally:
            await sender.close()

    async def _teach_one(self, number: int, sender: FeedbackSender) -> None:
        # Everything random about a search is drawn before the first wait, so that draws come in order.
        random = Random(f"search {self.seed} {self.begin + number}")
        user = random.choice(self.users)
        search = await ask(self.api, user, user.wish(), self.clock.at(number))
        await sender.send(events_of(search, act_on(search.shown, search.wish.wanted, random), random))
        self.told(search)


async def each(count: int, work: Callable[[int], Awaitable[None]]) -> None:
    """Works on 0 to `count` - 1, in that order, a few at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(IN_FLIGHT, count)):
                group.create_task(worker())
    except ExceptionGroup as failures:  # the workers do the same: the first failure tells enough
        raise failures.exceptions[0] from None


async def ask(
    api: Api,
    user: SimulatedUser,
    wish: Wish,
    time_s: float,
    policy: str = "",
    ranker: str = "",
    untracked: bool = False,
) -> Search:
    """One search by a simulated user; only the first page is looked at."""
    session_id = f"{user.id}-{int(time_s // SESSION_S)}"
    context = document_pb2.Context(user_id=user.id, session_id=session_id, time=time_to_proto(time_s))
    response = await api.search(
        wish.query,
        context=context,
        page_size=PAGE,
        explain=True,
        policy=policy,
        ranker=ranker,
        untracked=untracked,
    )
    return read_search(response, wish, user.id, session_id, time_s)


def read_search(
    response: search_pb2.SearchResponse, wish: Wish, user_id: str, session_id: str, time_s: float
) -> Search:
    """What a response meant for somebody with this wish."""
    shown = tuple(result.document.id for result in response.results[:PAGE])
    position = next((i for i, document_id in enumerate(shown, start=1) if document_id in wish.wanted), 0)
    asked = [outcome for outcome in response.explanation.strategies if outcome.depth > 0]
    return Search(
        wish=wish,
        user_id=user_id,
        session_id=session_id,
        decision_id=response.decision_id,
        time_s=time_s,
        shown=shown,
        position=position,
        candidates=sum(outcome.returned for outcome in asked),
        calls=len(asked),
        depths={outcome.strategy: outcome.depth for outcome in response.explanation.strategies},
    )


def events_of(search: Search, acts: Sequence[Act], random: Random) -> list[feedback_pb2.FeedbackEvent]:
    """The feedback events of one search's actions, a few seconds apart."""
    events = []
    moment_s = search.time_s
    latest_s = time.time()
    for act in acts:
        moment_s = min(moment_s + random.uniform(2.0, 20.0), latest_s)
        events.append(
            feedback_pb2.FeedbackEvent(
                event_id=f"{random.getrandbits(128):032x}",
                decision_id=search.decision_id,
                document_id=search.shown[act.position - 1],
                action=feedback_pb2.ActionType.Value(f"ACTION_TYPE_{act.action.upper()}"),
                seconds=act.seconds,
                time=time_to_proto(moment_s),
                context=document_pb2.Context(user_id=search.user_id, session_id=search.session_id),
            )
        )
    return events

"""The story of a piece of feedback, first half: check it, make it durable, acknowledge it. `learner` has the second."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from honeyguide.api.search.v1 import feedback_pb2 as pb
from honeyguide.documents import AHEAD_MAX_S, check_id, check_text, context_from_proto, time_from_proto
from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.event_stream import Event, EventStream

EVENTS_PER_REQUEST_MAX = 1_000
EVENT_ID_BYTES_MAX = 128
QUERY_CHARS_MAX = 2_000
CHECKED_AT_ONCE = 50
"""Events checked before searches get their turn: about a millisecond of work."""

ACTIONS = {
    pb.ACTION_TYPE_IMPRESSION: "impression",
    pb.ACTION_TYPE_CLICK: "click",
    pb.ACTION_TYPE_PLAY: "play",
    pb.ACTION_TYPE_LIKE: "like",
    pb.ACTION_TYPE_FAVOURITE: "favourite",
    pb.ACTION_TYPE_PURCHASE: "purchase",
    pb.ACTION_TYPE_SKIP: "skip",
    pb.ACTION_TYPE_DISLIKE: "dislike",
}


class Fate(Enum):
    """What became of an event."""

    ACCEPTED = pb.EVENT_STATUS_ACCEPTED
    DUPLICATE = pb.EVENT_STATUS_DUPLICATE
    REJECTED = pb.EVENT_STATUS_REJECTED


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What became of one event; for a rejected one, which field was wrong and what is allowed."""

    event_id: str
    fate: Fate
    field: str = ""
    description: str = ""


class FeedbackIntake:
    """Takes feedback in.

    make_way: awaited now and then where events are many, so that searches in the same process get on.
    """

    def __init__(
        self, stream: EventStream, clock: Callable[[], float], make_way: Callable[[], Awaitable[None]]
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._make_way = make_way

    async def take(self, messages: Sequence[pb.FeedbackEvent]) -> list[Acknowledgement]:
        """Checks events and makes the good ones durable; one acknowledgement for each, in their order.

        Raises:
            InvalidArgument: none, or too many events in one request.
            Unavailable: the stream does not answer; nothing is acknowledged, and all may be sent again.
        """
        if not 1 <= len(messages) <= EVENTS_PER_REQUEST_MAX:
            limit = EVENTS_PER_REQUEST_MAX
            raise InvalidArgument("events", f"{len(messages):,} in one request; 1 to {limit:,} are allowed")
        now_s = self._clock()
        acknowledgements: list[Acknowledgement | None] = []
        events: list[Event] = []
        for i, message in enumerate(messages):
            if i and i % CHECKED_AT_ONCE == 0:
                await self._make_way()
            try:
                events.append(_event(message, now_s))
                acknowledgements.append(None)
            except InvalidArgument as error:
                wrong = error.violations[0]
                id = message.event_id[:EVENT_ID_BYTES_MAX]
                acknowledgements.append(Acknowledgement(id, Fate.REJECTED, wrong.field, wrong.description))
        new = iter(zip(events, await self._stream.append(events, now_s), strict=True))
        return [acknowledgement or _acknowledge(*next(new)) for acknowledgement in acknowledgements]


def _acknowledge(event: Event, new: bool) -> Acknowledgement:
    return Acknowledgement(event.id, Fate.ACCEPTED if new else Fate.DUPLICATE)


def _event(message: pb.FeedbackEvent, now_s: float) -> Event:
    if not 1 <= len(message.event_id.encode()) <= EVENT_ID_BYTES_MAX:
        raise InvalidArgument("event_id", f"is not 1 to {EVENT_ID_BYTES_MAX} bytes long")
    check_text("event_id", message.event_id, EVENT_ID_BYTES_MAX)
    check_text("decision_id", message.decision_id, EVENT_ID_BYTES_MAX)
    check_id("document_id", message.document_id)
    action = ACTIONS.get(message.action)
    if action is None:
        raise InvalidArgument("action", f"{message.action} is not one of {', '.join(ACTIONS.values())}")
    if not math.isfinite(message.seconds) or message.seconds < 0:
        raise InvalidArgument("seconds", f"{message.seconds} is not a finite number of 0 or more")
    check_text("query", message.query, QUERY_CHARS_MAX)
    time_s = time_from_proto("time", message.time) if message.HasField("time") else now_s
    if not 0 <= time_s <= now_s + AHEAD_MAX_S:
        raise InvalidArgument("time", "lies before 1970 or more than 5 minutes ahead of this server's clock")
    return Event(
        id=message.event_id,
        decision_id=message.decision_id,
        document_id=message.document_id,
        action=action,
        time_s=time_s,
        seconds=message.seconds if action == "play" else 0.0,
        query=message.query,
        context=context_from_proto(message.context, time_s) if message.HasField("context") else None,
    )

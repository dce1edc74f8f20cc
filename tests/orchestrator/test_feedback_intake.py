from collections.abc import Sequence

from honeyguide.api.search.v1 import feedback_pb2 as pb
from honeyguide_orchestrator.event_stream import Event
from honeyguide_orchestrator.feedback import CHECKED_AT_ONCE, Fate, FeedbackIntake


class Stream:
    """Takes everything."""

    async def append(self, events: Sequence[Event], now_s: float) -> list[bool]:
        return [True] * len(events)


async def test_many_events_let_searches_go_first_and_few_do_not() -> None:
    turns = 0

    async def make_way() -> None:
        nonlocal turns
        turns += 1

    intake = FeedbackIntake(Stream(), lambda: 5.0, make_way)  # type: ignore[arg-type]
    for count, wanted in ((CHECKED_AT_ONCE, 0), (3 * CHECKED_AT_ONCE, 2)):
        turns = 0
        events = [
            pb.FeedbackEvent(event_id=f"e{i}", document_id="x", action=pb.ACTION_TYPE_CLICK) for i in range(count)
        ]
        events[1].document_id = ""
        fates = [acknowledgement.fate for acknowledgement in await intake.take(events)]
        assert fates == [Fate.ACCEPTED, Fate.REJECTED] + [Fate.ACCEPTED] * (count - 2)
        assert turns == wanted

"""The durable stream of feedback events: what is in it was acknowledged, and each event is in it once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import msgspec

from honeyguide.documents import Context
from honeyguide.redis_store import RedisStore, Script
from honeyguide.redis_transport import Command
from honeyguide_orchestrator.keys import Keys, beginning_after, partition_of

SEEN_PER_EVENT = 2
"""Event ids remembered for each event the stream may hold."""

# KEYS: stream, seen. ARGV: arrival time, events kept, ids kept, then id and body of each event.
# Adding the id and the event in one script makes a resend harmless whatever moment the first attempt died at.
APPEND = Script.of("""
local accepted = {}
for i = 4, #ARGV, 2 do
  if redis.call('ZADD', KEYS[2], 'NX', ARGV[1], ARGV[i]) == 1 then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[i + 1])
    accepted[#accepted + 1] = 1
  else
    accepted[#accepted + 1] = 0
  end
end
local excess = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
if excess > 0 then redis.call('ZREMRANGEBYRANK', KEYS[2], 0, excess - 1) end
return accepted
""")


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One action of one user; see `honeyguide.search.v1.FeedbackEvent`. `action` is a key of the reward setting."""

    id: str
    decision_id: str = ""
    document_id: str
    action: str
    time_s: float = 0.0
    seconds: float = 0.0
    query: str = ""
    context: Context | None = None


_decoder = msgspec.json.Decoder(Event)


class EventStream:
    """The stream in Redis, in partitions by event id."""

    def __init__(self, redis: RedisStore, keys: Keys, partitions: int, events_max: int) -> None:
        self._redis = redis
        self._keys = keys
        self._partitions = partitions
        self._events_max = max(1, events_max // partitions)

    async def append(self, events: Sequence[Event], now_s: float) -> list[bool]:
        """Makes events durable; True for each that is new, False for one that was there.

        Raises:
            Unavailable: if Redis does not answer; what was taken may be sent again.
        """
        by_partition: dict[int, list[int]] = {}
        for i, event in enumerate(events):
            by_partition.setdefault(partition_of(event.id, self._partitions), []).append(i)
        accepted = [False] * len(events)
        answers = await self._redis.run(
            [
                self._appending(partition, [events[i] for i in indexes], now_s)
                for partition, indexes in by_partition.items()
            ]
        )
        for indexes, answer in zip(by_partition.values(), answers, strict=True):
            for i, new in zip(indexes, answer, strict=True):
                accepted[i] = bool(new)
        return accepted

    def _appending(self, partition: int, events: Sequence[Event], now_s: float) -> Command:
        keys = [self._keys.events(partition), self._keys.events_seen(partition)]
        bodies = chain.from_iterable((event.id, msgspec.json.encode(event)) for event in events)
        return APPEND.on(keys, now_s, self._events_max, self._events_max * SEEN_PER_EVENT, *bodies)

    async def read(self, after: Mapping[int, str], count: int) -> list[tuple[int, str, Event]]:
        """Partition, position and event of what came after the given positions ("0" = from the oldest kept).

        Raises:
            Unavailable: if Redis does not answer.
        """
        positions = [after.get(partition, "0") for partition in range(self._partitions)]
        streams = await self._redis.run(
            [
                ("XRANGE", self._keys.events(partition), beginning_after(position), "+", "COUNT", count)
                for partition, position in enumerate(positions)
            ]
        )
        return [
            (partition, at.decode(), _decoder.decode(body))
            for partition, entries in enumerate(streams)
            for at, (_, body) in entries
        ]

"""The durable stream of feedback events: what is in it was acknowledged, and each event is in it once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from redis.exceptions import RedisError

from honeyguide.documents import Context
from honeyguide.errors import Unavailable
from honeyguide_orchestrator.redis_store import Keys, partition_of

SEEN_PER_EVENT = 2
"""Event ids remembered for each event the stream may hold."""

# KEYS: stream, seen. ARGV: arrival time, events kept, ids kept, then id and body of each event.
# Adding the id and the event in one script makes a resend harmless whatever moment the first attempt died at.
_APPEND = """
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
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One action of one user; see `honeyguide.search.v1.FeedbackEvent`. `action` is a key of the reward setting."""

    id: str
    decision_id: str
    document_id: str
    action: str
    time_s: float
    seconds: float = 0.0
    query: str = ""
    context: Context | None = None


class EventStream:
    """The stream in Redis, in partitions by event id."""

    def __init__(self, redis: Any, keys: Keys, partitions: int, events_max: int) -> None:
        self._redis = redis
        self._keys = keys
        self._partitions = partitions
        self._events_max = max(1, events_max // partitions)
        self._append = redis.register_script(_APPEND)

    async def append(self, events: Sequence[Event], now_s: float) -> list[bool]:
        """Makes events durable; True for each that is new, False for one that was there.

        Raises:
            Unavailable: if Redis does not answer; what was taken may be sent again.
        """
        by_partition: dict[int, list[int]] = {}
        for i, event in enumerate(events):
            by_partition.setdefault(partition_of(event.id, self._partitions), []).append(i)
        accepted = [False] * len(events)
        try:
            for partition, indexes in by_partition.items():
                arguments: list[Any] = [now_s, self._events_max, self._events_max * SEEN_PER_EVENT]
                for i in indexes:
                    arguments += [events[i].id, _encode(events[i])]
                keys = [self._keys.events(partition), self._keys.events_seen(partition)]
                answers = await self._append(keys=keys, args=arguments)
                for i, new in zip(indexes, answers, strict=True):
                    accepted[i] = bool(new)
        except RedisError as error:
            raise Unavailable(f"the event stream does not answer: {error}") from error
        return accepted

    async def read(self, after: Mapping[int, str], count: int) -> list[tuple[int, str, Event]]:
        """Partition, position and event of what came after the given positions ("0" = from the oldest kept).

        Raises:
            Unavailable: if Redis does not answer.
        """
        found: list[tuple[int, str, Event]] = []
        try:
            for partition in range(self._partitions):
                position = after.get(partition, "0")
                begin = f"({position}" if position != "0" else "-"
                entries = await self._redis.xrange(self._keys.events(partition), begin, "+", count)
                found += [(partition, at.decode(), _decode(fields[b"e"])) for at, fields in entries]
        except RedisError as error:
            raise Unavailable(f"the event stream does not answer: {error}") from error
        return found


def _encode(event: Event) -> str:
    plain = {name: value for name, value in asdict(event).items() if value}
    return json.dumps(plain, separators=(",", ":"))


def _decode(raw: bytes) -> Event:
    plain = json.loads(raw)
    context = plain.pop("context", None)
    plain.setdefault("decision_id", "")
    plain.setdefault("time_s", 0.0)
    return Event(**plain, context=Context(**context) if context else None)

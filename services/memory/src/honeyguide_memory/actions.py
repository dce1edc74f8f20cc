"""Taking actions in: a few each round trip, every change idempotent by event id."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from honeyguide.documents import DAY_S, Context
from honeyguide.redis_store import RedisStore, Script
from honeyguide.redis_transport import Command
from honeyguide.text import words
from honeyguide_memory.budget import Budget
from honeyguide_memory.grams import gram_slots, posting
from honeyguide_memory.layout import Layout, Owner, event_number, owner_id
from honeyguide_memory.nodes import Nodes
from honeyguide_memory.settings import MemorySettings
from honeyguide_memory.store import ASSOCIATE, POPULARITY, POST

WORDS_LEARNED_MAX = 8
QUERY_CHARS_COMPLETED_MAX = 100
PREFIX_LENGTHS = (1, 2, 4, 7)
ACTIONS_A_TRIP = 5
"""A server answers nobody else while it runs a script, nor while more of a pipeline waits. So a batch is applied in
pieces of half a millisecond, a round trip each, and searches come in between."""
POSTED_KEPT, POSTED_S = 500, 60.0
"""A query is not posted to the near index again before so many others were, or so many seconds of our clock went by:
Redis may have lost what it had."""
QUERIES_KEPT, OWNERS_KEPT = 4_096, 16_384

# As lua/associate.lua, lua/popularity.lua and lua/post.lua read them.
_EVENT = struct.Struct("<ddd")
_LENGTH = struct.Struct("<H")
_PAIR = struct.Struct("<Hc8s")
_POSTED = struct.Struct("<HH")

Owned = Mapping[int, bytes]
"""Packed owners by group of partitions."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action on a document, after attribution.

    `weight` in [-10, 10]; `time_s` when it happened, in seconds since 1970-01-01; `position` from 1, 0 = not known.
    """

    event_id: str
    query: str
    document_id: str
    weight: float
    context: Context
    time_s: float
    position: int = 0


@dataclass(frozen=True, slots=True)
class _QueryParts:
    """What is the same for all actions on a query: who learns from them, and where it is posted.

    Only what was liked completes prefixes: `completed` is the query, and empty if it is too long to be completed.
    """

    owners: Owned
    prefixes: Owned
    completed: bytes
    slots: Sequence[int]
    posting: bytes


class ActionRecorder:
    """Writes actions to queries, words, users, segments, sessions, completions, popularity and the near index.

    Each script remembers the ids of the events it has applied, in the same step: so a resend changes nothing, also
    after a failure half-way, when it completes what was missing.
    """

    def __init__(
        self,
        store: RedisStore,
        layout: Layout,
        nodes: Nodes,
        settings: MemorySettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._layout = layout
        self._nodes = nodes
        self._clock = clock
        budget = Budget(settings)
        ids = (budget.event_sets, budget.event_ids_a_set)
        long_s = settings.half_life_long_days * DAY_S
        self._associate = (settings.half_life_short_days * DAY_S, long_s, *ids, *budget.kind_arguments)
        listed_max = -(-settings.listed_max // settings.partitions)
        self._popularity = (settings.half_life_trend_days * DAY_S, long_s, *ids, listed_max)
        self._postings_max = budget.postings_max
        self._posted: dict[bytes, float] = {}
        self._parts = lru_cache(QUERIES_KEPT)(self._parts_of)
        self._owner = lru_cache(OWNERS_KEPT)(self._packed_owner)

    async def record(self, actions: Sequence[Action]) -> int:
        """Takes actions in; returns how many were not seen before."""
        new = 0
        for begin in range(0, len(actions), ACTIONS_A_TRIP):
            new += await self._record(actions[begin : begin + ACTIONS_A_TRIP])
        return new

    async def _record(self, actions: Sequence[Action]) -> int:
        popularity: dict[int, list[bytes]] = {}
        associated: dict[int, list[bytes]] = {}
        posted: dict[bytes, Sequence[int]] = {}
        now_s = self._clock()
        for action in actions:
            document = action.document_id.encode()
            event = _EVENT.pack(event_number(action.event_id), action.time_s, action.weight)
            group, place = self._nodes.place(self._layout.document_partition(document))
            popularity.setdefault(group, []).append(event + _LENGTH.pack(place) + _sized(document))
            if action.weight == 0:
                continue
            parts, liked = self._parts(action.query), action.weight > 0
            targets = event + _sized(document) + _sized(parts.completed if liked else b"")
            for group, owners in self._owners(action.context, parts, liked).items():
                packed = targets + _LENGTH.pack(len(owners) // _PAIR.size) + owners
                associated.setdefault(group, []).append(packed)
            if liked and parts.slots and now_s - self._posted.get(parts.posting, -math.inf) >= POSTED_S:
                posted[parts.posting] = parts.slots
        commands = list(self._calls(POPULARITY, "d", self._popularity, popularity))
        counting = len(commands)
        commands += self._calls(ASSOCIATE, "a", self._associate, associated)
        commands += self._posts(posted)
        replies = await self._store.run(commands)
        for entry in posted:
            self._posted.pop(entry, None)
            self._posted[entry] = now_s
        for forgotten in list(self._posted)[:-POSTED_KEPT]:
            del self._posted[forgotten]
        return sum(replies[:counting])

    def _owners(self, context: Context, parts: _QueryParts, liked: bool) -> Owned:
        # The first owner's partition keeps the event's id, and queries are spread best.
        owners = dict(parts.owners)
        for kind, name in (
            (Owner.USER, context.user_id),
            (Owner.SESSION, context.session_id),
            (Owner.SEGMENT, context.segment),
        ):
            if name:
                group, packed = self._owner(kind, name)
                owners[group] = owners.get(group, b"") + packed
        for group, packed in parts.prefixes.items() if liked else ():
            owners[group] = owners.get(group, b"") + packed
        return owners

    def _parts_of(self, query: str) -> _QueryParts:
        query_words = words(query)
        if not query_words:
            return _QueryParts({}, {}, b"", (), b"")
        text = " ".join(query_words)
        learning = [(Owner.QUERY, text)]
        learning += [(Owner.WORD, word) for word in dict.fromkeys(query_words[:WORDS_LEARNED_MAX])]
        lengths = PREFIX_LENGTHS if len(text) <= QUERY_CHARS_COMPLETED_MAX else ()
        slots = gram_slots(query_words)
        return _QueryParts(
            self._owned(learning),
            self._owned([(Owner.PREFIX, text[:length]) for length in lengths if len(text) >= length]),
            text.encode() if lengths else b"",
            slots,
            posting(owner_id(Owner.QUERY, text), len(slots)),
        )

    def _owned(self, owners: Sequence[tuple[Owner, str]]) -> Owned:
        by_group: dict[int, bytes] = {}
        for kind, name in owners:
            group, packed = self._owner(kind, name)
            by_group[group] = by_group.get(group, b"") + packed
        return by_group

    def _packed_owner(self, kind: Owner, name: str) -> tuple[int, bytes]:
        owner = owner_id(kind, name)
        group, place = self._nodes.place(self._layout.owner_partition(owner))
        return group, _PAIR.pack(place, kind.encode(), owner)

    def _calls(
        self, script: Script, family: str, arguments: Sequence[object], events: Mapping[int, Sequence[bytes]]
    ) -> Iterator[Command]:
        for group, packed in events.items():
            yield script.on(self._nodes.tags(family, group), *arguments, b"".join(packed))

    def _posts(self, posted: Mapping[bytes, Sequence[int]]) -> Iterator[Command]:
        by_slot: dict[int, list[bytes]] = {}
        for entry, slots in posted.items():
            for slot in slots:
                by_slot.setdefault(slot, []).append(entry)
        by_group: dict[int, list[bytes]] = {}
        for slot, entries in by_slot.items():
            group, _ = self._nodes.place(self._layout.gram_partition(slot))
            by_group.setdefault(group, []).append(_POSTED.pack(slot, len(entries)) + b"".join(entries))
        for group, packed in by_group.items():
            yield POST.on(self._nodes.tags("n", group), self._postings_max, b"".join(packed))


def _sized(text: bytes) -> bytes:
    return _LENGTH.pack(len(text)) + text

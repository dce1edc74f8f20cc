"""Taking actions in: one round trip a batch, every change idempotent by event id."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from honeyguide.documents import DAY_S, Context
from honeyguide.text import words
from honeyguide_memory.budget import Budget
from honeyguide_memory.grams import gram_slots, posting
from honeyguide_memory.layout import Layout, Owner, event_number, owner_id
from honeyguide_memory.settings import MemorySettings
from honeyguide_memory.store import ASSOCIATE, POPULARITY, POST, Store, call
from honeyguide_memory.transport import Command

WORDS_LEARNED_MAX = 8
QUERY_CHARS_COMPLETED_MAX = 100
PREFIX_LENGTHS = (1, 2, 4, 7)

# As lua/associate.lua, lua/popularity.lua and lua/post.lua read them.
_EVENT = struct.Struct("<dddH")
_PAIR = struct.Struct("<c8sH")
_POSTING = struct.Struct("<H9sd")


@dataclass(frozen=True, slots=True)
class Action:
    """One action on a document, after attribution.

    `weight` in [-1, 1]; `time_s` when it happened, in seconds since 1970-01-01; `position` from 1, 0 = not known.
    """

    event_id: str
    query: str
    document_id: str
    weight: float
    context: Context
    time_s: float
    position: int = 0


class ActionRecorder:
    """Writes actions to queries, words, users, segments, sessions, completions, popularity and the near index.

    Each partition remembers the ids of the events it has applied, in the same script that applies them: so a resend
    changes nothing, also after a failure half-way, when it completes what was missing.
    """

    def __init__(self, store: Store, layout: Layout, settings: MemorySettings) -> None:
        self._store = store
        self._layout = layout
        budget = Budget(settings)
        ids = (budget.event_sets, budget.event_ids_a_set)
        long_s = settings.half_life_long_days * DAY_S
        self._associate = (settings.half_life_short_days * DAY_S, long_s, *ids, *budget.kind_arguments)
        listed_max = -(-settings.listed_max // settings.partitions)
        self._popularity = (settings.half_life_trend_days * DAY_S, long_s, *ids, listed_max)
        self._postings_max = budget.postings_max

    async def record(self, actions: Sequence[Action]) -> int:
        """Takes actions in; returns how many were not seen before."""
        layout = self._layout
        popularity: dict[bytes, list[bytes]] = {}
        associated: dict[bytes, list[bytes]] = {}
        posted: dict[tuple[int, bytes], float] = {}
        for action in actions:
            id, document = event_number(action.event_id), action.document_id.encode()
            event = _EVENT.pack(id, action.time_s, action.weight, len(document)) + document
            popularity.setdefault(layout.document_tag(document), []).append(event)
            if action.weight == 0:
                continue
            query_words = words(action.query)
            for tag, pairs in self._pairs(action, query_words, document).items():
                event = _EVENT.pack(id, action.time_s, action.weight, len(pairs))
                associated.setdefault(tag, []).extend((event, *pairs))
            if query_words and action.weight > 0:
                slots = gram_slots(query_words)
                entry = posting(owner_id(Owner.QUERY, " ".join(query_words)), len(slots))
                for slot in slots:
                    posted[slot, entry] = max(action.time_s, posted.get((slot, entry), action.time_s))
        commands = [call(POPULARITY, tag, *self._popularity, b"".join(events)) for tag, events in popularity.items()]
        commands += [call(ASSOCIATE, tag, *self._associate, b"".join(events)) for tag, events in associated.items()]
        commands += self._post(posted)
        replies = await self._store.run(commands)
        return sum(replies[: len(popularity)])

    def _pairs(self, action: Action, query_words: list[str], document: bytes) -> dict[bytes, list[bytes]]:
        """Packed pairs by hash tag."""
        query = " ".join(query_words)
        context = action.context
        owners = [
            (Owner.USER, context.user_id, document),
            (Owner.SEGMENT, context.segment, document),
            (Owner.SESSION, context.session_id, document),
            (Owner.QUERY, query, document),
        ]
        owners += [(Owner.WORD, word, document) for word in dict.fromkeys(query_words[:WORDS_LEARNED_MAX])]
        if action.weight > 0 and len(query) <= QUERY_CHARS_COMPLETED_MAX:
            target = query.encode()
            owners += [(Owner.PREFIX, query[:n], target) for n in PREFIX_LENGTHS if len(query) >= n]
        pairs: dict[bytes, list[bytes]] = {}
        for kind, name, target in owners:
            if name:
                owner = owner_id(kind, name)
                packed = _PAIR.pack(kind.encode(), owner, len(target)) + target
                pairs.setdefault(self._layout.owner_tag(owner), []).append(packed)
        return pairs

    def _post(self, posted: dict[tuple[int, bytes], float]) -> list[Command]:
        by_tag: dict[bytes, list[bytes]] = {}
        for (slot, entry), time_s in posted.items():
            by_tag.setdefault(self._layout.gram_tag(slot), []).append(_POSTING.pack(slot, entry, time_s))
        return [call(POST, tag, self._postings_max, b"".join(entries)) for tag, entries in by_tag.items()]

"""Taking actions in: one round trip a batch, every change idempotent by event id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from honeyguide.documents import DAY_S, Context
from honeyguide.text import words
from honeyguide_memory.budget import Budget
from honeyguide_memory.grams import gram_slots, posting
from honeyguide_memory.layout import Layout, Owner, digest, owner_id
from honeyguide_memory.settings import MemorySettings
from honeyguide_memory.store import ASSOCIATE, POPULARITY, POST, Command, Store, call

WORDS_LEARNED_MAX = 8
QUERY_CHARS_COMPLETED_MAX = 100
PREFIX_LENGTHS = (1, 2, 4, 7)


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
        window = (settings.event_window_days, budget.event_ids_a_day)
        long_s = settings.half_life_long_days * DAY_S
        self._associate = (settings.half_life_short_days * DAY_S, long_s, *window, *budget.kind_arguments)
        listed_max = -(-settings.listed_max // settings.partitions)
        self._popularity = (settings.half_life_trend_days * DAY_S, long_s, *window, listed_max)
        self._postings_max = budget.postings_max

    async def record(self, actions: Sequence[Action]) -> int:
        """Takes actions in; returns how many were not seen before."""
        popularity: dict[bytes, list[Any]] = {}
        associated: dict[bytes, list[Any]] = {}
        posted: dict[tuple[int, bytes], float] = {}
        for action in actions:
            id, document, time_s = digest(action.event_id), action.document_id.encode(), repr(action.time_s)
            weight = repr(action.weight)
            popularity.setdefault(self._layout.document_tag(document), []).extend((id, time_s, weight, document))
            if action.weight == 0:
                continue
            query_words = words(action.query)
            for tag, pairs in self._pairs(action, query_words, document).items():
                associated.setdefault(tag, []).extend((id, time_s, weight, len(pairs) // 3, *pairs))
            if query_words and action.weight > 0:
                slots = gram_slots(query_words)
                entry = posting(owner_id(Owner.QUERY, " ".join(query_words)), len(slots))
                for slot in slots:
                    posted[slot, entry] = max(action.time_s, posted.get((slot, entry), action.time_s))
        commands = [call(POPULARITY, tag, *self._popularity, *rest) for tag, rest in popularity.items()]
        commands += [call(ASSOCIATE, tag, *self._associate, *rest) for tag, rest in associated.items()]
        commands += self._post(posted)
        replies = await self._store.run(commands)
        return sum(replies[: len(popularity)])

    def _pairs(self, action: Action, query_words: list[str], document: bytes) -> dict[bytes, list[Any]]:
        """By hash tag: kind, owner and target, one after the other."""
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
            owners += [(Owner.PREFIX, query[:n], query.encode()) for n in PREFIX_LENGTHS if len(query) >= n]
        pairs: dict[bytes, list[Any]] = {}
        for kind, name, target in owners:
            if name:
                owner = owner_id(kind, name)
                pairs.setdefault(self._layout.owner_tag(owner), []).extend((kind.value, owner, target))
        return pairs

    def _post(self, posted: dict[tuple[int, bytes], float]) -> list[Command]:
        by_tag: dict[bytes, list[Any]] = {}
        for (slot, entry), time_s in posted.items():
            by_tag.setdefault(self._layout.gram_tag(slot), []).extend((slot, entry, repr(time_s)))
        return [call(POST, tag, self._postings_max, *rest) for tag, rest in by_tag.items()]

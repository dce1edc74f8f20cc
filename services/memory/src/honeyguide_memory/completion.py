"""Completing what is typed to remembered queries that succeeded."""

from __future__ import annotations

from honeyguide.documents import DAY_S
from honeyguide.redis_store import RedisStore
from honeyguide.text import normalize
from honeyguide_memory.actions import PREFIX_LENGTHS
from honeyguide_memory.layout import Layout, Owner, owner_id
from honeyguide_memory.mass import HalfLives, masses
from honeyguide_memory.settings import MemorySettings


class Completer:
    """Completes from the queries that each prefix of 1, 2, 4 and 7 characters remembers, in one round trip."""

    def __init__(self, store: RedisStore, layout: Layout, settings: MemorySettings) -> None:
        self._store = store
        self._layout = layout
        self._lives = HalfLives(
            settings.half_life_short_days * DAY_S, settings.half_life_long_days * DAY_S, settings.short_share
        )

    async def complete(self, prefix: str, limit: int, now_s: float) -> list[tuple[str, float]]:
        """At most `limit` queries and their decayed actions, most actions first."""
        # A blank at the end means that the word is whole: "heat " completes to "heat wave", not to "heater".
        typed = normalize(prefix) + (" " if prefix[-1:].isspace() else "")
        reach = max((length for length in PREFIX_LENGTHS if length <= len(typed)), default=0)
        if not typed.strip() or not reach:
            return []
        key = self._layout.owner_key(owner_id(Owner.PREFIX, typed[:reach]))
        (stored,) = await self._store.run([("HGETALL", key)])
        found = masses(stored, now_s, self._lives)
        rows = [
            (target.decode(), net)
            for target, net in zip(found.targets, found.net.tolist(), strict=True)
            if net > 0 and target.startswith(typed.encode())
        ]
        rows.sort(key=lambda row: (-row[1], row[0]))
        return rows[:limit]

"""Taking in what was shown: one round trip a batch, every page once by its id."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from honeyguide.documents import DAY_S
from honeyguide.redis_store import RedisStore
from honeyguide.text import words
from honeyguide_memory.budget import Budget
from honeyguide_memory.layout import Layout, Owner, event_number, owner_id
from honeyguide_memory.nodes import Nodes
from honeyguide_memory.settings import MemorySettings
from honeyguide_memory.store import IMPRESS

PAGES_A_CALL = 16
"""A server answers nobody else while it runs a script: of pages of ten, some half a millisecond. And what one call
writes to one query must fit on Lua's stack."""

# As lua/impress.lua reads them.
_PAGE = struct.Struct("<ddHc8sH")
_DOCUMENT = struct.Struct("<fH")


@dataclass(frozen=True, slots=True)
class Impressions:
    """A page that was shown for a query.

    `looked_at`: for each document, how likely its position is looked at, in [0, 1]; `time_s` when it was shown, in
    seconds since 1970-01-01.
    """

    page_id: str
    query: str
    document_ids: Sequence[str]
    looked_at: Sequence[float]
    time_s: float


class ImpressionRecorder:
    """Writes pages to the queries that they were shown for."""

    def __init__(self, store: RedisStore, layout: Layout, nodes: Nodes, settings: MemorySettings) -> None:
        self._store = store
        self._layout = layout
        self._nodes = nodes
        budget = Budget(settings)
        lives = settings.half_life_short_days * DAY_S, settings.half_life_long_days * DAY_S
        self._arguments = (*lives, budget.page_sets, budget.event_ids_a_set, *budget.kind_arguments)

    async def record(self, pages: Sequence[Impressions]) -> int:
        """Takes pages in; returns how many were not seen before. A page of no query is left out."""
        packed: dict[int, list[bytes]] = {}
        for page in pages:
            query = " ".join(words(page.query))
            if not query:
                continue
            owner = owner_id(Owner.SHOWN, query)
            group, place = self._nodes.place(self._layout.owner_partition(owner))
            head = event_number(page.page_id), page.time_s, place, Owner.SHOWN.encode(), owner, len(page.document_ids)
            parts = [_PAGE.pack(*head)]
            for document_id, looked_at in zip(page.document_ids, page.looked_at, strict=True):
                document = document_id.encode()
                parts += (_DOCUMENT.pack(looked_at, len(document)), document)
            packed.setdefault(group, []).append(b"".join(parts))
        commands = [
            IMPRESS.on(self._nodes.tags("a", group), *self._arguments, b"".join(some[begin : begin + PAGES_A_CALL]))
            for group, some in packed.items()
            for begin in range(0, len(some), PAGES_A_CALL)
        ]
        return sum(await self._store.run(commands))

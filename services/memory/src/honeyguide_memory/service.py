"""The memory service, put together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence

from honeyguide.documents import DAY_S
from honeyguide.server import Registration
from honeyguide.servicers import register_index, register_retriever
from honeyguide_memory.actions import ActionRecorder
from honeyguide_memory.completion import Completer
from honeyguide_memory.impressions import ImpressionRecorder
from honeyguide_memory.index import MemoryIndex
from honeyguide_memory.layout import Layout
from honeyguide_memory.mass import HalfLives
from honeyguide_memory.nodes import Nodes
from honeyguide_memory.query_memory import NearLimits, QueryMemories
from honeyguide_memory.recall import Recall
from honeyguide_memory.retriever import MemoryRetriever
from honeyguide_memory.servicers import register_memory
from honeyguide_memory.settings import MemorySettings
from honeyguide_memory.store import open_store


@contextlib.asynccontextmanager
async def open_service(
    settings: MemorySettings, clock: Callable[[], float] = time.time
) -> AsyncIterator[Sequence[Registration]]:
    """Connects to Redis and yields the servicers of the service.

    `clock` gives the time of requests that name none, of indexing and of posting to the near index.

    Raises:
        Unavailable: Redis did not answer in time.
        FailedPrecondition: what is stored has another layout.
    """
    layout = Layout(settings.key_prefix, settings.partitions)
    nodes = Nodes(layout, settings.cluster)
    lives = HalfLives(settings.half_life_short_days * DAY_S, settings.half_life_long_days * DAY_S, settings.short_share)
    memories = QueryMemories(layout, nodes, lives, NearLimits(settings.near_queries_max, settings.near_similarity_min))
    async with open_store(settings, layout) as store:
        retriever = MemoryRetriever(store, layout, settings, memories)
        yield [
            register_retriever(retriever),
            register_index(MemoryIndex(store, layout, settings, clock)),
            register_memory(
                Recall(store, layout, settings, memories, retriever),
                ActionRecorder(store, layout, nodes, settings, clock),
                ImpressionRecorder(store, layout, nodes, settings),
                Completer(store, layout, settings),
                clock,
            ),
        ]

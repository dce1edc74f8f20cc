"""Telling memory what was shown, and what people did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

import structlog

from honeyguide.api.memory.v1 import memory_pb2
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import context_to_proto, time_to_proto
from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.attribution import Judged, Rewards
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.ranker_learner import MemoryWeights

CALL_TIMEOUT_S = 10.0

TOLD_AT_ONCE = 10
"""Actions that memory is told of at once: a millisecond of Python here, and as much there, which searches wait for."""

LOOKS_AGAIN_S = 1_800.0
"""Searches of one person for the same within so long count as one look, in memory."""

TELLING_MAX = 2
"""Such calls under way, so that Redis need not wait for the next."""

T = TypeVar("T", memory_pb2.Action, memory_pb2.Impressions)

log = structlog.get_logger("honeyguide.remembering")


class Remembering:
    """Tells memory. make_way: awaited again and again, so that what shares the event loop gets on."""

    def __init__(self, memory: Any, rewards: Rewards, make_way: Callable[[], Awaitable[None]]) -> None:
        self._memory = memory
        self._rewards = rewards
        self._make_way = make_way

    async def tell(self, judged: Sequence[Judged], shown: Sequence[DecisionRecord], weights: MemoryWeights) -> None:
        """Tells of what was shown, and of actions worth anything; order does not matter to memory.

        Raises:
            HoneyguideError: memory does not answer; what it was told already, it may be told again.
        """
        await asyncio.gather(self._tell_actions(judged, weights), self._tell_pages(shown, weights))

    async def _tell_pages(self, shown: Sequence[DecisionRecord], weights: MemoryWeights) -> None:
        for begin in range(0, len(shown), TOLD_AT_ONCE):
            await self._make_way()
            pages = [_impressions(record, weights) for record in shown[begin : begin + TOLD_AT_ONCE]]
            await _each_once(self._record_pages, pages)

    async def _tell_actions(self, judged: Sequence[Judged], weights: MemoryWeights) -> None:
        contexts: dict[str, document_pb2.Context] = {}
        wanted = [one for one in judged if self._rewards.of(one.event)]
        turns = asyncio.Semaphore(TELLING_MAX)

        async def tell(some: Sequence[Judged]) -> None:
            async with turns:
                await self._make_way()
                actions = [self._action(one, contexts, weights) for one in some]
                await _each_once(self._record_actions, actions)

        begins = range(0, len(wanted), TOLD_AT_ONCE)
        await asyncio.gather(*(tell(wanted[begin : begin + TOLD_AT_ONCE]) for begin in begins))

    async def _record_pages(self, pages: Sequence[memory_pb2.Impressions]) -> None:
        request = memory_pb2.RecordImpressionsRequest(pages=pages)
        await self._memory.RecordImpressions(request, timeout=CALL_TIMEOUT_S)

    async def _record_actions(self, actions: Sequence[memory_pb2.Action]) -> None:
        request = memory_pb2.RecordActionsRequest(actions=actions)
        await self._memory.RecordActions(request, timeout=CALL_TIMEOUT_S)

    def _action(
        self, one: Judged, contexts: dict[str, document_pb2.Context], weights: MemoryWeights
    ) -> memory_pb2.Action:
        """contexts: those of decisions on the wire, by decision; they are many events'."""
        event, record = one.event, one.record
        context, position = None, 0
        if record is not None:
            context = contexts.get(record.id) or contexts.setdefault(record.id, context_to_proto(record.context))
        if event.context is not None:
            context = _overlaid(context, context_to_proto(event.context))
        if record is not None and event.document_id in record.document_ids:
            position = record.document_ids.index(event.document_id) + 1
        return memory_pb2.Action(
            event_id=event.id,
            normalized_query=one.normalized_query,
            document_id=event.document_id,
            weight=self._rewards.of(event) * weights.of_action(position),
            time=time_to_proto(event.time_s),
            position=position,
            context=context,
        )


def _overlaid(context: document_pb2.Context | None, given: document_pb2.Context) -> document_pb2.Context:
    """What an event says of who acted; what it leaves unset is that of its decision."""
    joined = document_pb2.Context()
    if context is not None:
        joined.CopyFrom(context)
    joined.MergeFrom(given)
    return joined


async def _each_once(record: Callable[[Sequence[T]], Awaitable[None]], messages: Sequence[T]) -> None:
    """Tells memory of all of them; one that it refuses must not keep the others from it."""
    try:
        await record(messages)
    except InvalidArgument:
        for message in messages:
            try:
                await record([message])
            except InvalidArgument as error:
                log.error("memory refuses what happened", refused=str(message), error=error.message)


def _impressions(record: DecisionRecord, weights: MemoryWeights) -> memory_pb2.Impressions:
    page = record.document_ids[: record.page_size]
    return memory_pb2.Impressions(
        page_id=_page_id(record),
        normalized_query=record.understanding.normalized_query,
        document_ids=page,
        looked_at=[weights.of_impression(position) for position in range(1, len(page) + 1)],
        time=time_to_proto(record.context.time_s),
    )


def _page_id(record: DecisionRecord) -> str:
    """A person who looks again at what a query finds has seen it once."""
    person = record.context.user_id or record.context.session_id
    if not person:
        return record.id
    seen = person, record.understanding.normalized_query, record.context.time_s // LOOKS_AGAIN_S
    return blake2b(repr(seen).encode(), digest_size=16).hexdigest()

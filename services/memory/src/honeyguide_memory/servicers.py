"""MemoryService on the wire."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import grpc

from honeyguide.api.memory.v1 import memory_pb2 as pb
from honeyguide.api.memory.v1 import memory_pb2_grpc
from honeyguide.api.retrieval.v1 import retriever_pb2
from honeyguide.documents import (
    CONTEXT_CHARS_MAX,
    check_id,
    check_text,
    context_from_proto,
    filter_from_proto,
    time_from_proto,
)
from honeyguide.errors import InvalidArgument
from honeyguide.server import Registration
from honeyguide.servicers import answer_to_proto
from honeyguide.text import NORMALIZED_CHARS_MAX
from honeyguide_memory.actions import Action, ActionRecorder
from honeyguide_memory.completion import Completer
from honeyguide_memory.impressions import ImpressionRecorder, Impressions
from honeyguide_memory.known import FEATURES
from honeyguide_memory.recall import Recall
from honeyguide_memory.retriever import QUERY

ACTIONS_PER_CALL_MAX = 1_000
PAGES_PER_CALL_MAX = 1_000
DOCUMENTS_PER_PAGE_MAX = 100
EVENT_ID_BYTES_MAX = 128
PREFIX_CHARS_MAX = 200
COMPLETIONS_MAX = 50
CANDIDATES_MAX = 100
WEIGHT_MAX = 10


def register_memory(
    recall: Recall,
    actions: ActionRecorder,
    impressions: ImpressionRecorder,
    completer: Completer,
    clock: Callable[[], float] = time.time,
) -> Registration:
    """The memory service, ready for a server."""
    return Registration(
        "honeyguide.memory.v1.MemoryService",
        memory_pb2_grpc.add_MemoryServiceServicer_to_server,
        MemoryServicer(recall, actions, impressions, completer, clock),
    )


class MemoryServicer(memory_pb2_grpc.MemoryServiceServicer):
    """Puts recall, recording and completion on the wire."""

    def __init__(
        self,
        recall: Recall,
        actions: ActionRecorder,
        impressions: ImpressionRecorder,
        completer: Completer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._recall = recall
        self._actions = actions
        self._impressions = impressions
        self._completer = completer
        self._clock = clock

    async def Recall(self, request: pb.RecallRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.RecallResponse:
        check_text("normalized_query", request.normalized_query, NORMALIZED_CHARS_MAX)
        asker = context_from_proto(request.context, self._clock())
        filter = filter_from_proto(request.filter)
        found = await self._recall.recall(request.normalized_query, asker, filter, min(request.depth, CANDIDATES_MAX))
        return pb.RecallResponse(
            actions=found.actions,
            entropy=found.entropy,
            top_share=found.top_share,
            near_similarity=found.near_similarity,
            user_actions=found.user_actions,
            taste=retriever_pb2.Taste(
                session_document_ids=found.taste.session_document_ids, user_document_ids=found.taste.user_document_ids
            ),
            document_ids=found.known.document_ids,
            feature_names=FEATURES,
            features=found.known.features.astype("<f4").tobytes(),
            answer=answer_to_proto(QUERY, found.answer) if found.answer else None,
            pages=found.pages,
        )

    async def RecordActions(
        self, request: pb.RecordActionsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RecordActionsResponse:
        if len(request.actions) > ACTIONS_PER_CALL_MAX:
            raise InvalidArgument("actions", f"{len(request.actions):,}; at most {ACTIONS_PER_CALL_MAX:,} are allowed")
        now_s = self._clock()
        actions = [_action(message, f"actions[{i}]", now_s) for i, message in enumerate(request.actions)]
        return pb.RecordActionsResponse(recorded=await self._actions.record(actions))

    async def RecordImpressions(
        self, request: pb.RecordImpressionsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RecordImpressionsResponse:
        if len(request.pages) > PAGES_PER_CALL_MAX:
            raise InvalidArgument("pages", f"{len(request.pages):,}; at most {PAGES_PER_CALL_MAX:,} are allowed")
        now_s = self._clock()
        pages = [_impressions(message, f"pages[{i}]", now_s) for i, message in enumerate(request.pages)]
        return pb.RecordImpressionsResponse(recorded=await self._impressions.record(pages))

    async def CompleteQueries(
        self, request: pb.CompleteQueriesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.CompleteQueriesResponse:
        check_text("prefix", request.prefix, PREFIX_CHARS_MAX)
        if not 1 <= request.limit <= COMPLETIONS_MAX:
            raise InvalidArgument("limit", f"is {request.limit}; 1 to {COMPLETIONS_MAX} are allowed")
        found = await self._completer.complete(request.prefix, request.limit, self._clock())
        return pb.CompleteQueriesResponse(
            completions=[pb.QueryCompletion(query=query, actions=actions) for query, actions in found]
        )


def _action(message: pb.Action, path: str, now_s: float) -> Action:
    _check_once_id(f"{path}.event_id", message.event_id)
    check_text(f"{path}.normalized_query", message.normalized_query, NORMALIZED_CHARS_MAX)
    check_id(f"{path}.document_id", message.document_id)
    if not (math.isfinite(message.weight) and abs(message.weight) <= WEIGHT_MAX):
        raise InvalidArgument(f"{path}.weight", f"{message.weight} is not a number in [-{WEIGHT_MAX}, {WEIGHT_MAX}]")
    context = context_from_proto(message.context, now_s, f"{path}.context")
    time_s = time_from_proto(f"{path}.time", message.time) if message.HasField("time") else context.time_s
    return Action(
        event_id=message.event_id,
        query=message.normalized_query,
        document_id=message.document_id,
        weight=message.weight,
        context=context,
        time_s=time_s,
        position=message.position,
    )


def _impressions(message: pb.Impressions, path: str, now_s: float) -> Impressions:
    _check_once_id(f"{path}.page_id", message.page_id)
    check_text(f"{path}.normalized_query", message.normalized_query, NORMALIZED_CHARS_MAX)
    if len(message.document_ids) > DOCUMENTS_PER_PAGE_MAX:
        raise InvalidArgument(
            f"{path}.document_ids", f"{len(message.document_ids):,}; at most {DOCUMENTS_PER_PAGE_MAX} are allowed"
        )
    for i, document_id in enumerate(message.document_ids):
        check_id(f"{path}.document_ids[{i}]", document_id)
    if len(message.looked_at) != len(message.document_ids):
        raise InvalidArgument(f"{path}.looked_at", f"needs {len(message.document_ids)}, one for each document")
    for i, looked_at in enumerate(message.looked_at):
        if not 0 <= looked_at <= 1:
            raise InvalidArgument(f"{path}.looked_at[{i}]", f"{looked_at} is not in [0, 1]")
    time_s = time_from_proto(f"{path}.time", message.time) if message.HasField("time") else now_s
    return Impressions(message.page_id, message.normalized_query, message.document_ids, message.looked_at, time_s)


def _check_once_id(field: str, id: str) -> None:
    if not 1 <= len(id.encode(errors="surrogatepass")) <= EVENT_ID_BYTES_MAX:
        raise InvalidArgument(field, f"needs 1 to {EVENT_ID_BYTES_MAX} bytes")
    check_text(field, id, CONTEXT_CHARS_MAX)

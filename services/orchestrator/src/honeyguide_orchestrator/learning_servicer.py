"""Puts reports on what was learned, and the export of the decision log, on the wire."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import grpc
import structlog

from honeyguide.api.search.v1 import learning_pb2 as pb
from honeyguide.api.search.v1 import learning_pb2_grpc
from honeyguide.documents import time_from_proto
from honeyguide.errors import InvalidArgument
from honeyguide.server import Registration
from honeyguide_orchestrator.decision_log import BROKEN, DecisionLog, decode
from honeyguide_orchestrator.export import dsjson_line, json_line
from honeyguide_orchestrator.off_policy.log_file import LogHead, decision_line, head_line
from honeyguide_orchestrator.report import Reports

POINTS_DEFAULT = 100
POINTS_MAX = 1_000
LINES_PER_RESPONSE = 100

log = structlog.get_logger("honeyguide.learning")

_ServicerContext = grpc.aio.ServicerContext[Any, Any]


def register_learning(reports: Reports, decision_log: DecisionLog, log_head: Callable[[], LogHead]) -> Registration:
    """Reports and export, ready for a server; `log_head` tells what is learned now."""
    return Registration(
        "honeyguide.search.v1.LearningService",
        learning_pb2_grpc.add_LearningServiceServicer_to_server,
        LearningServicer(reports, decision_log, log_head),
    )


class LearningServicer(learning_pb2_grpc.LearningServiceServicer):
    """The methods are described in `honeyguide/search/v1/learning.proto`."""

    def __init__(self, reports: Reports, decision_log: DecisionLog, log_head: Callable[[], LogHead]) -> None:
        self._reports = reports
        self._decision_log = decision_log
        self._log_head = log_head

    async def GetPolicy(self, request: pb.GetPolicyRequest, context: _ServicerContext) -> pb.GetPolicyResponse:
        return self._reports.policy()

    async def GetRanker(self, request: pb.GetRankerRequest, context: _ServicerContext) -> pb.GetRankerResponse:
        return self._reports.ranker()

    async def GetProgress(self, request: pb.GetProgressRequest, context: _ServicerContext) -> pb.GetProgressResponse:
        if request.points > POINTS_MAX:
            raise InvalidArgument(
                "points", f"{request.points:,} wanted; 0 (= {POINTS_DEFAULT}) to {POINTS_MAX:,} allowed"
            )
        return self._reports.progress(request.points or POINTS_DEFAULT)

    async def GetEvidence(self, request: pb.GetEvidenceRequest, context: _ServicerContext) -> pb.GetEvidenceResponse:
        return self._reports.evidence()

    async def ExportDecisions(
        self, request: pb.ExportDecisionsRequest, context: _ServicerContext
    ) -> AsyncIterator[pb.ExportDecisionsResponse]:
        if request.format not in pb.DecisionFormat.values():
            raise InvalidArgument("format", f"{request.format} is not one of {', '.join(pb.DecisionFormat.keys())}")
        since_s = time_from_proto("since", request.since) if request.HasField("since") else float("-inf")
        head = self._log_head()
        complete = request.format == pb.DECISION_FORMAT_COMPLETE
        if complete:
            # In a thread, as all that follows: searches are answered meanwhile.
            yield pb.ExportDecisionsResponse(lines=[await asyncio.to_thread(head_line, head)])
        left = request.limit or 2**63
        after = await self._decision_log.before_newest(request.limit) if request.newest and request.limit else "0"
        while left > 0:
            entries = await self._decision_log.read(after, LINES_PER_RESPONSE)
            if not entries:
                return
            after = entries[-1][0]
            ids = [id for _, id in entries]
            encoded = await self._decision_log.fetch_encoded(ids)
            # What is evaluated must not be selected by what people did.
            rewards = await self._decision_log.rewards(ids, closed_only=complete)
            lines = await asyncio.to_thread(_lines, request.format, head.depths, encoded, rewards, since_s)
            lines = lines[:left]
            left -= len(lines)
            if lines:
                yield pb.ExportDecisionsResponse(lines=lines)


def _lines(
    format: pb.DecisionFormat.ValueType,
    ladder: Sequence[int],
    encoded: Mapping[str, bytes],
    rewards: Mapping[str, Mapping[str, float]],
    since_s: float,
) -> list[str]:
    lines = []
    for id, raw in encoded.items():
        credited = rewards.get(id)
        complete = format == pb.DECISION_FORMAT_COMPLETE
        if complete and math.isinf(since_s):
            lines.append(decision_line(id, raw, credited))
            continue
        try:
            record = decode(raw)
        except BROKEN as error:
            log.warning("a decision of another version is left out", decision=id, error=str(error))
            continue
        if record.context.time_s < since_s:
            continue
        reward = None if credited is None else max(credited.values(), default=0.0)
        if complete:
            lines.append(decision_line(id, raw, credited))
        elif format == pb.DECISION_FORMAT_DSJSON:
            lines.append(dsjson_line(record, reward, ladder))
        else:
            lines.append(json_line(record, reward))
    return lines

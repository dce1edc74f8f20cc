"""Puts reports on what was learned, and the export of the decision log, on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc

from honeyguide.api.search.v1 import learning_pb2 as pb
from honeyguide.api.search.v1 import learning_pb2_grpc
from honeyguide.documents import time_from_proto
from honeyguide.errors import InvalidArgument
from honeyguide.server import Registration
from honeyguide_orchestrator.decision_log import DecisionLog
from honeyguide_orchestrator.export import dsjson_line, json_line
from honeyguide_orchestrator.report import Reports

POINTS_DEFAULT = 100
POINTS_MAX = 1_000
LINES_PER_RESPONSE = 100

_ServicerContext = grpc.aio.ServicerContext[Any, Any]


def register_learning(reports: Reports, decision_log: DecisionLog, ladder: Sequence[int]) -> Registration:
    """Reports and export, ready for a server."""
    return Registration(
        "honeyguide.search.v1.LearningService",
        learning_pb2_grpc.add_LearningServiceServicer_to_server,
        LearningServicer(reports, decision_log, ladder),
    )


class LearningServicer(learning_pb2_grpc.LearningServiceServicer):
    """The methods are described in `honeyguide/search/v1/learning.proto`."""

    def __init__(self, reports: Reports, decision_log: DecisionLog, ladder: Sequence[int]) -> None:
        self._reports = reports
        self._decision_log = decision_log
        self._ladder = ladder

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
        after, left = "0", request.limit or 2**63
        while left > 0:
            entries = await self._decision_log.read(after, LINES_PER_RESPONSE)
            if not entries:
                return
            after = entries[-1][0]
            ids = [id for _, id in entries]
            records = await self._decision_log.fetch(ids)
            rewards = await self._decision_log.rewards(ids)
            lines = []
            for id in ids:
                record = records.get(id)
                if record is None or record.context.time_s < since_s:
                    continue
                reward = max(rewards[id].values(), default=0.0) if id in rewards else None
                if request.format == pb.DECISION_FORMAT_DSJSON:
                    lines.append(dsjson_line(record, reward, self._ladder))
                else:
                    lines.append(json_line(record, reward))
            lines = lines[:left]
            left -= len(lines)
            if lines:
                yield pb.ExportDecisionsResponse(lines=lines)

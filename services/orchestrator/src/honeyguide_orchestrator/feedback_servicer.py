"""Puts feedback on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from honeyguide.api.search.v1 import feedback_pb2 as pb
from honeyguide.api.search.v1 import feedback_pb2_grpc
from honeyguide.server import Registration
from honeyguide_orchestrator.feedback import FeedbackIntake


def register_feedback(intake: FeedbackIntake, stream_max_s: float) -> Registration:
    """Feedback, ready for a server."""
    return Registration(
        "honeyguide.search.v1.FeedbackService",
        feedback_pb2_grpc.add_FeedbackServiceServicer_to_server,
        FeedbackServicer(intake, stream_max_s),
    )


class FeedbackServicer(feedback_pb2_grpc.FeedbackServiceServicer):
    """The methods are described in `honeyguide/search/v1/feedback.proto`.

    A stream ends by itself after `stream_max_s`, between two requests: streams stay on the replica where they began,
    and clients that open a new one spread over the replicas there are by then.
    """

    def __init__(self, intake: FeedbackIntake, stream_max_s: float) -> None:
        self._intake = intake
        self._stream_max_s = stream_max_s

    async def StreamFeedback(
        self,
        request_iterator: AsyncIterator[pb.StreamFeedbackRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[pb.StreamFeedbackResponse]:
        end = asyncio.get_running_loop().time() + self._stream_max_s
        async for request in request_iterator:
            acknowledgements = await self._intake.take(request.events)
            yield pb.StreamFeedbackResponse(
                acknowledgements=[
                    pb.EventAcknowledgement(
                        event_id=one.event_id, status=one.fate.value, field=one.field, description=one.description
                    )
                    for one in acknowledgements
                ]
            )
            if asyncio.get_running_loop().time() > end:
                return

"""Puts feedback on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import grpc

from honeyguide.api.search.v1 import feedback_pb2 as pb
from honeyguide.api.search.v1 import feedback_pb2_grpc
from honeyguide.server import Registration
from honeyguide_orchestrator.feedback import FeedbackIntake
from honeyguide_orchestrator.ordered_pipeline import ordered_pipeline


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
        # While Redis takes one request in, the next is read and checked.
        responses = ordered_pipeline(self._in_time(request_iterator), self._take, _event_ids)
        async with aclosing(responses):
            async for response in responses:
                yield response

    async def _in_time(
        self, requests: AsyncIterator[pb.StreamFeedbackRequest]
    ) -> AsyncIterator[pb.StreamFeedbackRequest]:
        end = asyncio.get_running_loop().time() + self._stream_max_s
        async for request in requests:
            yield request
            if asyncio.get_running_loop().time() > end:
                return

    async def _take(self, request: pb.StreamFeedbackRequest) -> pb.StreamFeedbackResponse:
        response = pb.StreamFeedbackResponse()
        for one in await self._intake.take(request.events):
            response.acknowledgements.add(
                event_id=one.event_id, status=one.fate.value, field=one.field, description=one.description
            )
        return response


def _event_ids(request: pb.StreamFeedbackRequest) -> Iterator[str]:
    """An event that comes twice is taken in twice in its order: the second time it is a duplicate."""
    return (event.event_id for event in request.events)

"""A small, real retriever behind a real server on loopback, and the ways to call it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from honeyguide.api.retrieval.v1 import retriever_pb2 as pb
from honeyguide.api.search.v1 import feedback_pb2, feedback_pb2_grpc
from honeyguide.candidates import Candidates
from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.errors import FieldViolation, InvalidArgument, NotFound, ResourceExhausted
from honeyguide.query import RetrievalQuery
from honeyguide.retriever import Answer, Strategy, ask_each
from honeyguide.server import Registration, Server
from honeyguide.servicers import register_retriever

RETRIEVER = "honeyguide.retrieval.v1.RetrieverService"
FEEDBACK = "honeyguide.search.v1.FeedbackService"


class Fruit:
    """Answers with the query's letters; some queries are wishes for trouble."""

    def __init__(self) -> None:
        self.strategies: Sequence[Strategy] = (Strategy("fruit.letters", "One candidate a letter.", depth_max=5),)
        self.sleeping = 0
        self.cancelled = 0

    async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int]) -> Mapping[str, Answer]:
        match query.query.split(":"):
            case ["sleep", seconds]:
                self.sleeping += 1
                try:
                    await asyncio.sleep(float(seconds))
                except asyncio.CancelledError:
                    self.cancelled += 1
                    raise
                finally:
                    self.sleeping -= 1
            case ["bug"]:
                raise KeyError("secret-of-the-house")
            case ["missing"]:
                raise NotFound("no such orchard")
            case ["many"]:
                more = [FieldViolation(f"field{i}", "ü" * 5_000) for i in range(100)]
                raise InvalidArgument("first", "\ud800" + "x" * 5_000, *more)

        async def letters() -> Candidates:
            ids = list(dict.fromkeys(query.query))[: depths["fruit.letters"]]
            return Candidates(ids, np.arange(len(ids), 0, -1, dtype=np.float32), ["letter"] * len(ids))

        return await ask_each({"fruit.letters": letters})


class Feedback(feedback_pb2_grpc.FeedbackServiceServicer):
    """Acknowledges batch by batch; a batch may wish for trouble by its first event's id."""

    async def StreamFeedback(
        self, requests: AsyncIterator[feedback_pb2.StreamFeedbackRequest], context: Any
    ) -> AsyncIterator[feedback_pb2.StreamFeedbackResponse]:
        async for request in requests:
            wish = request.events[0].event_id
            if wish == "full":
                raise ResourceExhausted("the stream is full")
            if wish == "bug":
                raise KeyError("secret-of-the-house")
            if wish == "sleep":
                await asyncio.sleep(30)
            acknowledgements = [feedback_pb2.EventAcknowledgement(event_id=event.event_id) for event in request.events]
            yield feedback_pb2.StreamFeedbackResponse(acknowledgements=acknowledgements)


def registrations(fruit: Fruit) -> list[Registration]:
    return [
        register_retriever(fruit),
        Registration(FEEDBACK, feedback_pb2_grpc.add_FeedbackServiceServicer_to_server, Feedback()),
    ]


@pytest.fixture
def ask() -> Callable[[str], pb.RetrieveRequest]:
    """Makes a request of the retriever `fruit`."""
    return lambda query: pb.RetrieveRequest(
        query=query, strategies=[pb.StrategyDepth(strategy="fruit.letters", depth=5)]
    )


@pytest.fixture
def batch() -> Callable[..., feedback_pb2.StreamFeedbackRequest]:
    """Makes a batch of events with these ids."""
    return lambda *ids: feedback_pb2.StreamFeedbackRequest(
        events=[feedback_pb2.FeedbackEvent(event_id=id) for id in ids]
    )


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits for something to come true."""

    async def wait(true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():  # noqa: ASYNC110 - what is waited for is often a counter, not an event
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def fruit() -> Fruit:
    return Fruit()


@pytest.fixture
def servicers(fruit: Fruit) -> list[Registration]:
    """The servicers of `fruit`, and of feedback."""
    return registrations(fruit)


Serve = Callable[..., AbstractAsyncContextManager[Server]]


@pytest.fixture
def serve(fruit: Fruit) -> Serve:
    """Runs a server of the retriever `fruit` on a free port."""

    @asynccontextmanager
    async def running(
        service: str = "fruit", drain_s: float = 0, port: int = 0, **common: Any
    ) -> AsyncIterator[Server]:
        settings = CommonSettings(drain_s=drain_s, **common)
        server = Server(service, settings, ServerSettings(port=port), registrations(fruit))
        await server.start()
        try:
            yield server
        finally:
            await server.stop()

    return running


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on loopback on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    """A port on loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]

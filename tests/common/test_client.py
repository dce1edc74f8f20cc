"""The two ways to reach a servicer, over gRPC and in the same process, are one seam: one suite for both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from prometheus_client import REGISTRY

from honeyguide.api.retrieval.v1 import retriever_pb2 as pb
from honeyguide.api.retrieval.v1.retriever_pb2_grpc import RetrieverServiceStub
from honeyguide.api.search.v1.feedback_pb2_grpc import FeedbackServiceStub
from honeyguide.client import Connection, LocalConnection, RemoteConnection, open_channel, over_channel
from honeyguide.config import CommonSettings
from honeyguide.errors import (
    DeadlineExceeded,
    HoneyguideError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)


@pytest.fixture(params=["over a channel", "in process"])
async def stubs(request, serve, servicers) -> AsyncIterator[tuple]:
    """A retriever's and a feedback stub."""
    types = (RetrieverServiceStub, FeedbackServiceStub)
    async with serve() as server:
        if request.param == "in process":
            connection: Connection = LocalConnection(servicers)
        else:
            connection = RemoteConnection(f"127.0.0.1:{server.port}", CommonSettings())
        yield tuple(connection.stub(type) for type in types)
        await connection.close()


async def test_answers(stubs, ask):
    retriever, _ = stubs
    strategies = (await retriever.ListStrategies(pb.ListStrategiesRequest())).strategies
    assert [(strategy.name, strategy.depth_max) for strategy in strategies] == [("fruit.letters", 5)]
    response = await retriever.Retrieve(ask("plum"), timeout=5)
    assert list(response.results[0].document_ids) == ["p", "l", "u", "m"]


async def test_bad_input_names_the_field(stubs):
    retriever, _ = stubs
    request = pb.RetrieveRequest(strategies=[pb.StrategyDepth(strategy="fruit.salad", depth=1)])
    with pytest.raises(InvalidArgument) as caught:
        await retriever.Retrieve(request)
    assert caught.value.violations[0].field == "strategies.strategy"
    assert caught.value.message == "strategies.strategy: 'fruit.salad' is not one of fruit.letters"


async def test_known_and_unknown_exceptions(stubs, ask):
    retriever, _ = stubs
    with pytest.raises(NotFound, match="no such orchard"):
        await retriever.Retrieve(ask("missing"))
    with pytest.raises(HoneyguideError, match=r"^KeyError in .*; the service's log says more$") as caught:
        await retriever.Retrieve(ask("bug"))
    assert type(caught.value) is HoneyguideError


async def test_a_new_connection_does_not_wait_for_an_older_ones_backoff(serve, ask, free_port):
    address = f"127.0.0.1:{free_port}"
    older = RemoteConnection(address, CommonSettings())
    for _ in range(6):
        with pytest.raises(Unavailable):
            await older.stub(RetrieverServiceStub).Retrieve(ask("plum"), timeout=1)
        await asyncio.sleep(0.1)
    async with serve(port=free_port):
        newer = RemoteConnection(address, CommonSettings())
        await newer.stub(RetrieverServiceStub).Retrieve(ask("plum"), timeout=1)
        await newer.close()
    await older.close()


async def test_deadline(stubs, ask, fruit, until):
    retriever, _ = stubs
    with pytest.raises(DeadlineExceeded):
        await retriever.Retrieve(ask("sleep:60"), timeout=0.5)
    await until(lambda: fruit.cancelled == 1)


async def test_giving_up_reaches_the_servicer(stubs, ask, fruit, until):
    retriever, _ = stubs
    running = asyncio.ensure_future(retriever.Retrieve(ask("sleep:60")))
    await until(lambda: fruit.sleeping == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: fruit.cancelled == 1)


async def acknowledged(responses) -> list[list[str]]:
    return [[ack.event_id for ack in response.acknowledgements] async for response in responses]


async def test_streams_from_iterators_of_both_kinds(stubs, batch):
    _, feedback = stubs

    async def later():
        yield batch("a", "b")
        yield batch("c")

    assert await acknowledged(feedback.StreamFeedback(later())) == [["a", "b"], ["c"]]
    assert await acknowledged(feedback.StreamFeedback([batch("a"), batch("b")])) == [["a"], ["b"]]
    assert await acknowledged(feedback.StreamFeedback([])) == []


async def test_a_stream_fails_after_what_it_answered(stubs, batch):
    _, feedback = stubs
    for wish, error in (("full", ResourceExhausted), ("bug", HoneyguideError)):
        responses = feedback.StreamFeedback([batch("a"), batch(wish)])
        assert (await anext(responses)).acknowledgements[0].event_id == "a"
        with pytest.raises(error) as caught:
            await anext(responses)
        assert type(caught.value) is error


async def test_a_stream_meets_its_deadline(stubs, batch):
    _, feedback = stubs
    responses = feedback.StreamFeedback([batch("a"), batch("sleep")], timeout=1)
    assert (await anext(responses)).acknowledgements[0].event_id == "a"
    with pytest.raises(DeadlineExceeded):
        await anext(responses)


async def test_a_stream_can_be_left(stubs, batch):
    _, feedback = stubs
    responses = feedback.StreamFeedback([batch("a"), batch("sleep")])
    await anext(responses)
    await responses.aclose()


# ------------------------------------------------------------------------------------------------ connections only


async def test_nobody_there(ask):
    async with open_channel("127.0.0.1:1", CommonSettings()) as channel:
        retriever = over_channel(channel, RetrieverServiceStub, None)
        with pytest.raises(Unavailable):
            await retriever.Retrieve(ask("plum"), timeout=5)


async def test_the_token_goes_along(serve, ask):
    async with (
        serve(token="pollen") as server,
        open_channel(f"127.0.0.1:{server.port}", CommonSettings()) as channel,
    ):
        assert (await over_channel(channel, RetrieverServiceStub, "pollen").Retrieve(ask("plum"))).results
        with pytest.raises(Unauthenticated, match="token"):
            await over_channel(channel, RetrieverServiceStub, "nectar").Retrieve(ask("plum"))


async def test_a_server_that_comes_back_is_found_again_soon(serve, ask):
    async with serve() as server:
        port = server.port
    async with open_channel(f"127.0.0.1:{port}", CommonSettings()) as channel:
        retriever = over_channel(channel, RetrieverServiceStub, None)
        down = time.monotonic() + 1.0
        while time.monotonic() < down:
            with pytest.raises(Unavailable):
                await retriever.Retrieve(ask("plum"), timeout=5)
            await asyncio.sleep(0.1)
        async with serve(port=port):
            async with asyncio.timeout(3):
                while True:
                    try:
                        assert (await retriever.Retrieve(ask("plum"), timeout=5)).results
                        break
                    except Unavailable:
                        await asyncio.sleep(0.02)


async def test_calls_go_around_all_addresses_but_the_draining(serve, ask, fruit, until):
    def served(name: str) -> float:
        labels = {"service": name, "method": "/honeyguide.retrieval.v1.RetrieverService/Retrieve", "code": "OK"}
        return REGISTRY.get_sample_value("honeyguide_calls_total", labels) or 0.0

    async with serve(service="one", drain_s=5) as one, serve(service="two") as two:
        target = f"ipv4:127.0.0.1:{one.port},127.0.0.1:{two.port}"
        async with open_channel(target, CommonSettings()) as channel:
            retriever = over_channel(channel, RetrieverServiceStub, None)
            async with asyncio.timeout(5):
                while not (served("one") and served("two")):
                    await retriever.Retrieve(ask("plum"), timeout=5)
            before = served("one")
            slow = asyncio.gather(*(retriever.Retrieve(ask("sleep:1"), timeout=5) for _ in range(4)))
            await until(lambda: fruit.sleeping == 4)
            stopping = asyncio.create_task(one.stop())
            await asyncio.sleep(0.2)
            for _ in range(10):
                await retriever.Retrieve(ask("plum"), timeout=5)
            await slow
            await stopping
            assert served("one") == before + 2
            assert served("two") >= 12


async def test_a_server_without_health_counts_as_healthy(servicers, ask):
    bare = grpc.aio.server()
    for registration in servicers:
        registration.add(registration.servicer, bare)
    port = bare.add_insecure_port("127.0.0.1:0")
    await bare.start()
    async with open_channel(f"127.0.0.1:{port}", CommonSettings()) as channel:
        assert (await over_channel(channel, RetrieverServiceStub, None).Retrieve(ask("plum"), timeout=5)).results
    await bare.stop(0)


async def test_a_message_beyond_the_limit(serve, ask):
    common = CommonSettings(message_bytes_max=2**16)
    async with serve() as server, open_channel(f"127.0.0.1:{server.port}", common) as channel:
        retriever = over_channel(channel, RetrieverServiceStub, None)
        with pytest.raises(ResourceExhausted):
            await retriever.Retrieve(ask("x" * 2**17), timeout=5)
        assert (await retriever.Retrieve(ask("plum"), timeout=5)).results


async def test_an_old_connection_is_replaced_without_losing_calls(serve, ask, batch):
    async with serve(connection_age_s=1) as server:
        connection = RemoteConnection(f"127.0.0.1:{server.port}", CommonSettings())
        retriever, feedback = connection.stub(RetrieverServiceStub), connection.stub(FeedbackServiceStub)
        stop = asyncio.Event()

        async def batches():
            yield batch("a")
            await stop.wait()
            yield batch("b")

        stream = feedback.StreamFeedback(batches())
        assert (await anext(stream)).acknowledgements[0].event_id == "a"
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            await retriever.Retrieve(ask("plum"), timeout=5)
            await asyncio.sleep(0.01)
        stop.set()
        assert (await anext(stream)).acknowledgements[0].event_id == "b"
        await connection.close()

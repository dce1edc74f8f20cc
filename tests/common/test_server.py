"""One server for all services: what it answers, how it fails, and how it ends."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from prometheus_client import REGISTRY

from honeyguide.api.retrieval.v1 import retriever_pb2 as pb
from honeyguide.api.retrieval.v1.retriever_pb2_grpc import RetrieverServiceStub
from honeyguide.api.search.v1.feedback_pb2_grpc import FeedbackServiceStub
from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.errors import FailedPrecondition
from honeyguide.server import Server

RETRIEVER = "honeyguide.retrieval.v1.RetrieverService"
RETRIEVE = f"/{RETRIEVER}/Retrieve"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def channel_to(server: Server) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")


def calls(service: str, code: str, method: str = RETRIEVE) -> float:
    labels = {"service": service, "method": method, "code": code}
    return REGISTRY.get_sample_value("honeyguide_calls_total", labels) or 0.0


async def fails(call) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_health_check_answers_for_the_server_and_each_service(serve):
    async with serve() as server, channel_to(server) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", RETRIEVER):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == SERVING
        error = await fails(health.Check(health_pb2.HealthCheckRequest(service="no.such.Service")))
        assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_hears_of_the_drain_and_does_not_hold_it_up(serve):
    async with serve(drain_s=30) as server, channel_to(server) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        known = health.Watch(health_pb2.HealthCheckRequest(service=RETRIEVER))
        unknown = health.Watch(health_pb2.HealthCheckRequest(service="no.such.Service"))
        assert (await known.read()).status == SERVING
        assert (await unknown.read()).status == SERVICE_UNKNOWN
        async with asyncio.timeout(5):
            stopping = asyncio.create_task(server.stop())
            assert (await known.read()).status == NOT_SERVING
            await stopping


async def test_reflection_lists_and_describes_the_services(serve):
    def look(port: int) -> tuple[list[str], list[str]]:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            pool = descriptor_pool.DescriptorPool(database)
            methods = [method.name for method in pool.FindServiceByName(RETRIEVER).methods]
            return list(database.get_services()), methods

    async with serve(token="pollen") as server:
        services, methods = await asyncio.to_thread(look, server.port)
    assert set(services) == {
        RETRIEVER,
        "honeyguide.search.v1.FeedbackService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert methods == ["ListStrategies", "Retrieve"]


async def test_bad_input_says_which_field_with_status_details_sent_once(serve):
    async with serve() as server, channel_to(server) as channel:
        error = await fails(RetrieverServiceStub(channel).Retrieve(pb.RetrieveRequest()))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "strategies: 0 asked; 1 to 64 allowed"
    assert [key for key, _ in error.trailing_metadata()].count("grpc-status-details-bin") == 1
    status = rpc_status.from_call(error)
    bad_request, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(bad_request)
    assert status.details[1].Unpack(info)
    assert [violation.field for violation in bad_request.field_violations] == ["strategies"]
    assert (info.reason, info.domain) == ("INVALID_ARGUMENT", "honeyguide")


async def test_an_error_of_any_size_fits_the_wire(serve, ask):
    async with serve() as server, channel_to(server) as channel:
        error = await fails(RetrieverServiceStub(channel).Retrieve(ask("many")))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith("first: ?xxx")
    bad_request = error_details_pb2.BadRequest()
    assert rpc_status.from_call(error).details[0].Unpack(bad_request)
    assert bad_request.field_violations[1].description.startswith("üüü")


async def test_an_unexpected_exception_is_internal_and_leaks_nothing(serve, ask, capfd):
    async with serve() as server, channel_to(server) as channel:
        error = await fails(RetrieverServiceStub(channel).Retrieve(ask("bug")))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == f"KeyError in {RETRIEVE}; the service's log says more"
    assert "secret" not in str(rpc_status.from_call(error))
    written = capfd.readouterr()
    assert "secret-of-the-house" in written.out + written.err


@pytest.mark.parametrize(("wish", "code"), [("full", "RESOURCE_EXHAUSTED"), ("bug", "INTERNAL")])
async def test_a_stream_that_fails_keeps_what_it_answered_before(serve, batch, wish, code):
    async with serve() as server, channel_to(server) as channel:
        stream = FeedbackServiceStub(channel).StreamFeedback(iter([batch("a", "b"), batch(wish)]))
        assert [ack.event_id for ack in (await stream.read()).acknowledgements] == ["a", "b"]
        error = await fails(stream.read())
    assert error.code().name == code
    assert rpc_status.from_call(error) is not None
    assert "secret" not in error.details()


@pytest.mark.parametrize("metadata", [None, [("authorization", "Bearer nectar")], [("authorization", "pollen")]])
async def test_calls_need_the_token(serve, ask, batch, metadata):
    async with serve(token="pollen") as server, channel_to(server) as channel:
        stub = RetrieverServiceStub(channel)
        error = await fails(stub.Retrieve(ask("ab"), metadata=metadata))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        stream = FeedbackServiceStub(channel).StreamFeedback(iter([batch("a")]), metadata=metadata)
        assert (await fails(stream.read())).code() is grpc.StatusCode.UNAUTHENTICATED
        answer = await stub.Retrieve(ask("ab"), metadata=[("authorization", "Bearer pollen")])
        assert list(answer.results[0].document_ids) == ["a", "b"]
        check = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert check.status == SERVING


async def test_a_drain_lets_a_running_call_finish_and_takes_no_more(serve, ask, fruit, until):
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(drain_s=10))
        channel = await stack.enter_async_context(channel_to(server))
        stub = RetrieverServiceStub(channel)
        running = stub.Retrieve(ask("sleep:1"))
        await until(lambda: fruit.sleeping == 1)
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0.05)
        async with channel_to(server) as late:
            error = await fails(RetrieverServiceStub(late).Retrieve(ask("ab"), timeout=2))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert len((await running).results[0].document_ids) > 0
        async with asyncio.timeout(5):
            await stopping


async def test_a_drain_ends_calls_that_outlast_it(serve, ask, fruit, until):
    async with serve(drain_s=0.1) as server, channel_to(server) as channel:
        call = RetrieverServiceStub(channel).Retrieve(ask("sleep:60"))
        await until(lambda: fruit.sleeping == 1)
        await server.stop()
        assert (await fails(call)).code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        await until(lambda: fruit.cancelled == 1)


async def test_metrics_count_calls_by_code(serve, ask, fruit, until):
    async with serve(service="metered", token="pollen") as server, channel_to(server) as channel:
        stub = RetrieverServiceStub(channel)
        metadata = [("authorization", "Bearer pollen")]
        await stub.Retrieve(ask("ab"), metadata=metadata)
        await fails(stub.Retrieve(pb.RetrieveRequest(), metadata=metadata))
        await fails(stub.Retrieve(ask("bug"), metadata=metadata))
        await fails(stub.Retrieve(ask("missing"), metadata=metadata))
        await fails(stub.Retrieve(ask("ab")))
        late = await fails(stub.Retrieve(ask("sleep:60"), metadata=metadata, timeout=0.5))
        assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: fruit.cancelled == 1)
        given_up = stub.Retrieve(ask("sleep:60"), metadata=metadata)
        await until(lambda: fruit.sleeping == 1)
        assert REGISTRY.get_sample_value("honeyguide_calls_running", {"service": "metered"}) == 1
        given_up.cancel()
        await until(lambda: calls("metered", "CANCELLED") == 2)
    codes = ("OK", "INVALID_ARGUMENT", "INTERNAL", "NOT_FOUND", "UNAUTHENTICATED", "CANCELLED")
    assert [calls("metered", code) for code in codes] == [1, 1, 1, 1, 1, 2]
    assert REGISTRY.get_sample_value("honeyguide_calls_running", {"service": "metered"}) == 0
    assert fruit.cancelled == 2
    labels = {"service": "metered", "method": RETRIEVE}
    assert REGISTRY.get_sample_value("honeyguide_call_seconds_count", labels) == 7


async def test_metrics_count_streams(serve, batch, until):
    method = "/honeyguide.search.v1.FeedbackService/StreamFeedback"
    async with serve(service="streamed") as server, channel_to(server) as channel:
        stub = FeedbackServiceStub(channel)
        assert len([answer async for answer in stub.StreamFeedback(iter([batch("a"), batch("b")]))]) == 2
        await fails(stub.StreamFeedback(iter([batch("full")])).read())
        await fails(stub.StreamFeedback(iter([batch("sleep")]), timeout=0.5).read())
        await until(lambda: calls("streamed", "CANCELLED", method) == 1)
    counted = [calls("streamed", code, method) for code in ("OK", "RESOURCE_EXHAUSTED", "CANCELLED")]
    assert counted == [1, 1, 1]


async def test_a_message_beyond_the_limit_is_refused_and_nothing_breaks(serve, ask):
    async with serve(message_bytes_max=2**16) as server, channel_to(server) as channel:
        stub = RetrieverServiceStub(channel)
        error = await fails(stub.Retrieve(ask("x" * 2**17)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len((await stub.Retrieve(ask("ab"))).results) == 1


async def test_a_taken_port_is_said_so(serve):
    async with serve() as server:
        with pytest.raises(FailedPrecondition, match=f"cannot listen on 127.0.0.1:{server.port}"):
            Server("fruit", CommonSettings(), ServerSettings(port=server.port), [])


async def test_a_certificate_that_went_away_since_the_settings_were_read_is_said_so(tmp_path):
    certificate, key = tmp_path / "a.pem", tmp_path / "a.key"
    for file in (certificate, key):
        file.write_text("-----BEGIN CERTIFICATE-----")
    common = CommonSettings(tls_certificate=certificate, tls_key=key)
    certificate.unlink()
    with pytest.raises(FailedPrecondition, match="No such file"):
        Server("fruit", common, ServerSettings(), [])

"""One way to run a service: health, reflection, errors, authentication, metrics and graceful drain."""

from __future__ import annotations

import asyncio
import hmac
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
import structlog
import uvloop
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from prometheus_client import start_http_server

from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.errors import (
    FailedPrecondition,
    HoneyguideError,
    InvalidArgument,
    Unauthenticated,
    as_honeyguide_error,
    to_status,
)
from honeyguide.health import HealthServicer
from honeyguide.heap import keep_heap, share_arenas
from honeyguide.telemetry import CALL_SECONDS, CALLS, CALLS_RUNNING, configure_logging, configure_tracing

log = structlog.get_logger("honeyguide.server")

OPEN_PREFIXES = ("/grpc.health.v1.", "/grpc.reflection.v1")


@dataclass(frozen=True, slots=True)
class Registration:
    """A servicer, the generated function that adds it to a server, and its full service name."""

    name: str
    add: Callable[[Any, Any], None]
    servicer: Any


class _Guard(grpc.aio.ServerInterceptor):
    """Around every call: checks the token, measures, and turns exceptions into statuses with details."""

    def __init__(self, service: str, token: str | None) -> None:
        self._service = service
        self._token = f"Bearer {token}".encode() if token else None
        self._guarded: dict[tuple[str, bool], grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        method: str = handler_call_details.method
        key = method, self._allowed(handler_call_details.invocation_metadata)
        guarded = self._guarded.get(key)
        if guarded is None:
            handler = await continuation(handler_call_details)
            if handler is None or method.startswith(OPEN_PREFIXES):
                return handler
            guarded = self._guarded[key] = self._guard(handler, *key)
        return guarded

    def _guard(
        self, handler: grpc.RpcMethodHandler[Any, Any], method: str, allowed: bool
    ) -> grpc.RpcMethodHandler[Any, Any]:
        factory = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[(handler.request_streaming, handler.response_streaming)]
        if handler.response_streaming:
            behaviour = self._stream(handler.stream_stream or handler.unary_stream, method, allowed)
        else:
            behaviour = self._unary(handler.stream_unary or handler.unary_unary, method, allowed)
        return factory(
            behaviour, _reader(handler.request_deserializer, handler.request_streaming), handler.response_serializer
        )

    def _allowed(self, metadata: Any) -> bool:
        if self._token is None:
            return True
        for key, value in metadata or ():
            if key == "authorization":
                return hmac.compare_digest(value.encode() if isinstance(value, str) else value, self._token)
        return False

    def _unary(self, serve: Any, method: str, allowed: bool) -> Any:
        async def unary(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            with self._measured(method) as outcome:
                try:
                    if not allowed:
                        raise Unauthenticated("authorization: a valid bearer token is needed")
                    return await serve(_readable(request), context)
                except Exception as error:
                    await _abort(context, error, method, outcome)

        return unary

    def _stream(self, serve: Any, method: str, allowed: bool) -> Any:
        async def stream(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            with self._measured(method) as outcome:
                try:
                    if not allowed:
                        raise Unauthenticated("authorization: a valid bearer token is needed")
                    async for response in serve(_readable(request), context):
                        yield response
                except Exception as error:
                    await _abort(context, error, method, outcome)

        return stream

    @contextmanager
    def _measured(self, method: str) -> Iterator[_Outcome]:
        begin = time.perf_counter()
        running = CALLS_RUNNING.labels(self._service)
        running.inc()
        outcome = _Outcome()
        try:
            yield outcome
        except (asyncio.CancelledError, GeneratorExit):  # the caller gave up, or its deadline passed
            outcome.code = grpc.StatusCode.CANCELLED
            raise
        finally:
            running.dec()
            CALLS.labels(self._service, method, outcome.code.name).inc()
            CALL_SECONDS.labels(self._service, method).observe(time.perf_counter() - begin)


def _reader(deserialize: Callable[[bytes], Any] | None, streaming: bool) -> Callable[[bytes], Any] | None:
    """Reads requests; bytes that are no such message are the sender's mistake, which gRPC itself reports as ours.

    An exception on a stream reaches the servicer where it reads on, and so the guard. A single request is read before
    the guard is called: there the exception is handed on as the request.
    """
    if deserialize is None:
        return None

    def read(raw: bytes) -> Any:
        try:
            return deserialize(raw)
        except DecodeError as error:
            refusal = InvalidArgument("request", f"is not such a message, or a text in it is not UTF-8: {error}")
        if streaming:
            raise refusal
        return refusal

    return read


def _readable(request: Any) -> Any:
    if isinstance(request, InvalidArgument):
        raise request
    return request


@dataclass(slots=True)
class _Outcome:
    code: grpc.StatusCode = grpc.StatusCode.OK


async def _abort(
    context: grpc.aio.ServicerContext[Any, Any], error: Exception, method: str, outcome: _Outcome
) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        outcome.code = grpc.StatusCode.UNKNOWN
        raise error
    known = as_honeyguide_error(error, method)
    outcome.code = known.code
    await context.abort_with_status(rpc_status.to_status(to_status(known)))


class Server:
    """A gRPC server for a set of servicers; `port` is the one it listens on.

    Raises:
        FailedPrecondition: the address is taken, or a TLS file can't be read.
    """

    def __init__(
        self,
        service: str,
        common: CommonSettings,
        settings: ServerSettings,
        registrations: Sequence[Registration],
    ) -> None:
        token = common.token.get_secret_value() if common.token else None
        self._common = common
        self._grpc = grpc.aio.server(
            interceptors=[_Guard(service, token)],
            options=[
                ("grpc.max_receive_message_length", common.message_bytes_max),
                ("grpc.max_send_message_length", common.message_bytes_max),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_permit_without_calls", 1),
                # Calls that run, streams among them, stay on the old connection until they end.
                ("grpc.max_connection_age_ms", round(common.connection_age_s * 1_000)),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ],
        )
        for registration in registrations:
            registration.add(registration.servicer, self._grpc)
        names = [registration.name for registration in registrations]
        self._health = HealthServicer(names)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        reflection.enable_server_reflection([*names, HEALTH, reflection.SERVICE_NAME], self._grpc)
        self.port = self._listen(settings)

    def _listen(self, settings: ServerSettings) -> int:
        address = f"{settings.host}:{settings.port}"
        try:
            credentials = _credentials(self._common)
            if credentials is None:
                return self._grpc.add_insecure_port(address)
            return self._grpc.add_secure_port(address, credentials)
        except (RuntimeError, OSError) as error:
            raise FailedPrecondition(f"cannot listen on {address}: {error}") from None

    async def start(self) -> None:
        """Starts serving; health answers SERVING from here on."""
        await self._grpc.start()
        self._health.start_serving()

    async def stop(self) -> None:
        """Drains: health says NOT_SERVING, running calls get `drain_s` to finish."""
        self._health.drain()
        await self._grpc.stop(self._common.drain_s)


def _credentials(common: CommonSettings) -> grpc.ServerCredentials | None:
    if common.tls_certificate is None or common.tls_key is None:
        return None
    return grpc.ssl_server_credentials(
        [(common.tls_key.read_bytes(), common.tls_certificate.read_bytes())],
        common.tls_ca.read_bytes() if common.tls_ca else None,
        common.tls_client_required,
    )


def _serve_metrics(settings: ServerSettings) -> None:
    if settings.metrics_port is None:
        return
    try:
        metrics, _ = start_http_server(settings.metrics_port, settings.host)
    except OSError as error:
        raise FailedPrecondition(f"cannot listen on {settings.host}:{settings.metrics_port}: {error}") from None
    log.info("metrics", port=metrics.server_port)


def run_service(
    service: str,
    common: CommonSettings,
    settings: ServerSettings,
    build: Callable[[], AbstractAsyncContextManager[Sequence[Registration]]],
) -> None:
    """Runs a service until SIGTERM or SIGINT, then drains it.

    `build` opens what the service needs and closes it again. The port is printed to standard output as one line
    `listening <port>` once calls are taken.
    """
    share_arenas()
    configure_logging(common, service)
    configure_tracing(common, service)

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with AsyncExitStack() as stack:
            opening = asyncio.create_task(stack.enter_async_context(build()))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():  # it may be waiting for somebody else
                opening.cancel()
                await asyncio.gather(opening, return_exceptions=True)
                log.info("stopped before it served")
                return
            registrations = opening.result()
            _serve_metrics(settings)
            server = Server(service, common, settings, registrations)
            await server.start()
            keep_heap()
            print(f"listening {server.port}", flush=True)
            log.info("started", port=server.port)
            await stop.wait()
            log.info("draining")
            await server.stop()
        log.info("stopped")

    try:
        uvloop.run(serve())
    except (HoneyguideError, OSError) as error:
        print(f"{service}: {error}", file=sys.stderr)
        raise SystemExit(1) from None

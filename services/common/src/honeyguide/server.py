"""One way to run a service: health, reflection, errors, authentication, metrics and graceful drain."""

from __future__ import annotations

import asyncio
import hmac
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from prometheus_client import start_http_server

from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.errors import HoneyguideError, Unauthenticated, to_status
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

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or method.startswith(OPEN_PREFIXES):
            return handler
        allowed = self._allowed(handler_call_details.invocation_metadata)
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
        return factory(behaviour, handler.request_deserializer, handler.response_serializer)

    def _allowed(self, metadata: Any) -> bool:
        if self._token is None:
            return True
        for key, value in metadata or ():
            if key == "authorization":
                return hmac.compare_digest(value.encode() if isinstance(value, str) else value, self._token)
        return False

    def _unary(self, serve: Any, method: str, allowed: bool) -> Any:
        async def unary(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            begin = time.perf_counter()
            CALLS_RUNNING.labels(self._service).inc()
            code = "OK"
            try:
                if not allowed:
                    raise Unauthenticated("authorization: a valid bearer token is needed")
                return await serve(request, context)
            except Exception as error:
                code = await _abort(context, error, method)
            finally:
                self._measure(method, code, begin)

        return unary

    def _stream(self, serve: Any, method: str, allowed: bool) -> Any:
        async def stream(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            begin = time.perf_counter()
            CALLS_RUNNING.labels(self._service).inc()
            code = "OK"
            try:
                if not allowed:
                    raise Unauthenticated("authorization: a valid bearer token is needed")
                async for response in serve(request, context):
                    yield response
            except Exception as error:
                code = await _abort(context, error, method)
            finally:
                self._measure(method, code, begin)

        return stream

    def _measure(self, method: str, code: str, begin: float) -> None:
        CALLS_RUNNING.labels(self._service).dec()
        CALLS.labels(self._service, method, code).inc()
        CALL_SECONDS.labels(self._service, method).observe(time.perf_counter() - begin)


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception, method: str) -> str:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, HoneyguideError):
        log.exception("call failed", method=method)
        error = HoneyguideError(f"{type(error).__name__} in {method}; the service's log says more")
    status = rpc_status.to_status(to_status(error))
    context.set_trailing_metadata(status.trailing_metadata)
    context.set_code(status.code)
    context.set_details(status.details)
    await context.abort(status.code, status.details, status.trailing_metadata)
    return error.code.name


class Server:
    """A gRPC server for a set of servicers."""

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
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
            ],
        )
        for registration in registrations:
            registration.add(registration.servicer, self._grpc)
        self._names = [registration.name for registration in registrations]
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        names = [*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self._grpc)
        self.port = self._listen(settings)

    def _listen(self, settings: ServerSettings) -> int:
        address = f"{settings.host}:{settings.port}"
        try:
            if self._common.tls_certificate and self._common.tls_key:
                credentials = grpc.ssl_server_credentials(
                    [(self._common.tls_key.read_bytes(), self._common.tls_certificate.read_bytes())],
                    self._common.tls_ca.read_bytes() if self._common.tls_ca else None,
                    self._common.tls_client_required,
                )
                return self._grpc.add_secure_port(address, credentials)
            return self._grpc.add_insecure_port(address)
        except RuntimeError as error:
            raise SystemExit(f"cannot listen on {address}: {error}") from None

    async def start(self) -> None:
        """Starts serving; health answers SERVING from here on."""
        await self._grpc.start()
        for name in ["", *self._names]:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Drains: health says NOT_SERVING, running calls get `drain_s` to finish."""
        await self._health.enter_graceful_shutdown()
        await self._grpc.stop(self._common.drain_s)


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
    configure_logging(common, service)
    configure_tracing(common, service)
    if settings.metrics_port is not None:
        start_http_server(settings.metrics_port, settings.host)

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with build() as registrations:
            server = Server(service, common, settings, registrations)
            await server.start()
            print(f"listening {server.port}", flush=True)
            log.info("started", port=server.port)
            await stop.wait()
            log.info("draining")
            await server.stop()
        log.info("stopped")

    try:
        uvloop.run(serve())
    except HoneyguideError as error:
        print(f"{service}: {error.message}", file=sys.stderr)
        raise SystemExit(1) from None

"""How one part calls another: over a gRPC channel, or the same servicer directly in the same process.

Both give an object with the generated stub's methods as plain async functions, and both raise `HoneyguideError`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any, Protocol, TypeVar, cast

import grpc
from grpc_status import rpc_status

from honeyguide.config import CommonSettings
from honeyguide.errors import HoneyguideError, Unavailable, as_honeyguide_error, from_status
from honeyguide.server import Registration

Stub = TypeVar("Stub")

SERVICE_CONFIG = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}


Metadata = tuple[tuple[str, str], ...]


def open_channel(address: str, settings: CommonSettings) -> grpc.aio.Channel:
    """A channel to one service.

    `address` is host:port, or any gRPC target, such as `dns:///host:port` or `ipv4:10.0.0.1:50051,10.0.0.2:50051`, with
    round robin over those of its addresses that report themselves healthy. A server that has no health service counts
    as healthy. Where several addresses are listed, certificates must name the host of the first.
    """
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", settings.message_bytes_max),
        ("grpc.max_send_message_length", settings.message_bytes_max),
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # gRPC's own backoff, 1 s growing to 120 s, would leave a service unused long after its restart.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # Channels to one address would share what connects, and a new one would wait for the backoff of an older one.
        ("grpc.use_local_subchannel_pool", 1),
        # Not a pause, whatever its name: the time that one attempt to connect gets at least.
        ("grpc.min_reconnect_backoff_ms", 5_000),
    ]
    if "," in address:  # else all of them together would be the host that a certificate is to name
        options.append(("grpc.default_authority", address.partition(",")[0].partition(":")[2]))
    if settings.tls_ca or settings.tls_certificate:
        credentials = grpc.ssl_channel_credentials(
            settings.tls_ca.read_bytes() if settings.tls_ca else None,
            settings.tls_key.read_bytes() if settings.tls_key else None,
            settings.tls_certificate.read_bytes() if settings.tls_certificate else None,
        )
        return grpc.aio.secure_channel(address, credentials, options)
    return grpc.aio.insecure_channel(address, options)


def over_channel(
    channel: grpc.aio.Channel,
    stub_type: Callable[[grpc.aio.Channel], Stub],
    token: str | None,
    metadata: Metadata = (),
) -> Stub:
    """The stub's methods over a channel, raising `HoneyguideError` and carrying the token and metadata."""
    if token:
        metadata = (("authorization", f"Bearer {token}"), *metadata)
    return cast(Stub, _RemoteStub(stub_type(channel), metadata))


def in_process(servicer: Any) -> Any:
    """The stub's methods as direct calls of a servicer in this process; no bytes are made of the messages.

    The caller must not change a message after it was sent, nor one it received.
    """
    return _LocalStub(servicer)


class _RemoteStub:
    def __init__(self, stub: Any, metadata: Metadata) -> None:
        self._stub = stub
        self._metadata = metadata

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._stub, name)
        metadata = self._metadata
        if isinstance(method, grpc.aio.UnaryUnaryMultiCallable):

            async def unary(request: Any, timeout: float | None = None) -> Any:
                try:
                    return await method(request, timeout=timeout, metadata=metadata)
                except grpc.aio.AioRpcError as error:
                    raise _read(error) from None
                except asyncio.CancelledError:
                    raise _cancelled() from None
                except grpc.aio.UsageError as error:
                    raise Unavailable(f"the connection is closed: {error}") from None

            call: Any = unary
        else:

            async def stream(requests: Any, timeout: float | None = None) -> AsyncIterator[Any]:
                try:
                    running = method(requests, timeout=timeout, metadata=metadata)
                except grpc.aio.UsageError as error:
                    raise Unavailable(f"the connection is closed: {error}") from None
                try:
                    async for response in running:
                        yield response
                except grpc.aio.AioRpcError as error:
                    raise _read(error) from None
                except asyncio.CancelledError:
                    raise _cancelled() from None
                finally:
                    running.cancel()

            call = stream
        setattr(self, name, call)
        return call


def _read(error: grpc.aio.AioRpcError) -> HoneyguideError:
    try:
        status = rpc_status.from_call(cast(Any, error))
    except ValueError:
        status = None
    return from_status(error.code(), error.details() or error.code().name, status.details if status else ())


def _cancelled() -> BaseException:
    """What a cancelled call means: that our caller gave up, or, where nobody did, that its channel was closed."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        return asyncio.CancelledError()
    return Unavailable("the connection was closed during the call")


class _LocalContext:
    """As much of a servicer's context as Honeyguide's servicers use."""

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline

    def time_remaining(self) -> float | None:
        """Seconds left, None = no deadline."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    def invocation_metadata(self) -> Metadata:
        """What came with the call: nothing."""
        return ()


class _LocalStub:
    def __init__(self, servicer: Any) -> None:
        self._servicer = servicer

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._servicer, name)

        def call(request: Any, timeout: float | None = None) -> Any:
            deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
            if isinstance(request, AsyncIterable | Iterable) and not hasattr(request, "SerializeToString"):
                request = _as_async(request)
            outcome = method(request, _LocalContext(deadline))
            return _each(outcome, deadline, name) if hasattr(outcome, "__aiter__") else _only(outcome, deadline, name)

        setattr(self, name, call)
        return call


async def _only(outcome: Any, deadline: float | None, name: str) -> Any:
    try:
        async with asyncio.timeout_at(deadline):
            return await outcome
    except Exception as error:
        raise as_honeyguide_error(error, name) from error


async def _each(outcome: Any, deadline: float | None, name: str) -> AsyncIterator[Any]:
    try:
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    response = await anext(outcome)
            except StopAsyncIteration:
                return
            except Exception as error:
                raise as_honeyguide_error(error, name) from error
            yield response
    finally:
        await outcome.aclose()


async def _as_async(requests: Any) -> AsyncIterator[Any]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request


class Connection(Protocol):
    """A way to one service: gives the stub of any gRPC service that it serves."""

    def stub(self, stub_type: Callable[[grpc.aio.Channel], Stub]) -> Stub:
        """An object with the stub's methods as async functions (see the module's text)."""
        ...

    async def close(self) -> None:
        """Ends the connection."""
        ...


class RemoteConnection:
    """A service reached over a gRPC channel of its own; `metadata` goes with every call."""

    def __init__(self, address: str, settings: CommonSettings, metadata: Metadata = ()) -> None:
        self.address = address
        self._metadata = metadata
        self._channel = open_channel(address, settings)
        self._token = settings.token.get_secret_value() if settings.token else None

    def stub(self, stub_type: Callable[[grpc.aio.Channel], Stub]) -> Stub:
        """See `Connection`."""
        return over_channel(self._channel, stub_type, self._token, self._metadata)

    async def close(self) -> None:
        """See `Connection`."""
        await self._channel.close()


class LocalConnection:
    """A service composed into this process."""

    def __init__(self, registrations: Iterable[Registration]) -> None:
        self._servicers = {
            registration.name.rpartition(".")[2]: registration.servicer for registration in registrations
        }

    def stub(self, stub_type: Callable[[grpc.aio.Channel], Stub]) -> Stub:
        """See `Connection`."""
        name = getattr(stub_type, "__name__", "").removesuffix("Stub")
        return cast(Stub, in_process(self._servicers[name]))

    async def close(self) -> None:
        """See `Connection`; whoever opened the service closes it."""

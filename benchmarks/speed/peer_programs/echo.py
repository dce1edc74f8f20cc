"""The generic server that all systems' gRPC figures are measured behind: bytes in, bytes out, no protos."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

ECHO = "/honeyguide.benchmark.Echo/Echo"


async def echo_server(reply: Callable[[bytes], Awaitable[bytes]]) -> tuple[grpc.aio.Server, int]:
    """A running server whose one method answers with what `reply` makes of a request; and its port."""

    async def handle(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        return await reply(request)

    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Echo": grpc.unary_unary_rpc_method_handler(handle)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(ECHO.split("/")[1], handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port

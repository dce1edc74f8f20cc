"""Health as gRPC defines it, with watchers that are told of a shutdown and then let go.

The servicer that comes with gRPC keeps its watchers until they leave by themselves, so that one watching client would
hold up every drain to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Status = health_pb2.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers for the server as a whole (the empty name) and for each service named: not serving until told."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(["", *names])
        self._serving = False
        self._draining = False
        self._changed = asyncio.Event()

    def start_serving(self) -> None:
        """Says SERVING from here on."""
        self._serving = True
        self._tell()

    def drain(self) -> None:
        """Says NOT_SERVING from here on, and ends every watch once its client has heard it."""
        self._serving, self._draining = False, True
        self._tell()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        """The status now; NOT_FOUND for a service that is not here."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service[:200]!r} here")
        return Status(status=self._status(request.service))

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status now and whenever it changes."""
        told = None
        while True:
            changed, status, last = self._changed, self._status(request.service), self._draining
            if status != told:
                yield Status(status=status)
                told = status
            if last:
                return
            await changed.wait()

    def _status(self, name: str) -> Any:
        if name not in self._names:
            return Status.SERVICE_UNKNOWN
        return Status.SERVING if self._serving else Status.NOT_SERVING

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

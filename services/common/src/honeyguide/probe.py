"""Asks a service whether it serves: `python -m honeyguide.probe 127.0.0.1:50051`.

For health checks of containers. TLS goes by the same HONEYGUIDE_TLS_ settings as everywhere; the address must then be
one that the certificate names. Ends with 0 if it serves, 1 if not (one line says why), 2 if called wrongly.
"""

from __future__ import annotations

import asyncio
import sys

from grpc_health.v1 import health_pb2, health_pb2_grpc

from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings, load
from honeyguide.errors import HoneyguideError

TIMEOUT_S = 2.0


async def probe(address: str, settings: CommonSettings) -> str:
    """The health of the service at an address: SERVING, NOT_SERVING, or what kept it from answering."""
    connection = RemoteConnection(address, settings)
    try:
        stub = connection.stub(health_pb2_grpc.HealthStub)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
    except HoneyguideError as error:
        return error.message
    finally:
        await connection.close()


def main(arguments: list[str]) -> int:
    """Probes the one address given; returns the exit code."""
    if len(arguments) != 1:
        print("usage: python -m honeyguide.probe HOST:PORT", file=sys.stderr)
        return 2
    found = asyncio.run(probe(arguments[0], load(CommonSettings)))
    if found == "SERVING":
        return 0
    print(f"{arguments[0]}: {found}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

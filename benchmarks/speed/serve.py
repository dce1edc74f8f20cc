"""A server process of the benchmark: the engine behind gRPC as `honeyguide up --in-process` has it, or a bare echo.

    python -m benchmarks.speed.serve engine <data folder> [--learner]
    python -m benchmarks.speed.serve echo <bytes of a response>

prints one line, JSON with its port (an engine also its process id and Redis's URL), when it serves. Ends at SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path

import structlog
import uvloop

from benchmarks.speed.peer_programs.echo import echo_server
from benchmarks.speed.two_strategies import with_two_strategies
from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.server import Server
from honeyguide_standalone.commands.up import stop_on_signals
from honeyguide_standalone.engine import Engine


async def engine(folder: Path, learner: bool) -> None:
    """Serves the engine over a data folder."""
    stop = stop_on_signals()
    with with_two_strategies():
        async with Engine(folder, learner=learner) as running:
            server = Server("honeyguide", CommonSettings(), ServerSettings(), running.registrations)
            await server.start()
            print(json.dumps({"pid": os.getpid(), "port": server.port, "redis_url": running.redis_url}), flush=True)
            await stop.wait()
            await server.stop()


async def echo(response_bytes: int) -> None:
    """Serves an echo: answers every request with as many bytes, neither read nor made."""
    stop = stop_on_signals()
    answer = bytes(response_bytes)

    async def reply(request: bytes) -> bytes:
        return answer

    server, port = await echo_server(reply)
    print(json.dumps({"port": port}), flush=True)
    await stop.wait()
    await server.stop(None)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("engine", "echo"))
    parser.add_argument("argument")
    parser.add_argument("--learner", action="store_true")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if given.what == "echo":
        uvloop.run(echo(int(given.argument)))
    else:
        asyncio.run(engine(Path(given.argument), given.learner))  # the loop that the command has


if __name__ == "__main__":
    main()

"""A process of the benchmark: the engine behind gRPC as `honeyguide up --in-process` has it, a bare echo, bare engines.

    python -m benchmarks.speed.serve engine <data folder> [--learner]
    python -m benchmarks.speed.serve echo <bytes of a response>
    python -m benchmarks.speed.serve bare <folder>

prints one line, JSON with its port (an engine also its process id and Redis's URL), when it serves. Bare engines are a
full-text index and a graph, opened and asked; they have no port, only a process id. Ends at SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime  # noqa: F401  must come before usearch, see honeyguide_vector.graph
import structlog
import tantivy
import uvloop
from usearch.index import Index

from benchmarks.speed.peer_programs.echo import echo_server
from benchmarks.speed.two_strategies import with_two_strategies
from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.heap import keep_heap, share_arenas
from honeyguide.server import Server
from honeyguide_standalone.commands.up import stop_on_signals
from honeyguide_standalone.engine import Engine

DEPTH = 100
GRAPH, QUERIES = "graph.usearch", "queries.json"


async def engine(folder: Path, learner: bool) -> None:
    """Serves the engine over a data folder."""
    share_arenas()
    stop = stop_on_signals()
    with with_two_strategies():
        async with Engine(folder, learner=learner) as running:
            server = Server("honeyguide", CommonSettings(), ServerSettings(), running.registrations)
            await server.start()
            keep_heap()
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


async def bare(folder: Path) -> None:
    """Holds the bare engines of a folder in memory, asked once for each of its queries, with any vectors."""
    stop = stop_on_signals()
    text, graph = tantivy.Index.open(str(folder)), Index.restore(folder / GRAPH)
    if graph is None:
        raise SystemExit(f"{folder / GRAPH} is no graph")
    searcher, rng = text.searcher(), np.random.default_rng(0)
    for query in json.loads((folder / QUERIES).read_text()):
        graph.search(rng.normal(size=graph.ndim).astype(np.float32), DEPTH)
        searcher.search(text.parse_query_lenient(query, ["title", "text"])[0], DEPTH)
    print(json.dumps({"pid": os.getpid()}), flush=True)
    await stop.wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("engine", "echo", "bare"))
    parser.add_argument("argument")
    parser.add_argument("--learner", action="store_true")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if given.what == "echo":
        uvloop.run(echo(int(given.argument)))
    elif given.what == "bare":
        uvloop.run(bare(Path(given.argument)))
    else:
        asyncio.run(engine(Path(given.argument), given.learner))  # the loop that the command has


if __name__ == "__main__":
    main()

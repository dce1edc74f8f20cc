"""What the peers' programs share: they read a job, answer it line by line, and serve the same search over gRPC.

    python -m benchmarks.speed.peer_programs.<peer> <folder> <bytes of a response>

reads documents.json (id, title, text), vectors.npy, queries.json and query_vectors.npy of the folder, builds the peer's
indexes, and prints one line of JSON, {"port": ...}. Then it answers every line of input, `<vector or hybrid> <effort>`,
with one line of JSON about all queries in order: {"ids": [[...], ...]} found by vectors, or {"ms": [...]} that each
hybrid search took. The gRPC server answers a query's text, with the effort of the last line, with the ids of a page,
filled up to the bytes of a response: what travels is of the size of Honeyguide's own page.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import uvloop

from benchmarks.speed.peer_programs.echo import echo_server

DEPTH = 100
PAGE = 10
RECIPROCAL_RANK_K = 60


class Peer(Protocol):
    """An engine with the documents in it. `effort`: candidates that its vector search looks at."""

    def by_vector(self, vector: np.ndarray, effort: int) -> list[str]:
        """The `DEPTH` nearest documents."""

    def hybrid(self, query: str, vector: np.ndarray, effort: int) -> list[str]:
        """A page: `DEPTH` by text and `DEPTH` by vector, fused by reciprocal ranks."""


Build = Callable[[Path, list[dict[str, str]], np.ndarray, Sequence[str], np.ndarray], Peer]
"""Of a folder of its own, documents, their vectors [n, dimension], queries, and theirs [m, dimension]."""


def answer(build: Build) -> None:
    """The command line."""
    uvloop.run(_answer(build, Path(sys.argv[1]), int(sys.argv[2])))


async def _answer(build: Build, folder: Path, response_bytes: int) -> None:
    queries: list[str] = json.loads((folder / "queries.json").read_text())
    embedded = np.load(folder / "query_vectors.npy")
    by_query = dict(zip(queries, embedded, strict=True))
    documents = json.loads((folder / "documents.json").read_text())
    peer = build(folder / "index", documents, np.load(folder / "vectors.npy"), queries, embedded)
    effort = DEPTH

    async def reply(request: bytes) -> bytes:
        query = request.decode()
        return "\n".join(peer.hybrid(query, by_query[query], effort)).encode().ljust(response_bytes)

    server, port = await echo_server(reply)
    print(json.dumps({"port": port}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        mode, given = line.split()
        effort = int(given)
        told: dict[str, list[list[str]] | list[float]]
        if mode == "vector":
            told = {"ids": [peer.by_vector(vector, effort) for vector in embedded]}
        else:
            told = {"ms": [_hybrid_ms(peer, query, vector, effort) for query, vector in by_query.items()]}
        print(json.dumps(told), flush=True)
    await server.stop(None)


def _hybrid_ms(peer: Peer, query: str, vector: np.ndarray, effort: int) -> float:
    begin = time.perf_counter()
    peer.hybrid(query, vector, effort)
    return (time.perf_counter() - begin) * 1e3

"""What one would use instead: other engines' hybrid search over the same documents and embeddings, at equal recall.

Each peer runs in an environment of its own under .bench/peers, in a process that takes turns with the engine's. Its
vector search is tuned to the smallest effort whose recall@100 against exact search reaches `RECALL`, and so is the
engine's (which is at its default already where that does); the recall of both is among the rows.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks.quality.needs import Scene
from benchmarks.speed import results
from benchmarks.speed.bare import BareLoop
from benchmarks.speed.bench import Bench
from benchmarks.speed.embeddings import Vectors, of_documents, of_queries
from benchmarks.speed.measure import Against, Measurement, Row, alternate, each_ms, rows_of
from benchmarks.speed.two_strategies import NAME as TWO
from benchmarks.speed.two_strategies import with_two_strategies
from honeyguide_standalone.child import ends_with_parent
from honeyguide_standalone.engine import Engine

DEPTH = 100
RECALL = 0.95
EFFORTS = (100, 150, 200, 300, 400, 600, 800, 1_200)
INSTALL_S = 600.0
START_S = 300.0
LINE_BYTES_MAX = 2**26
ENVIRONMENTS = results.ROOT / ".bench" / "peers"
PROGRAMS = Path(__file__).parent / "peer_programs"
LEARNT, FULL, BARE = "in process, learned allocation", "in process, full depth", "bare loop"


@dataclass(frozen=True, slots=True)
class PeerEngine:
    """What is installed, and the program that runs in its environment."""

    name: str
    packages: tuple[str, ...]
    program: str


PEERS = (PeerEngine("LanceDB", ("lancedb", "numpy"), "lancedb_hybrid.py"),)


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows."""
    scene = bench.first_scene()
    queries = bench.queries(scene)
    ids, vectors = of_documents(scene)
    embedded = of_queries(queries)
    exact = _exact(ids, vectors, [embedded[query] for query in queries])
    bare = BareLoop(bench.folder / f"{scene.name}.bare-peers", scene.documents, ids, vectors, embedded)
    for peer in PEERS:
        python = await _environment(peer)
        if python is None:
            continue
        folder = bench.folder / f"{scene.name}.{peer.name}"
        _write(folder, scene, ids, vectors, queries, embedded)
        process = await asyncio.create_subprocess_exec(
            *ends_with_parent([str(python), str(PROGRAMS / peer.program), str(folder)]),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
            env={**os.environ, "RUST_LOG": "error", "LANCE_LOG": "error", "PYTHONWARNINGS": "ignore"},
        )
        try:
            keep(await _against(bench, scene, peer, process, bare, queries, exact))
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _against(
    bench: Bench,
    scene: Scene,
    peer: PeerEngine,
    process: asyncio.subprocess.Process,
    bare: BareLoop,
    queries: Sequence[str],
    exact: Sequence[frozenset[str]],
) -> list[Row]:
    async with asyncio.timeout(START_S):
        if await _line(process) != "ready":
            raise RuntimeError(f"{peer.name} did not start")
    effort, recall = await _tuned(process, exact)
    own_recall = mean(_share(bare.by_vector(query, DEPTH), one) for query, one in zip(queries, exact, strict=True))

    async def theirs() -> float:
        return median((await _answer(process, "hybrid", effort))["ms"])

    async def floor() -> float:
        return median(await each_ms(_directly(bare), queries))

    with with_two_strategies():
        async with bench.prepared(scene) as folder, Engine(folder, learner=False) as engine:

            def ours(policy: str) -> Measurement:
                async def search(query: str) -> object:
                    return await engine.api.search(query, policy=policy, untracked=True)

                async def measurement() -> float:
                    return median(await each_ms(search, queries))

                return measurement

            hybrid = f"{peer.name}, hybrid"
            systems = {hybrid: theirs, FULL: ours(TWO), LEARNT: ours("squarecb"), BARE: floor}
            for system in systems.values():
                await system()
            values = await alternate(systems, bench.repetitions)
    scenario = f"peers: {scene.name}, {peer.name}"
    against = {FULL: Against(hybrid, 1), LEARNT: Against(hybrid, 1), BARE: Against(hybrid)}
    return [
        *rows_of(scenario, "search against peers", "ms", values, against),
        Row(scenario, hybrid, "recall@100 of its vectors", recall, ""),
        Row(scenario, hybrid, "ef that it takes", float(effort), ""),
        Row(scenario, "usearch, as configured", "recall@100 of its vectors", own_recall, ""),
    ]


def _directly(bare: BareLoop) -> Callable[[str], Awaitable[object]]:
    async def search(query: str) -> object:
        return bare.search(query)

    return search


async def _tuned(process: asyncio.subprocess.Process, exact: Sequence[frozenset[str]]) -> tuple[int, float]:
    """The smallest effort that reaches `RECALL`, or the largest there is; and the recall there."""
    recall = 0.0
    for effort in EFFORTS:
        found = (await _answer(process, "vector", effort))["ids"]
        recall = mean(_share(ids, wanted) for ids, wanted in zip(found, exact, strict=True))
        if recall >= RECALL:
            return effort, recall
    return EFFORTS[-1], recall


async def _answer(process: asyncio.subprocess.Process, mode: str, effort: int) -> dict[str, Any]:
    if process.stdin is None:
        raise RuntimeError("the peer has no input")
    process.stdin.write(f"{mode} {DEPTH} {effort}\n".encode())
    answer: dict[str, Any] = json.loads(await _line(process))
    return answer


async def _line(process: asyncio.subprocess.Process) -> str:
    line = await process.stdout.readline() if process.stdout else b""
    if not line:
        raise RuntimeError("the peer ended")
    return line.decode().strip()


async def _environment(peer: PeerEngine) -> Path | None:
    """The peer's interpreter; None, and why, where it cannot be installed."""
    folder = ENVIRONMENTS / peer.name.lower()
    python = folder / "bin" / "python"
    done = folder / "installed"
    if done.exists():
        return python
    print(f"  {peer.name}: installing into {folder.relative_to(results.ROOT)}", flush=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.packages]
    for command in ([sys.executable, "-m", "venv", str(folder)], install):
        process = await asyncio.create_subprocess_exec(*ends_with_parent(command))
        try:
            async with asyncio.timeout(INSTALL_S):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            code = await process.wait()
        if code:
            print(f"  {peer.name}: left out, it cannot be installed here", flush=True)
            return None
    done.touch()
    return python


def _write(
    folder: Path,
    scene: Scene,
    ids: Sequence[str],
    vectors: Vectors,
    queries: Sequence[str],
    embedded: Mapping[str, Vectors],
) -> None:
    folder.mkdir(parents=True)
    by_id = {document.id: document for document in scene.documents}
    documents = [{"id": id, "title": by_id[id].title, "text": by_id[id].text} for id in ids]
    (folder / "documents.json").write_text(json.dumps(documents))
    (folder / "queries.json").write_text(json.dumps(list(queries)))
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "query_vectors.npy", np.stack([embedded[query] for query in queries]))


def _exact(ids: Sequence[str], vectors: Vectors, queries: Sequence[Vectors]) -> list[frozenset[str]]:
    found = []
    for query in queries:
        best = np.argpartition(-(vectors @ query), DEPTH)[:DEPTH]
        found.append(frozenset(ids[row] for row in best.tolist()))
    return found


def _share(found: Sequence[str], wanted: frozenset[str]) -> float:
    return len(wanted.intersection(found)) / len(wanted)

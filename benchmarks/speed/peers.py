"""What one would use instead: other engines' hybrid search over the same documents and embeddings, at equal recall.

Each peer runs in an environment of its own under .bench/peers, and all take turns with the engine. Every vector search,
the engine's too, is tuned to the smallest effort whose recall@100 against exact search reaches each of `RECALLS`; what
it takes and what it reaches are among the rows. Peers are timed in their own process, and over gRPC: a bare server
whose method is the peer's search, with answers as large as the engine's page. All read what they find as ids; only the
engine fetches documents, makes snippets and logs the decision.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np

from benchmarks.quality.needs import Scene
from benchmarks.speed.bare import BareLoop
from benchmarks.speed.bench import Bench, environment
from benchmarks.speed.children import serving
from benchmarks.speed.embeddings import Vectors, of_documents, of_queries
from benchmarks.speed.measure import Against, Measurement, Row, alternate, each_ms, rows_of
from benchmarks.speed.peer_process import PeerEngine, RunningPeer, running
from benchmarks.speed.two_strategies import NAME as TWO
from benchmarks.speed.two_strategies import with_two_strategies
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide_standalone.api import Api
from honeyguide_standalone.engine import Engine
from honeyguide_vector.graph import GraphShape
from honeyguide_vector.segmented_graph import SegmentedGraph
from honeyguide_vector.settings import VectorSettings

DEPTH = 100
RECALLS = (0.95, 0.99)
EFFORTS = (100, 125, 150, 200, 256, 300, 400, 600, 800, 1_200)
OURS = {"in process, full depth": TWO, "in process, learned allocation": "squarecb"}
BARE = "bare loop"

PEERS = (
    PeerEngine("LanceDB", ("lancedb==0.40.0",), "lancedb_hybrid"),
    PeerEngine("Qdrant Edge", ("qdrant-edge-py==0.9.0",), "qdrant_edge_hybrid"),
    PeerEngine("zvec", ("zvec==0.8.0",), "zvec_hybrid"),
    PeerEngine("txtai", ("txtai-minimal==9.14.0", "faiss-cpu==1.15.1", "regex==2026.11.15"), "txtai_hybrid"),
)


@dataclass(frozen=True, slots=True)
class _OwnVectors:
    """The graph that the vector service would make of the documents, and what it finds for queries."""

    ids: Sequence[str]
    vectors: Vectors
    queries: Sequence[Vectors]

    def by_vector(self, effort: int) -> list[list[str]]:
        settings = VectorSettings()
        shape = GraphShape(
            self.vectors.shape[1], settings.m, settings.ef_construction, segment_rows=settings.segment_documents
        )
        graph = SegmentedGraph(shape, effort, settings.threads)
        graph.add(np.arange(len(self.ids)), self.vectors)
        return [[self.ids[row] for row in graph.nearest(query, DEPTH).tolist()] for query in self.queries]


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows."""
    pythons = {peer: python for peer in PEERS if (python := await peer.environment()) is not None}
    for scene in bench.scenes():
        queries = bench.queries(scene)
        ids, vectors = of_documents(scene)
        embedded = of_queries(queries)
        exact = _exact(ids, vectors, [embedded[query] for query in queries])
        bare = BareLoop(bench.folder / f"{scene.name}.bare-peers", scene.documents, ids, vectors, embedded)
        own = _OwnVectors(ids, vectors, [embedded[query] for query in queries])
        response_bytes = await _page_bytes(bench, scene, queries[0])
        async with AsyncExitStack() as stack:
            folders = {peer: bench.folder / f"{scene.name}.{peer.program}" for peer in pythons}
            for folder in folders.values():
                _write(folder, scene, ids, vectors, queries, embedded)
            contexts = [running(peer, pythons[peer], folders[peer], response_bytes) for peer in pythons]
            begun = await asyncio.gather(*(stack.enter_async_context(context) for context in contexts))
            peers = {peer.name: one for peer, one in zip(pythons, begun, strict=True)}
            for recall in RECALLS:
                keep(await _at_recall(bench, scene, recall, peers, bare, own, queries, exact))


async def _at_recall(
    bench: Bench,
    scene: Scene,
    recall: float,
    peers: Mapping[str, RunningPeer],
    bare: BareLoop,
    own: _OwnVectors,
    queries: Sequence[str],
    exact: Sequence[frozenset[str]],
) -> list[Row]:
    async def bare_found(effort: int) -> list[list[str]]:
        bare.look_at(effort)
        return [bare.by_vector(query, DEPTH) for query in queries]

    async def own_found(effort: int) -> list[list[str]]:
        return own.by_vector(effort)

    tuned = {name: await _tuned(peer.process.by_vector, recall, exact) for name, peer in peers.items()}
    tuned |= {BARE: await _tuned(bare_found, recall, exact), "honeyguide": await _tuned(own_found, recall, exact)}
    bare.look_at(tuned[BARE][0])

    async def floor() -> float:
        return median(await each_ms(_directly(bare), queries))

    def inside(name: str) -> Measurement:
        async def measurement() -> float:
            return median(await peers[name].process.hybrid_ms(tuned[name][0]))

        return measurement

    here: dict[str, Measurement] = {BARE: floor, **{name: inside(name) for name in peers}}
    there = {name: _middle(peer.over_grpc, queries) for name, peer in peers.items()}
    with with_two_strategies(), environment("HONEYGUIDE_VECTOR_EF_SEARCH", str(tuned["honeyguide"][0])):
        async with (
            bench.prepared(scene) as folder,
            bench.prepared(scene) as copy,
            Engine(folder, learner=False) as engine,
            serving("engine", copy) as server,
        ):
            connection = RemoteConnection(f"127.0.0.1:{server['port']}", CommonSettings())
            remote = Api(connection)
            here |= {name: _middle(_searching(engine.api, policy), queries) for name, policy in OURS.items()}
            there |= {name: _middle(_searching(remote, policy), queries) for name, policy in OURS.items()}
            for system in (*here.values(), *there.values()):
                await system()
            values = await alternate(here, bench.repetitions)
            served = await alternate(there, bench.repetitions)
            await connection.close()
    return [
        row for name in peers for row in _rows(f"peers: {scene.name}, {name}, recall {recall:g}", name, values, served)
    ] + [row for name in tuned for row in _tuning(f"peers: {scene.name}, recall {recall:g}", name, *tuned[name])]


def _rows(
    scenario: str, name: str, values: Mapping[str, Sequence[float]], served: Mapping[str, Sequence[float]]
) -> list[Row]:
    chosen = {system: values[system] for system in (name, *OURS, BARE)}
    against = {**dict.fromkeys(OURS, Against(name, 1)), BARE: Against(name)}
    remote = {name: served[name], **{ours.replace("in process", "over gRPC"): served[ours] for ours in OURS}}
    return [
        *rows_of(scenario, "search against peers", "ms", chosen, against),
        *rows_of(
            scenario, "search over gRPC", "ms", remote, {system: Against(name) for system in remote if system != name}
        ),
    ]


def _tuning(scenario: str, system: str, effort: int, recall: float) -> list[Row]:
    return [
        Row(scenario, system, "recall@100 of its vectors", recall, ""),
        Row(scenario, system, "candidates looked at for that", float(effort), ""),
    ]


async def _tuned(
    found: Callable[[int], Awaitable[list[list[str]]]], wanted: float, exact: Sequence[frozenset[str]]
) -> tuple[int, float]:
    """The smallest effort that reaches the recall, or the largest there is; and the recall there."""
    recall = 0.0
    for effort in EFFORTS:
        recall = mean(_share(ids, best) for ids, best in zip(await found(effort), exact, strict=True))
        if recall >= wanted:
            return effort, recall
    return EFFORTS[-1], recall


async def _page_bytes(bench: Bench, scene: Scene, query: str) -> int:
    async with bench.prepared(scene) as folder, Engine(folder, learner=False) as engine:
        return (await engine.api.search(query)).ByteSize()


def _directly(bare: BareLoop) -> Callable[[str], Awaitable[object]]:
    async def search(query: str) -> object:
        return bare.search(query)

    return search


def _searching(api: Api, policy: str) -> Callable[[str], Awaitable[object]]:
    return lambda query: api.search(query, policy=policy, untracked=True)


def _middle(call: Callable[[str], Awaitable[object]], queries: Sequence[str]) -> Measurement:
    async def measurement() -> float:
        return median(await each_ms(call, queries))

    return measurement


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

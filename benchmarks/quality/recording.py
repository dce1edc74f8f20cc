"""Recorded retrieval: what the real lexical and vector services answer, played back for long learning curves.

Every query is asked once of the running services at the full depth; a smaller depth is the beginning of that list.
Memory changes with feedback and is never recorded: each run has the real memory service on a Valkey of its own, which
begins with a copy of what indexing left there. `agreement.py` shows that a run on a recording and one on the running
services tell the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pickle
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from benchmarks.quality.needs import CACHE, Scene, every_need, queries_of
from honeyguide.api.lexical.v1 import lexical_pb2, lexical_pb2_grpc
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.candidates import NO_CANDIDATES, Candidates
from honeyguide.documents import Context, Filter, document_from_proto
from honeyguide.errors import Unavailable
from honeyguide.query import RetrievalQuery
from honeyguide.retriever import Need, Strategy
from honeyguide_orchestrator.catalog_facts import CatalogFacts, gather_facts, observe_numeric
from honeyguide_orchestrator.fanout import Retrievers
from honeyguide_orchestrator.likelihood import Likelihoods
from honeyguide_orchestrator.recognition import Recognizer, SpanService
from honeyguide_orchestrator.understanding import Understander
from honeyguide_standalone.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
DEPTH = 100
BATCH = 1_000
SEARCHABLE_S = 600.0
RETRIEVE_S = 60.0
SOURCES = ("common", "lexical", "vector", "memory")
TIME_S = 1_700_000_000.0


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded of a scene.

    spans: answers of RecognizeSpans by normalised query. candidates: by query and strategy. strategies: those recorded.
    valkey: the folder that a run's Valkey begins with.
    """

    spans: Mapping[str, bytes]
    candidates: Mapping[str, Mapping[str, Candidates]]
    strategies: tuple[Strategy, ...]
    facts: CatalogFacts
    valkey: Path


def record(scene: Scene) -> Recording:
    """The recording of a scene, from the cache in .bench if neither the services nor the scene changed since."""
    queries = queries_of(every_need(scene.name))
    folder = CACHE / f"{scene.name}-{_fingerprint(scene, queries)}"
    if os.environ.get("STALE"):  # for work on what comes after retrieval
        folder = next(CACHE.glob(f"{scene.name}-*"), folder)
    if not (folder / "recording.pickle").exists():
        begin = time.perf_counter()
        print(f"{scene.name}: recording {len(queries):,} queries over {len(scene.documents):,} documents", flush=True)
        CACHE.mkdir(exist_ok=True)
        for stale in CACHE.glob(f"{scene.name}-*"):
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            (Path(work) / "out").mkdir()
            asyncio.run(_record(scene, queries, Path(work) / "data", Path(work) / "out"))
            (Path(work) / "out").rename(folder)
        print(f"{scene.name}: recorded in {time.perf_counter() - begin:.0f} s", flush=True)
    with (folder / "recording.pickle").open("rb") as file:
        spans, candidates, strategies, facts = pickle.load(file)
    return Recording(spans, candidates, strategies, facts, folder / "valkey")


def _fingerprint(scene: Scene, queries: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for service in SOURCES:
        for path in sorted((ROOT / "services" / service / "src").rglob("*.py")):
            digest.update(path.read_bytes())
    digest.update(scene.configuration.SerializeToString(deterministic=True))
    digest.update("\n".join(queries).encode())
    for document in scene.documents:
        digest.update(document.SerializeToString(deterministic=True))
    return digest.hexdigest()


async def _record(scene: Scene, queries: Sequence[str], data: Path, out: Path) -> None:
    os.environ["HONEYGUIDE_VECTOR_QUERY_BATCH_MAX"] = "1"  # a query's embedding then does not depend on its neighbours
    os.environ["HONEYGUIDE_VECTOR_CACHE_DIR"] = str(CACHE / "vector")
    async with Engine(data, learner=False) as engine:
        await engine.api.configure(scene.configuration)
        for begin in range(0, len(scene.documents), BATCH):
            errors = await engine.api.index(scene.documents[begin : begin + BATCH])
            if errors:
                raise SystemExit(f"{scene.name}: {len(errors)} documents refused, first: {errors[0].description}")
        await searchable(engine)
        retrievers = Retrievers()
        for name in ("lexical", "vector"):
            await retrievers.connect(name, engine.connections[name])
        stub = engine.connections["lexical"].stub(lexical_pb2_grpc.LexicalServiceStub)
        lexical = _Listening(cast(SpanService, stub))  # not what the generated types say, see honeyguide.client
        facts = gather_facts(
            scene.configuration,
            observe_numeric(document_from_proto(document) for document in scene.documents),
            len(scene.documents),
        )
        understander = Understander(Recognizer(lexical, time.monotonic, RETRIEVE_S), lambda: facts, lambda: TIME_S)
        candidates: dict[str, dict[str, Candidates]] = {}
        for text in queries:
            understanding = await understander.understand(text, Likelihoods())
            met = {Need.QUERY: True, Need.INTERPRETATION: bool(understanding.interpretations)}
            depths = {
                strategy.name: min(DEPTH, strategy.depth_max)
                for strategy in retrievers.strategies
                if all(met.get(need, False) for need in strategy.needs)
            }
            query = RetrievalQuery(text, understanding, Context(time_s=TIME_S), Filter())
            outcomes = await retrievers.retrieve(query, depths, RETRIEVE_S)
            candidates[text] = {name: outcome.candidates for name, outcome in outcomes.items()}
        strategies = retrievers.strategies
    with (out / "recording.pickle").open("wb") as file:
        pickle.dump((lexical.spans, candidates, strategies, facts), file)
    shutil.copytree(data / "valkey", out / "valkey", ignore=shutil.ignore_patterns("*.log", "*.lock", "lock"))


async def searchable(engine: Engine) -> None:
    """Waits until all that was acknowledged, and so is durable, can be found as well.

    Raises:
        Unavailable: if it takes longer than ten minutes.
    """
    end = time.monotonic() + SEARCHABLE_S
    while True:
        try:
            await engine.api.stats()
        except Unavailable:
            if time.monotonic() > end:
                raise
        else:
            return


class _Listening:
    """The lexical service, and a note of what it recognised."""

    def __init__(self, lexical: SpanService) -> None:
        self._lexical = lexical
        self.spans: dict[str, bytes] = {}

    async def RecognizeSpans(
        self, request: lexical_pb2.RecognizeSpansRequest, timeout: float
    ) -> lexical_pb2.RecognizeSpansResponse:
        response = await self._lexical.RecognizeSpans(request, timeout=timeout)
        self.spans[request.normalized_query] = response.SerializeToString()
        return response


class RecordedLexical:
    """As much of the lexical service as a search and the learner ask for beside candidates."""

    def __init__(
        self, recording: Recording, documents: Sequence[document_pb2.Document], understanding: bool = True
    ) -> None:
        """`understanding` False = nothing is recognised in queries."""
        self._spans = {
            query: lexical_pb2.RecognizeSpansResponse.FromString(raw if understanding else b"")
            for query, raw in recording.spans.items()
        }
        self._documents = {one.id: lexical_pb2.FetchedDocument(document=one) for one in documents}

    async def RecognizeSpans(
        self, request: lexical_pb2.RecognizeSpansRequest, timeout: float
    ) -> lexical_pb2.RecognizeSpansResponse:
        """What was recognised."""
        return self._spans[request.normalized_query]

    async def FetchDocuments(
        self, request: lexical_pb2.FetchDocumentsRequest, timeout: float
    ) -> lexical_pb2.FetchDocumentsResponse:
        """The documents, from the catalogue itself."""
        found = [self._documents[id] for id in request.document_ids if id in self._documents]
        return lexical_pb2.FetchDocumentsResponse(documents=found)


class RecordedCandidates:
    """Candidates of the recorded strategies at any depth up to the recorded one."""

    def __init__(self, recording: Recording) -> None:
        self._candidates = recording.candidates
        self.strategies = recording.strategies
        self._cut: dict[tuple[str, str, int], Candidates] = {}

    def of(self, query: str, strategy: str, depth: int) -> Candidates:
        """The first `depth` candidates."""
        key = (query, strategy, depth)
        cut = self._cut.get(key)
        if cut is None:
            whole = self._candidates[query].get(strategy, NO_CANDIDATES)
            cut = self._cut[key] = whole.first(depth)
        return cut

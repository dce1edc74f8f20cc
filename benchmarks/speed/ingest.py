"""Taking the catalogue in: each service against its engine called directly, and all three against the slowest.

Nothing is encoded before: every measurement has an embedding cache of its own, which is empty. A service is done when
everything acknowledged can be found.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import tantivy

from benchmarks.quality.needs import Scene
from benchmarks.quality.recording import searchable
from benchmarks.speed.bare import WRITER_BYTES, build_graph
from benchmarks.speed.bench import Bench, batched, environment
from benchmarks.speed.embeddings import cache_folder, encoders
from benchmarks.speed.measure import Against, Row, alternate, rows_of
from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2, indexing_pb2_grpc
from honeyguide.client import LocalConnection
from honeyguide.documents import Document, document_from_proto
from honeyguide_lexical.fulltext import FullText, _entry
from honeyguide_lexical.layout import layout_from
from honeyguide_lexical.service import open_service as open_lexical
from honeyguide_lexical.settings import LexicalSettings
from honeyguide_memory.service import open_service as open_memory
from honeyguide_memory.settings import MemorySettings
from honeyguide_standalone.engine import Engine
from honeyguide_standalone.valkey import ValkeyServer
from honeyguide_vector.embedded_text import rules_from_proto
from honeyguide_vector.service import open_service as open_vector
from honeyguide_vector.settings import VectorSettings

BATCH = 500


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows."""
    scene = bench.first_scene()
    many = scene.documents[: 1_500 if bench.quick else 20_000]
    few = scene.documents[: 40 if bench.quick else 1_000]
    keep(await _lexical(bench, scene, many))
    keep(await _vector_and_all(bench, scene, few))


async def _lexical(bench: Bench, scene: Scene, documents: Sequence[document_pb2.Document]) -> list[Row]:
    layout = layout_from(scene.configuration)
    domain = [document_from_proto(document) for document in documents]
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        made = FullText(Path(folder), layout, WRITER_BYTES, 1)
    schema, analysis = made.schema, made.analysis
    entries = [_entry(document, layout, analysis) for document in domain]

    def write(add: Callable[[FullText], None]) -> float:
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            index = FullText(Path(folder), layout, WRITER_BYTES, 1)
            begin = time.perf_counter()
            add(index)
            return len(documents) / (time.perf_counter() - begin)

    def bare(index: FullText) -> None:
        writer = index._open_writer()
        for entry in entries:
            writer.add_document(tantivy.Document.from_dict(entry, schema))
        writer.commit()

    def put(index: FullText) -> None:
        for document in domain:
            index.put(document)
        index.commit()

    async def bare_rate() -> float:
        return write(bare)

    async def put_rate() -> float:
        return write(put)

    async def service_rate() -> float:
        async with _lexical_service(bench.folder) as connection:
            return len(documents) / await _index(connection, scene, documents)

    values = await alternate(
        {"bare tantivy writer": bare_rate, "the same, fields made as well": put_rate, "lexical": service_rate},
        bench.repetitions,
    )
    against = {
        "the same, fields made as well": Against("bare tantivy writer"),
        "lexical": Against("bare tantivy writer", 7),
    }
    return rows_of(f"ingest: {scene.name}, {len(documents):,} documents", "index", "documents/s", values, against)


async def _vector_and_all(bench: Bench, scene: Scene, documents: Sequence[document_pb2.Document]) -> list[Row]:
    rules = rules_from_proto(scene.configuration)
    domain: list[Document] = [document_from_proto(document) for document in documents]
    texts = [text for text in map(rules.text_of, domain) if text]

    async def bare() -> float:
        encoder = encoders().documents
        begin = time.perf_counter()
        build_graph(encoder.encode(texts))
        return len(documents) / (time.perf_counter() - begin)

    async def alone(open_one: Any) -> float:
        async with open_one(bench.folder) as connection:
            return len(documents) / await _index(connection, scene, documents)

    async def all_three() -> float:
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder, _empty_cache(bench.folder):
            async with Engine(Path(folder), learner=False) as engine:
                await engine.api.configure(scene.configuration)
                begin = time.perf_counter()
                await engine.api.index(documents)
                await searchable(engine)
                return time.perf_counter() - begin

    rates = await alternate(
        {
            "bare encoder and graph": bare,
            "vector": lambda: alone(_vector_service),
            "lexical": lambda: alone(_lexical_service),
            "memory": lambda: alone(_memory_service),
            "all three": all_three,
        },
        bench.repetitions,
    )
    scenario = f"ingest: {scene.name}, {len(documents):,} documents, none encoded before"
    seconds = {"all three": rates.pop("all three")}
    seconds["the slowest alone"] = [
        len(documents) / min(turn) for turn in zip(*(rates[s] for s in ("vector", "lexical", "memory")), strict=True)
    ]
    return [
        *rows_of(scenario, "index", "documents/s", rates, {"vector": Against("bare encoder and graph", 7)}),
        *rows_of(scenario, "index", "s", seconds, {"all three": Against("the slowest alone", 7)}),
    ]


async def _index(connection: LocalConnection, scene: Scene, documents: Sequence[document_pb2.Document]) -> float:
    """Seconds until all can be found."""
    stub: Any = connection.stub(indexing_pb2_grpc.IndexingServiceStub)
    await stub.Configure(indexing_pb2.ConfigureRequest(configuration=scene.configuration))
    begin = time.perf_counter()
    for batch in batched(documents, BATCH):
        response = await stub.IndexDocuments(indexing_pb2.IndexDocumentsRequest(documents=batch))
        if response.errors:
            raise RuntimeError(f"refused: {response.errors[0].description}")
    await stub.GetStats(indexing_pb2.GetStatsRequest())
    return time.perf_counter() - begin


@asynccontextmanager
async def _lexical_service(within: Path) -> AsyncIterator[LocalConnection]:
    with tempfile.TemporaryDirectory(dir=within) as folder:
        async with open_lexical(LexicalSettings(data_dir=Path(folder))) as registrations:
            yield LocalConnection(registrations)


@asynccontextmanager
async def _vector_service(within: Path) -> AsyncIterator[LocalConnection]:
    with tempfile.TemporaryDirectory(dir=within) as folder, _empty_cache(within) as cache:
        async with open_vector(VectorSettings(data_dir=Path(folder), cache_dir=cache)) as registrations:
            yield LocalConnection(registrations)


@asynccontextmanager
async def _memory_service(within: Path) -> AsyncIterator[LocalConnection]:
    with tempfile.TemporaryDirectory(dir=within) as folder:
        valkey = ValkeyServer(Path(folder))
        try:
            async with open_memory(MemorySettings(redis_url=valkey.url)) as registrations:
                yield LocalConnection(registrations)
        finally:
            valkey.stop()


@contextmanager
def _empty_cache(within: Path) -> Iterator[Path]:
    """A cache folder with the quantised model and no embedding, for services that read the environment as well."""
    with tempfile.TemporaryDirectory(dir=within) as folder:
        encoders()  # makes the quantised model where it was not made yet
        shutil.copytree(cache_folder() / "models", Path(folder) / "models")
        with environment("HONEYGUIDE_VECTOR_CACHE_DIR", folder):
            yield Path(folder)

"""Ten times, and a hundred times the documents: searches, indexing, memory, and starting from what was saved.

Documents are made: words drawn by Zipf's law from as many as a catalogue of that size has (Heaps' law), around one of a
few hundred topics, which also moves the supplied vector: a random projection of the topic's words, with noise. No text
is encoded but the queries', whose embeddings are cached. Making documents is not timed.

Memory is that of a server process over the documents less that over a few, after some searches, and beside it what
Valkey says; the bare engines' (tantivy and usearch, see `bare`) is measured in the same way at all sizes but the
largest, whose graph would take a quarter of an hour. Last come distinct remembered queries, which memory is told of
directly: a like each.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import redis.asyncio

from benchmarks.quality.recording import searchable
from benchmarks.speed.bare import build_graph, build_text
from benchmarks.speed.bench import Bench, batched
from benchmarks.speed.children import serving
from benchmarks.speed.measure import Against, Measurement, Row, alternate, each_ms, rows_of, together
from benchmarks.speed.serve import GRAPH, QUERIES
from benchmarks.speed.two_strategies import NAME as TWO
from benchmarks.speed.two_strategies import with_two_strategies
from honeyguide.api.memory.v1 import memory_pb2, memory_pb2_grpc
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide.documents import Document, document_to_proto, time_to_proto
from honeyguide_standalone.api import Api
from honeyguide_standalone.engine import Engine

HERE, BARE = "in process", "bare engines"
SIZES = (10_000, 100_000, 1_000_000)
SIZES_QUICK = (2_000, 10_000)
REMEMBERED = (1_000, 100_000, 1_000_000)
REMEMBERED_QUICK = (1_000, 20_000)
CLIENTS = 16
DIMENSION = 384
TOPICS = 300
WORDS_A_DOCUMENT = 40
TOPIC_WORDS = 50
QUERY_WORDS = 3
NOISE = 0.35
ZIPF = 1.1
MADE_AT_ONCE = 5_000
ACTIONS_A_CALL = 1_000
WARMING_SEARCHES = 50
OPENED = 3
FEW = 100
"""Documents of the small catalogue that what a process holds anyway is taken from."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Floats = npt.NDArray[np.float32]


class MadeCatalogue:
    """Documents of a size, always the same for the same size."""

    def __init__(self, documents: int) -> None:
        self.documents = documents
        rng = np.random.default_rng(0)
        words = int(30 * documents**0.5)
        self._words = [_word(i) for i in range(words)]
        chances = 1 / np.arange(1, words + 1) ** ZIPF
        self._cumulative = np.cumsum(chances / chances.sum())
        self._topics = rng.integers(words, size=(TOPICS, TOPIC_WORDS))
        projection = rng.normal(size=(words, DIMENSION)).astype(np.float32)
        self._centres = _unit(projection[self._topics].mean(axis=1))

    def batches(self) -> Iterator[list[Document]]:
        """All documents, `MADE_AT_ONCE` at a time."""
        rng = np.random.default_rng(1)
        for begin in range(0, self.documents, MADE_AT_ONCE):
            yield self._made(begin, min(MADE_AT_ONCE, self.documents - begin), rng)

    def queries(self, count: int) -> list[str]:
        """Words of a topic each, all different."""
        rng = np.random.default_rng(2)
        found: dict[str, None] = {}
        while len(found) < count:
            topic = self._topics[len(found) % TOPICS]
            found[" ".join(self._words[i] for i in rng.choice(topic, QUERY_WORDS).tolist())] = None
        return list(found)

    def _made(self, begin: int, count: int, rng: np.random.Generator) -> list[Document]:
        topics = rng.integers(TOPICS, size=count)
        half = (count, WORDS_A_DOCUMENT // 2)
        common = np.searchsorted(self._cumulative, rng.random(half)).clip(max=len(self._words) - 1)
        own = self._topics[topics[:, np.newaxis], rng.integers(TOPIC_WORDS, size=half)]
        chosen = rng.permuted(np.concatenate([common, own], axis=1), axis=1).tolist()
        noise = NOISE * rng.normal(size=(count, DIMENSION)).astype(np.float32) / DIMENSION**0.5
        vectors = _unit(self._centres[topics] + noise)
        made = []
        for i, numbers in enumerate(chosen):
            words = [self._words[number] for number in numbers]
            title, text = " ".join(words[:4]), " ".join(words[4:])
            made.append(Document(f"made:{begin + i:08d}", "made", title, text, embedding=vectors[i]))
        return made


@dataclass(frozen=True, slots=True)
class Held:
    """A server over a folder: seconds until it serves, its resident memory, and what Valkey holds, in bytes."""

    seconds: float
    resident_bytes: int
    valkey_bytes: int = 0


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows; those of searches come last, when all sizes are there to take turns."""
    sizes = SIZES_QUICK if bench.quick else SIZES
    folders = {size: bench.folder / f"made-{size}" for size in sizes}
    few = MadeCatalogue(FEW)
    await _indexed(bench.folder / "made-few", few)
    await _opened(bench.folder / "made-few", [])  # the first start also reads the programs from disk
    empty = await _opened(bench.folder / "made-few", few.queries(WARMING_SEARCHES))
    bare = {size: await _bare_bytes(bench.folder, size) for size in sizes[:-1]}
    rates: dict[int, float] = {}
    for size, folder in folders.items():
        made = MadeCatalogue(size)
        rates[size] = await _indexed(folder, made)
        held = await _opened(folder, made.queries(WARMING_SEARCHES))
        keep(_rows(size, sizes[0], rates, held, empty, bare.get(size)))
    keep(await _searches(bench, folders))
    keep(await _remembered(bench, folders[sizes[0]], sizes[0]))


def _rows(
    size: int, smallest: int, rates: Mapping[int, float], held: Held, empty: Held, bare: float | None
) -> list[Row]:
    scenario = f"scale: {size:,} documents"
    more = size - FEW
    resident = (held.resident_bytes - empty.resident_bytes) / more
    rate = Row(scenario, HERE, "indexing rate", rates[size], "documents/s")
    if size != smallest:
        rate = replace(rate, ratio=rates[size] / rates[smallest], ratio_to=_named(smallest), item=8)
    memory = Row(scenario, HERE, "resident memory", resident, "bytes/document")
    rows = [
        rate,
        Row(scenario, HERE, "open", max(held.seconds - empty.seconds, 0.0) * 1e6 / more, "s/million documents", item=8),
        Row(scenario, "Valkey", "memory", (held.valkey_bytes - empty.valkey_bytes) / more, "bytes/document"),
    ]
    if bare is None:
        return [*rows, memory]
    memory = replace(memory, ratio=resident / bare, ratio_to=BARE, item=7)
    return [*rows, memory, Row(scenario, BARE, "resident memory", bare, "bytes/document")]


async def _indexed(folder: Path, made: MadeCatalogue) -> float:
    """Documents a second; each `MADE_AT_ONCE` can be found before the next are taken in."""
    seconds = 0.0
    async with Engine(folder, learner=False) as engine:
        for batch in made.batches():
            begin = time.perf_counter()
            errors = await engine.api.index(batch)
            if errors:
                raise RuntimeError(f"{len(errors)} documents refused, first: {errors[0].description}")
            await searchable(engine)
            seconds += time.perf_counter() - begin
    return made.documents / seconds


async def _opened(folder: Path, queries: Sequence[str]) -> Held:
    """The quickest of some processes that serve the folder, one after the other: what else a machine does only adds."""
    return min([await _opened_once(folder, queries) for _ in range(OPENED)], key=lambda held: held.seconds)


async def _opened_once(folder: Path, queries: Sequence[str]) -> Held:
    """A process of its own that serves the folder, when it has answered the queries."""
    begin = time.perf_counter()
    async with serving("engine", folder) as server:
        seconds = time.perf_counter() - begin
        connection = RemoteConnection(f"127.0.0.1:{server['port']}", CommonSettings())
        await each_ms(_searching(Api(connection)), queries)
        await connection.close()
        async with redis.asyncio.Redis.from_url(server["redis_url"]) as client:
            valkey = int((await client.info("memory"))["used_memory"])
        return Held(seconds, _resident_bytes(server["pid"]), valkey)


async def _bare_bytes(folder: Path, size: int) -> float:
    """Resident memory of tantivy and usearch in a process of their own, in bytes a document."""
    resident = []
    for made in (MadeCatalogue(FEW), MadeCatalogue(size)):
        own = folder / f"bare-{made.documents}"
        documents = [document for batch in made.batches() for document in batch]
        build_text(own, [document_to_proto(document) for document in documents])
        embeddings = [document.embedding for document in documents if document.embedding is not None]
        build_graph(np.stack(embeddings)).save(own / GRAPH)
        (own / QUERIES).write_text(json.dumps(made.queries(WARMING_SEARCHES)))
        async with serving("bare", own) as server:
            resident.append(_resident_bytes(server["pid"]))
    return (resident[1] - resident[0]) / (size - FEW)


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


async def _searches(bench: Bench, folders: Mapping[int, Path]) -> list[Row]:
    systems: dict[str, Measurement] = {}
    crowds: dict[str, Measurement] = {}
    with with_two_strategies():
        async with AsyncExitStack() as stack:
            for size, folder in folders.items():
                engine = await stack.enter_async_context(Engine(folder, learner=False))
                queries = MadeCatalogue(size).queries(bench.searches)
                systems[_named(size)] = partial(_middle, _searching(engine.api, TWO), queries)
                crowds[_named(size)] = partial(_rate, _searching(engine.api, TWO), queries * 2)
            for system in systems.values():
                await system()
            values = await alternate(systems, bench.repetitions)
            rates = await alternate(crowds, bench.repetitions)
    smallest, *larger = systems
    scenario = "scale: searches side by side, full depth"
    return [
        *rows_of(scenario, "search", "ms", values, {name: Against(smallest, 8) for name in larger}),
        *rows_of(
            scenario,
            f"throughput, {CLIENTS} clients",
            "searches/s",
            rates,
            {name: Against(smallest) for name in larger},
        ),
    ]


async def _remembered(bench: Bench, folder: Path, documents: int) -> list[Row]:
    """Searches that ask everything, memory among it, where so many distinct queries are remembered."""
    counts = REMEMBERED_QUICK if bench.quick else REMEMBERED
    made = MadeCatalogue(documents)
    queries = made.queries(max(counts))
    systems: dict[str, Measurement] = {}
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        for count in counts:
            copy = bench.folder / f"remembered-{count}"
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("lock"))
            engine = await stack.enter_async_context(Engine(copy, learner=False))
            begin = time.perf_counter()
            await _remember(engine, queries[:count], documents)
            name = f"{count:,} remembered queries"
            rate = count / (time.perf_counter() - begin)
            rows.append(Row("scale: remembered queries", name, "remembering", rate, "queries/s"))
            step = count // bench.searches
            systems[name] = partial(_middle, _searching(engine.api, "full_depth"), queries[:count:step])
        for system in systems.values():
            await system()
        values = await alternate(systems, bench.repetitions)
    fewest, *more = systems
    return [
        *rows,
        *rows_of("scale: remembered queries", "search", "ms", values, {name: Against(fewest) for name in more}),
    ]


async def _remember(engine: Engine, queries: Sequence[str], documents: int) -> None:
    stub = engine.connections["memory"].stub(memory_pb2_grpc.MemoryServiceStub)
    now = time_to_proto(time.time())
    for batch in batched(list(enumerate(queries)), ACTIONS_A_CALL):
        actions = [
            memory_pb2.Action(
                event_id=f"remembered-{i}",
                normalized_query=query,
                document_id=f"made:{i % documents:08d}",
                weight=1.0,
                time=now,
            )
            for i, query in batch
        ]
        await stub.RecordActions(memory_pb2.RecordActionsRequest(actions=actions))


def _searching(api: Api, policy: str = "") -> Callable[[str], Awaitable[object]]:
    return lambda query: api.search(query, policy=policy, untracked=True)


async def _middle(call: Callable[[str], Awaitable[object]], queries: Sequence[str]) -> float:
    return median(await each_ms(call, queries))


async def _rate(call: Callable[[str], Awaitable[object]], queries: Sequence[str]) -> float:
    return (await together(call, queries, CLIENTS))[0]


def _named(size: int) -> str:
    return f"{size:,} documents"


def _unit(vectors: Floats) -> Floats:
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _word(number: int) -> str:
    """A word made of syllables, another one for each number."""
    syllables = []
    number += 1
    while number:
        number, i = divmod(number, 70)
        syllables.append("bdfghjklmnprst"[i // 5] + "aeiou"[i % 5])
    return "".join(syllables)

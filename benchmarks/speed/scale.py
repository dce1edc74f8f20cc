"""Ten times, and a hundred times the documents: searches, indexing, memory, and starting from what was saved.

Documents are made: words drawn by Zipf's law from as many as a catalogue of that size has (Heaps' law), around one of a
few hundred topics, which also moves the supplied vector: a random projection of the topic's words, with noise. No text
is encoded but the queries', whose embeddings are cached.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from benchmarks.quality.recording import searchable
from benchmarks.speed.bench import Bench
from benchmarks.speed.children import serving
from benchmarks.speed.measure import Against, Measurement, Row, alternate, each_ms, rows_of
from benchmarks.speed.two_strategies import NAME as TWO
from benchmarks.speed.two_strategies import with_two_strategies
from honeyguide.documents import Document
from honeyguide_standalone.api import Api
from honeyguide_standalone.engine import Engine

HERE = "in process"
SIZES = (10_000, 100_000)
SIZES_QUICK = (500, 2_000)
DIMENSION = 384
TOPICS = 300
WORDS_A_DOCUMENT = 40
TOPIC_WORDS = 50
NOISE = 0.35
ZIPF = 1.1
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Floats = npt.NDArray[np.float32]


class MadeCatalogue:
    """Documents of a size, always the same for the same size."""

    def __init__(self, documents: int) -> None:
        self.documents = documents
        rng = np.random.default_rng(0)
        self._words = int(30 * documents**0.5)
        chances = 1 / np.arange(1, self._words + 1) ** ZIPF
        self._chances = chances / chances.sum()
        self._topics = rng.integers(self._words, size=(TOPICS, TOPIC_WORDS))
        projection = rng.normal(size=(self._words, DIMENSION)).astype(np.float32)
        centres = projection[self._topics].mean(axis=1)
        self._centres: Floats = centres / np.linalg.norm(centres, axis=1, keepdims=True)

    def __iter__(self) -> Iterator[Document]:
        rng = np.random.default_rng(1)
        for number in range(self.documents):
            topic = int(rng.integers(TOPICS))
            common = rng.choice(self._words, WORDS_A_DOCUMENT // 2, p=self._chances)
            own = rng.choice(self._topics[topic], WORDS_A_DOCUMENT // 2)
            words = [_word(i) for i in rng.permutation(np.concatenate([common, own])).tolist()]
            vector = self._centres[topic] + NOISE * rng.normal(size=DIMENSION).astype(np.float32) / DIMENSION**0.5
            yield Document(
                id=f"made:{number:08d}",
                type="made",
                title=" ".join(words[:4]),
                text=" ".join(words[4:]),
                embedding=(vector / np.linalg.norm(vector)).astype(np.float32),
            )

    def queries(self, count: int) -> list[str]:
        """Three words of a topic each."""
        rng = np.random.default_rng(2)
        return [" ".join(_word(i) for i in rng.choice(self._topics[n % TOPICS], 3).tolist()) for n in range(count)]


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows; those of searches come last, when all sizes are there to take turns."""
    sizes = SIZES_QUICK if bench.quick else SIZES
    folders = {size: bench.folder / f"made-{size}" for size in sizes}
    await _opened(bench.folder / "made-0")  # the first start also reads the programs from disk
    empty = await _opened(bench.folder / "made-0")
    rates: dict[int, float] = {}
    for size, folder in folders.items():
        rates[size] = await _indexed(folder, MadeCatalogue(size))
        seconds, resident_bytes = await _opened(folder)
        scenario = f"scale: {size:,} documents"
        rate = Row(scenario, HERE, "indexing rate", rates[size], "documents/s")
        if size != sizes[0]:
            rate = replace(rate, ratio=rates[size] / rates[sizes[0]], ratio_to=_named(sizes[0]), item=8)
        begun = max(seconds - empty[0], 0.0) * 1e6 / size
        held = (resident_bytes - empty[1]) / size
        keep(
            [
                rate,
                Row(scenario, HERE, "open", begun, "s/million documents", item=8),
                Row(scenario, HERE, "resident memory", held, "bytes/document"),
            ]
        )
    keep(await _searches(bench, folders))


async def _indexed(folder: Path, made: MadeCatalogue) -> float:
    """Documents a second until all can be found."""
    async with Engine(folder, learner=False) as engine:
        begin = time.perf_counter()
        errors = await engine.api.index(made)
        if errors:
            raise RuntimeError(f"{len(errors)} documents refused, first: {errors[0].description}")
        await searchable(engine)
        return made.documents / (time.perf_counter() - begin)


async def _opened(folder: Path) -> tuple[float, int]:
    """Seconds until a process of its own serves the folder, and its resident memory then, in bytes."""
    begin = time.perf_counter()
    async with serving("engine", folder) as server:
        seconds = time.perf_counter() - begin
        return seconds, _resident_bytes(server["pid"])


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


async def _searches(bench: Bench, folders: Mapping[int, Path]) -> list[Row]:
    systems: dict[str, Measurement] = {}
    with with_two_strategies():
        async with AsyncExitStack() as stack:
            for size, folder in folders.items():
                engine = await stack.enter_async_context(Engine(folder, learner=False))
                systems[_named(size)] = _searching(engine.api, MadeCatalogue(size).queries(bench.searches))
            for system in systems.values():
                await system()
            values = await alternate(systems, bench.repetitions)
    smallest, *larger = systems
    against = {name: Against(smallest, 8) for name in larger}
    return rows_of("scale: searches side by side, full depth", "search", "ms", values, against)


def _searching(api: Api, queries: Sequence[str]) -> Measurement:
    async def search(query: str) -> object:
        return await api.search(query, policy=TWO, untracked=True)

    async def measurement() -> float:
        return median(await each_ms(search, queries))

    return measurement


def _named(size: int) -> str:
    return f"{size:,} documents"


def _word(number: int) -> str:
    """A word made of syllables, another one for each number."""
    syllables = []
    number += 1
    while number:
        number, i = divmod(number, 70)
        syllables.append("bdfghjklmnprst"[i // 5] + "aeiou"[i % 5])
    return "".join(syllables)

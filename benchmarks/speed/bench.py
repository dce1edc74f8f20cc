"""What the parts of the benchmark share: how much is run, real catalogues, and systems that hold and know them."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

from benchmarks.quality.needs import Need, Scene, scene
from benchmarks.quality.recording import searchable
from honeyguide.api.search.v1 import feedback_pb2
from honeyguide_standalone.api import Api
from honeyguide_standalone.engine import Engine

T = TypeVar("T")

CANDIDATE_CACHES = ("HONEYGUIDE_LEXICAL_CANDIDATE_CACHE_MAX", "HONEYGUIDE_VECTOR_CANDIDATE_CACHE_MAX")
"""Variables that say how many lists of candidates are kept for queries that come again."""

LEARN_INTERVAL_S = 0.2
SETTLED_S = 2.0
REPEATS = 4
"""How often each taught query is searched, on average."""

FEEDBACK_EVERY = 20


@dataclass(slots=True)
class Bench:
    """How much is run. folder: where everything made goes; gone at the end."""

    quick: bool
    folder: Path

    @property
    def repetitions(self) -> int:
        """Turns that every system gets."""
        return 3 if self.quick else 7

    @property
    def searches(self) -> int:
        """Searches a turn."""
        return 30 if self.quick else 200

    def scenes(self) -> Iterator[Scene]:
        """The catalogues measured; says which are missing."""
        names = ("scifact",) if self.quick else ("films", "scifact", "chorus-icecat")
        found = [(name, scene(name)) for name in names]
        for name, one in found:
            if one is None:
                print(f"  {name}: left out, there is no such folder in HONEYGUIDE_COLLECTIONS", flush=True)
            else:
                yield one
        films = scene("films")
        if all(one is None for _, one in found) and films is not None:
            yield films

    def first_scene(self) -> Scene:
        """The catalogue for what needs only one."""
        return next(iter(self.scenes()))

    def queries(self, of: Scene) -> list[str]:
        """Distinct queries, half of them taught to the prepared system, half never seen by it."""
        taught = _texts(of.learning[: self.taught // REPEATS])
        new = [text for text in _texts(of.held_out) if text not in set(taught)]
        half = self.searches // 2
        chosen = taught[:half] + new[: self.searches - half]
        Random(1).shuffle(chosen)
        return chosen

    @property
    def taught(self) -> int:
        """Searches with feedback that the prepared system learns from."""
        return 160 if self.quick else 1_500

    @asynccontextmanager
    async def prepared(self, of: Scene) -> AsyncIterator[Path]:
        """A data folder of its own with the catalogue indexed and searches learned from; made once a run."""
        original = self.folder / of.name
        if not original.exists():
            partial = self.folder / f"{of.name}.partial"
            await _prepare(of, partial, self.taught)
            partial.rename(original)
        with tempfile.TemporaryDirectory(dir=self.folder) as copy:
            shutil.copytree(original, copy, ignore=shutil.ignore_patterns("lock"), dirs_exist_ok=True)
            yield Path(copy)


async def _prepare(of: Scene, folder: Path, searches: int) -> None:
    """Indexes a catalogue, and teaches: people who search a judged query and click the first result judged good."""
    needs = of.learning[: searches // REPEATS]
    rng = Random(0)
    async with Engine(folder, intervals_s=LEARN_INTERVAL_S) as engine:
        await index(engine, of)
        events: list[feedback_pb2.FeedbackEvent] = []
        for number in range(searches):
            need = rng.choice(needs)
            response = await engine.api.search(need.query)
            good = [result for result in response.results if result.document.id in need.grades]
            if good:
                event = feedback_pb2.FeedbackEvent(
                    event_id=f"taught-{number}",
                    decision_id=response.decision_id,
                    document_id=good[0].document.id,
                    action=feedback_pb2.ACTION_TYPE_CLICK,
                )
                events.append(event)
            if len(events) >= FEEDBACK_EVERY:
                await engine.api.feedback(events)
                events.clear()
        await engine.api.feedback(events)
        await settled(engine.api)


async def index(engine: Engine, of: Scene) -> None:
    """Takes a whole catalogue in, and waits until all of it can be found."""
    await engine.api.configure(of.configuration)
    errors = await engine.api.index(of.documents)
    if errors:
        raise RuntimeError(f"{of.name}: {len(errors)} documents refused, first: {errors[0].description}")
    await searchable(engine)


async def settled(api: Api) -> None:
    """Waits until the learner makes no newer snapshot."""
    version = -1
    while (newest := (await api.policy()).snapshot_version) != version:
        version = newest
        await asyncio.sleep(SETTLED_S)


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """A variable of the environment, for what is opened or begun inside the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in order, so many at a time."""
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def _texts(needs: Sequence[Need]) -> list[str]:
    return list(dict.fromkeys(need.query for need in needs))

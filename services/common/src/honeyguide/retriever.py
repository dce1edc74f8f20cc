"""The seams that every strategy provider and every index implements; `honeyguide.servicers` puts them on the wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import structlog

from honeyguide.api.retrieval.v1 import indexing_pb2, retriever_pb2
from honeyguide.candidates import Candidates
from honeyguide.documents import Document
from honeyguide.errors import HoneyguideError
from honeyguide.query import RetrievalQuery

log = structlog.get_logger("honeyguide.retriever")


class Kind(Enum):
    """Whether a strategy uses what is known to work or finds out about what is not."""

    EXPLOIT = retriever_pb2.STRATEGY_KIND_EXPLOIT
    EXPLORE = retriever_pb2.STRATEGY_KIND_EXPLORE


class Need(Enum):
    """What a search must have for a strategy to be asked."""

    QUERY = retriever_pb2.STRATEGY_NEED_QUERY
    TASTE = retriever_pb2.STRATEGY_NEED_TASTE
    USER = retriever_pb2.STRATEGY_NEED_USER
    INTERPRETATION = retriever_pb2.STRATEGY_NEED_INTERPRETATION


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to fetch candidates, named `<service>.<name>`."""

    name: str
    description: str
    kind: Kind = Kind.EXPLOIT
    depth_max: int = 100
    needs: tuple[Need, ...] = ()
    dependable: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One strategy's candidates, or what kept it from returning any, and the time it took in seconds."""

    candidates: Candidates | None
    elapsed_s: float
    failure: str = ""
    late: bool = False


class Retriever(Protocol):
    """Serves strategies. One instance serves many searches at once."""

    @property
    def strategies(self) -> Sequence[Strategy]:
        """The strategies served, in a fixed order."""
        ...

    async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int]) -> Mapping[str, Answer]:
        """Asks strategies (by name) for that many candidates each; an answer for each of them.

        A strategy that fails says so in its own answer and leaves the others alone.
        """
        ...


@dataclass(frozen=True, slots=True)
class DocumentError:
    """A document that was not taken: its position in the batch, the field at fault and what was wrong."""

    index: int
    document_id: str
    field: str
    description: str


@dataclass(frozen=True, slots=True)
class IndexStats:
    """What an index holds."""

    documents_by_type: Mapping[str, int]
    size_bytes: int
    figures: Mapping[str, float]


class Index(Protocol):
    """Takes the catalogue in. Everything returned from is durable."""

    async def configure(self, configuration: indexing_pb2.CatalogConfiguration) -> None:
        """Replaces the catalogue's configuration and brings what is held in line with it."""
        ...

    async def upsert(self, documents: Sequence[Document]) -> Sequence[DocumentError]:
        """Inserts or replaces documents; returns those not taken."""
        ...

    async def delete(self, document_ids: Sequence[str]) -> int:
        """Removes documents; returns how many there were."""
        ...

    async def stats(self) -> IndexStats:
        """What is held."""
        ...


async def ask_each(
    fetches: Mapping[str, Callable[[], Awaitable[Candidates]]],
) -> dict[str, Answer]:
    """Runs one fetch a strategy side by side; one that raises becomes a failed answer."""

    async def ask(fetch: Callable[[], Awaitable[Candidates]], name: str) -> Answer:
        begin = time.perf_counter()
        try:
            candidates = await fetch()
            return Answer(candidates, time.perf_counter() - begin)
        except HoneyguideError as error:
            return Answer(None, time.perf_counter() - begin, error.message)
        except Exception as error:  # a strategy's own bug must not take the others down
            log.exception("strategy failed", strategy=name)
            return Answer(None, time.perf_counter() - begin, f"{type(error).__name__}: {error}")

    if len(fetches) == 1:  # most calls are for one: a task costs more than all else here
        return {name: await ask(fetch, name) for name, fetch in fetches.items()}
    answers = await asyncio.gather(*(ask(fetch, name) for name, fetch in fetches.items()))
    return dict(zip(fetches, answers, strict=True))

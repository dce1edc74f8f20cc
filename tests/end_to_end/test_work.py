"""How much work a search and an event are, counted and not timed: what creeps in here is what makes a system slow."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio.connection import AbstractConnection

from honeyguide import client
from honeyguide.api.memory.v1 import memory_pb2, memory_pb2_grpc
from honeyguide.api.search.v1 import feedback_pb2, search_pb2
from honeyguide.documents import Document
from honeyguide_standalone.api import Api, new_event_id
from honeyguide_standalone.engine import Engine

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT = 60

COUNTING: ContextVar[bool] = ContextVar("counting", default=False)
"""Set for a search and the tasks that it starts, not for those that run beside it and look for what has changed."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, until: Callable[..., Awaitable[Any]]
) -> AsyncIterator[Engine]:
    """An engine that does not learn, so that all the work there is belongs to the searches."""
    async with Engine(tmp_path_factory.mktemp("engine"), redis_url, "test-work", learner=False) as engine:
        documents = [
            Document(f"d{n}", "film", f"Park {n}", f"A park with {n} trees.", popularity=1.0) for n in range(COUNT)
        ]
        assert not await engine.api.index(documents)
        await until(
            lambda: engine.api.search("park", untracked=True, policy="full_depth", page_size=100),
            lambda found: len(found.results) == COUNT,
        )
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(engine: Engine) -> Api:
    """Its API."""
    return engine.api


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Calls of services by name, and `redis`: round trips."""
    counts: Counter[str] = Counter()
    only, send = client._only, AbstractConnection.send_packed_command

    def call(outcome: Any, deadline: float | None, name: str) -> Any:
        if COUNTING.get():
            counts[name] += 1
        return only(outcome, deadline, name)

    async def sent(self: AbstractConnection, *args: Any, **options: Any) -> None:
        counts["redis"] += COUNTING.get()
        await send(self, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "_only", call)
        patch.setattr(AbstractConnection, "send_packed_command", sent)
        token = COUNTING.set(True)
        yield counts
        COUNTING.reset(token)


async def search(api: Api, query: str, **options: Any) -> tuple[search_pb2.SearchResponse, Counter[str]]:
    """The second of two searches: the first may open connections."""
    await api.search("park bench", **options)
    with counted() as counts:
        return await api.search(query, **options), counts


async def test_a_search_that_asks_everything_calls_each_service_once(api: Api) -> None:
    _, counts = await search(api, "park 7", policy="full_depth")
    calls = {name: count for name, count in counts.items() if name not in ("redis", "Search")}
    # Documents are fetched for what is related to the best candidates, and for the page.
    assert calls == {"RecognizeSpans": 1, "Recall": 1, "Retrieve": 3, "FetchDocuments": 2}
    # Recall and what is near; lists, and the records of what was found; the decision.
    assert 3 <= counts["redis"] <= 5


async def test_documents_are_not_fetched_for_whoever_wants_ids_only(api: Api) -> None:
    # What is known of the catalogue is renewed every few seconds, and queries are understood a little otherwise then:
    # that may happen between two searches, but not between the next two.
    for _ in range(2):
        # Untracked, so that no neighbours are swapped.
        whole, _ = await search(api, "park 6", policy="full_depth", untracked=True)
        bare, counts = await search(api, "park 6", policy="full_depth", untracked=True, ids_only=True)
        same = [one.document.id for one in bare.results] == [one.document.id for one in whole.results]
        if same:
            break
    assert same
    assert all(one.document.type and not one.document.title and not one.snippet for one in bare.results)
    assert not bare.failures
    assert counts["FetchDocuments"] == 1  # for what is related to the best candidates


async def test_only_services_that_are_asked_are_called(api: Api) -> None:
    found, counts = await search(api, "park 8", explain=True, policy="greedy")
    asked = {one.strategy.partition(".")[0] for one in found.explanation.strategies if one.depth}
    services = asked & {"lexical", "vector", "memory"}
    assert services
    assert counts["Retrieve"] == len(services)
    assert counts["redis"] <= 3 + ("memory" in services)


async def test_memory_need_not_be_called_for_what_it_recalls_of_a_known_query(engine: Engine, api: Api) -> None:
    action = memory_pb2.Action(event_id=new_event_id(), normalized_query="park 11", document_id="d11", weight=1.0)
    memory = engine.connections["memory"].stub(memory_pb2_grpc.MemoryServiceStub)
    await memory.RecordActions(memory_pb2.RecordActionsRequest(actions=[action]))
    found, counts = await search(api, "park 11", explain=True, policy="greedy")
    depths = {one.strategy: one.depth for one in found.explanation.strategies if one.depth}
    assert depths["memory.query"] == 20
    to_call = {name.partition(".")[0] for name in depths if name != "memory.query"} & {"lexical", "vector", "memory"}
    assert counts["Retrieve"] == len(to_call)
    # Recall; what is near and the documents acted on; the decision.
    assert counts["redis"] <= 3 + ("memory" in to_call)


async def test_a_page_is_small(api: Api) -> None:
    found, _ = await search(api, "park 9", policy="full_depth")
    assert len(found.results) == 10
    assert found.ByteSize() / len(found.results) < 150


async def test_events_share_round_trips(api: Api) -> None:
    found, _ = await search(api, "park 5")
    events = [
        feedback_pb2.FeedbackEvent(
            event_id=new_event_id(),
            decision_id=found.decision_id,
            document_id=found.results[0].document.id,
            action=feedback_pb2.ACTION_TYPE_CLICK,
        )
        for _ in range(200)
    ]
    with counted() as counts:
        acknowledged = await api.feedback(events)
    assert len(acknowledged) == len(events)
    assert counts["redis"] <= len(events) / 10

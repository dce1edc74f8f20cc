"""Two of each, and a learner of its own, started by hand as docs/operations.md says; a strategy comes and goes."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from honeyguide.api.memory.v1 import memory_pb2, memory_pb2_grpc
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.api.search.v1 import feedback_pb2, learning_pb2, search_pb2
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide.documents import Document
from honeyguide.errors import Unavailable
from honeyguide_standalone.api import Api, new_event_id
from honeyguide_standalone.valkey import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCS = Path(__file__).parents[2] / "docs"
FILMS = [
    Document(f"film:{n}", "film", f"Park {name}", f"A film about a park and its {name}", popularity=10.0 - n)
    for n, name in enumerate(("gate", "bench", "lake", "swan", "keeper", "statue"))
]
FILMS.append(Document("film:hidden", "film", "Untold", "What no word of the query leads to"))

Until = Callable[..., Awaitable[Any]]
Process = subprocess.Popen[str]


class System:
    """What runs, and the ways to it."""

    def __init__(self, processes: Any, retrievers: Path, prefix: str) -> None:
        self.processes = processes
        self.retrievers = retrievers
        self.targets: dict[str, str] = {}
        self.environment = {
            "HONEYGUIDE_ORCHESTRATOR_RETRIEVERS_FILE": str(retrievers),
            "HONEYGUIDE_ORCHESTRATOR_LEARNER": "false",
            "HONEYGUIDE_ORCHESTRATOR_KEY_PREFIX": prefix,
            "HONEYGUIDE_ORCHESTRATOR_LEASE_S": "1",
            "HONEYGUIDE_MEMORY_KEY_PREFIX": prefix,
        }
        self.primaries: list[Process] = []
        self.replicas: list[Process] = []
        self.apis: list[Api] = []
        self.learner: Process
        self.memory: Any
        self.sent = 0
        self.searches = 0

    def service(self, *command: str, **environment: str) -> Process:
        process: Process = self.processes.start(*command, **self.environment, **environment)
        return process

    def write_retrievers(self) -> None:
        self.retrievers.write_text(yaml.safe_dump(self.targets))

    def orchestrator(self, *role: str) -> Process:
        return self.service("-m", "honeyguide_orchestrator", *role)

    async def search(self, replica: int, query: str, **options: Any) -> search_pb2.SearchResponse:
        self.searches += not options.get("untracked", False)
        return await self.apis[replica].search(query, **options)

    async def first(self, replica: int, query: str) -> list[str]:
        """Ids of what a replica finds, seen by nobody."""
        found = await self.apis[replica].search(query, untracked=True, policy="full_depth")
        return [result.document.id for result in found.results]

    async def click(self, replica: int, decision_id: str, document_id: str) -> None:
        event = feedback_pb2.FeedbackEvent(
            event_id=new_event_id(),
            decision_id=decision_id,
            document_id=document_id,
            action=feedback_pb2.ACTION_TYPE_CLICK,
        )
        for status in (feedback_pb2.EVENT_STATUS_ACCEPTED, feedback_pb2.EVENT_STATUS_DUPLICATE):
            (acknowledgement,) = await self.apis[replica].feedback([event])
            assert acknowledgement.status == status
        self.sent += 1

    async def policies(self) -> list[learning_pb2.GetPolicyResponse]:
        return [await api.policy() for api in self.apis]

    def all_learned(self, policies: list[learning_pb2.GetPolicyResponse]) -> bool:
        """True if every replica knows of all events and searches sent so far, and all know the same."""
        known = {(policy.events, policy.decisions, policy.snapshot_version) for policy in policies}
        return len(known) == 1 and known.pop()[:2] == (self.sent, self.searches)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(processes: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    folder = tmp_path_factory.mktemp("system")
    system = System(processes, folder / "retrievers.yaml", f"test-{uuid.uuid4().hex[:12]}")
    for name in ("lexical", "vector"):
        prefix = f"HONEYGUIDE_{name.upper()}"
        primary = system.service("-m", f"honeyguide_{name}", **{f"{prefix}_DATA_DIR": str(folder / name)})
        address = f"127.0.0.1:{processes.port_of(primary)}"
        given = {f"{prefix}_DATA_DIR": str(folder / f"{name}-copy"), f"{prefix}_PRIMARY": address}
        replica = system.service("-m", f"honeyguide_{name}", **given)
        system.primaries.append(primary)
        system.targets[name] = f"ipv4:{address},127.0.0.1:{processes.port_of(replica)}"
    system.targets["memory"] = f"127.0.0.1:{processes.port_of(system.service('-m', 'honeyguide_memory'))}"
    system.write_retrievers()
    system.replicas = [system.orchestrator(), system.orchestrator()]
    system.learner = system.orchestrator("learner")
    ports = [processes.port_of(replica) for replica in system.replicas]
    processes.port_of(system.learner)
    async with AsyncExitStack() as stack:
        connections = [RemoteConnection(f"127.0.0.1:{port}", CommonSettings()) for port in ports]
        memory = RemoteConnection(system.targets["memory"], CommonSettings())
        for connection in (*connections, memory):
            stack.push_async_callback(connection.close)
        system.apis = [Api(connection) for connection in connections]
        system.memory = memory.stub(memory_pb2_grpc.MemoryServiceStub)
        yield system


async def test_they_are_started_as_the_page_says() -> None:
    page = (DOCS / "operations.md").read_text()
    for said in (
        r"python -m honeyguide_orchestrator$",
        r"python -m honeyguide_orchestrator learner$",
        r"HONEYGUIDE_LEXICAL_DATA_DIR=\S+ +python -m honeyguide_lexical$",
        r"HONEYGUIDE_LEXICAL_PRIMARY=127.0.0.1:50051 .*python -m honeyguide_lexical$",
        r"HONEYGUIDE_VECTOR_PRIMARY=127.0.0.1:50052 .*python -m honeyguide_vector$",
        r"^lexical: ipv4:127.0.0.1:50051,127.0.0.1:50061$",
        r"HONEYGUIDE_ORCHESTRATOR_RETRIEVERS_FILE=retrievers.yaml$",
        r"HONEYGUIDE_ORCHESTRATOR_LEARNER=false$",
        r"HONEYGUIDE_ORCHESTRATOR_LEASE_S` \(",
    ):
        assert re.search(said, page, re.MULTILINE), said


async def test_what_one_replica_takes_the_other_shows(system: System, until: Until) -> None:
    assert not await system.apis[0].index(FILMS)
    for replica in (0, 1):
        await until(lambda replica=replica: system.first(replica, "park"), lambda ids: len(ids) >= 6)
    found = await system.search(0, "park")
    clicked = [result.document.id for result in found.results if result.document.id != "film:hidden"][-1]
    assert found.results[0].document.id != clicked
    await system.click(1, found.decision_id, clicked)
    for _ in range(3):
        again = await system.search(1, "park")
        await system.click(0, again.decision_id, clicked)
    for replica in (0, 1):
        await until(lambda replica=replica: system.first(replica, "park"), lambda ids: ids[0] == clicked)
    policies = await until(system.policies, system.all_learned)
    assert policies[0] == policies[1]
    assert policies[0].snapshot_version > 0


async def recalled(system: System, query: str) -> float:
    """Actions on a query that memory knows of, next to undecayed."""
    recall = await system.memory.Recall(
        memory_pb2.RecallRequest(normalized_query=query, context=document_pb2.Context())
    )
    return float(recall.actions)


async def test_a_killed_learner_has_a_successor_and_every_event_counts_once(system: System, until: Until) -> None:
    clicks = 12
    found = [await system.search(number % 2, "lake") for number in range(clicks)]
    for number, response in enumerate(found[: clicks // 2]):
        await system.click(number % 2, response.decision_id, "film:2")
    # Killed in the midst of it: some of these are learned from, and remembered, and in no snapshot yet.
    system.processes.kill(system.learner)
    for number, response in enumerate(found[clicks // 2 :]):
        await system.click(number % 2, response.decision_id, "film:2")
    system.learner = system.orchestrator("learner")
    system.processes.port_of(system.learner)
    await until(system.policies, system.all_learned)
    for api in system.apis:
        progress = await api.progress()
        assert dict(progress.events) == {"attributed": system.sent}
        assert progress.points[-1].decisions == system.searches
    assert await recalled(system, "lake") == pytest.approx(clicks, rel=0.01)


async def test_a_second_learner_waits_and_takes_over(system: System, until: Until) -> None:
    successor = system.orchestrator("learner")
    system.processes.port_of(successor)
    system.processes.kill(system.learner)
    system.learner = successor
    found = await system.search(0, "swan")
    await system.click(1, found.decision_id, found.results[0].document.id)
    await until(system.policies, system.all_learned)


async def test_a_strategy_comes_and_goes_while_all_runs(system: System, until: Until, tmp_path: Path) -> None:
    picks = tmp_path / "picks.json"
    picks.write_text(json.dumps({"park": [{"id": "film:hidden", "type": "film"}]}))
    editors = system.service(
        str(DOCS / "examples/editors.py"), HONEYGUIDE_EDITORS_PICKS_FILE=str(picks), HONEYGUIDE_EDITORS_PORT="0"
    )
    address = f"127.0.0.1:{system.processes.port_of(editors)}"

    async def explained() -> list[search_pb2.SearchResponse]:
        options = {"explain": True, "untracked": True, "policy": "full_depth", "page_size": 100}
        return [await api.search("park", **options) for api in system.apis]

    def asked(responses: list[search_pb2.SearchResponse]) -> list[bool]:
        return [
            any(one.strategy == "editors.picks" and one.depth for one in response.explanation.strategies)
            for response in responses
        ]

    async def search_on() -> None:
        while not ended.is_set():
            await explained()

    assert asked(await explained()) == [False, False]
    ended = asyncio.Event()
    searching = [asyncio.create_task(search_on()) for _ in range(3)]
    system.targets["editors"] = address
    system.write_retrievers()
    for response in await until(explained, lambda responses: all(asked(responses)), 5.0):
        hidden = next(result for result in response.results if result.document.id == "film:hidden")
        assert "editors.picks" in [one.strategy for one in hidden.provenance]
        assert not response.failures

    # Killed, it is missing from the answer, which says so; taken out of the file, it is forgotten.
    system.processes.kill(editors)
    for response in await explained():
        assert [failure.strategy for failure in response.failures] == ["editors.picks"]
        assert len(response.results) >= 6
    del system.targets["editors"]
    system.write_retrievers()
    for response in await until(explained, lambda responses: not any(asked(responses)), 5.0):
        assert not response.failures
    # And taken out of the file while it lives, and is asked.
    picked = system.service(
        str(DOCS / "examples/editors.py"), HONEYGUIDE_EDITORS_PICKS_FILE=str(picks), HONEYGUIDE_EDITORS_PORT="0"
    )
    system.targets["editors"] = f"127.0.0.1:{system.processes.port_of(picked)}"
    system.write_retrievers()
    await until(explained, lambda responses: all(asked(responses)), 5.0)
    del system.targets["editors"]
    system.write_retrievers()
    await until(explained, lambda responses: not any(asked(responses)), 5.0)
    ended.set()
    await asyncio.gather(*searching)


async def test_a_killed_replica_leaves_the_other_serving(system: System, until: Until) -> None:
    system.processes.kill(system.replicas[0])
    del system.apis[0]
    found = await system.search(0, "keeper")
    assert not found.failures
    await system.click(0, found.decision_id, found.results[0].document.id)
    await until(system.policies, system.all_learned)


async def test_killed_primaries_leave_their_replicas_serving(system: System, until: Until) -> None:
    for primary in system.primaries:
        system.processes.kill(primary)
    await until(lambda: system.first(0, "park"), lambda ids: len(ids) >= 6)
    for _ in range(4):
        found = await system.search(0, "statue")
        assert found.results[0].document.title == "Park statue"
        assert not found.failures
    with pytest.raises(Unavailable, match="lexical"):
        await system.apis[0].index(FILMS[:1])


async def test_sigterm_ends_a_replica_that_waits_for_its_primary(system: System, until: Until, tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    waiting = system.service(
        "-m", "honeyguide_lexical", HONEYGUIDE_LEXICAL_DATA_DIR=str(tmp_path), HONEYGUIDE_LEXICAL_PRIMARY=nobody
    )

    async def said() -> str:
        return str(waiting.log.read_text())  # type: ignore[attr-defined]

    await until(said, lambda text: "the primary cannot be followed" in text)
    assert list(system.processes.stop(waiting).values()) == [0]


async def test_all_end_by_sigterm(system: System) -> None:
    codes = system.processes.stop(*system.processes.started)
    assert set(codes.values()) == {0}, codes
    assert len(codes) == 7
    assert system.processes.left() == []

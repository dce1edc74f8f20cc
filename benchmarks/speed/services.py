"""`honeyguide up`, services as processes of their own, against `up --in-process`, and with a second orchestrator.

Each has its learner, which has learned all there is before anything is measured, and fits no trees meanwhile; searches
are untracked, so nothing new comes. Clients are in this process, half of them at each replica where there are two. At
last a strategy that never answers in time is added to the running system: all strategies are asked, and the search may
take its usual time and the time that strategies are given. Under load any strategy may be late; a search then does with
less, so how many answered stands beside the times.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.quality.needs import Scene
from benchmarks.speed.bench import Bench, environment, settled
from benchmarks.speed.children import serving
from benchmarks.speed.measure import Against, Row, alternate, each_ms, percentile, rows_of, together
from benchmarks.speed.slow_strategy import NAME as SLOW
from benchmarks.speed.slow_strategy import slow_strategy
from honeyguide.api.retrieval.v1 import retriever_pb2
from honeyguide.api.search.v1 import search_pb2
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide_orchestrator.settings import OrchestratorSettings
from honeyguide_standalone.api import Api
from honeyguide_standalone.process import ServiceProcess
from honeyguide_standalone.supervisor import START_S, Supervisor, supervise

CLIENTS_MAX = 64
CLIENTS = (16, CLIENTS_MAX)
SEARCHES_A_CLIENT = 10
SEARCHES_A_CLIENT_QUICK = 3
SLOW_SEARCHES = 5
FULL = "full_depth"
POLICIES = {"learned allocation": "squarecb", "full depth": FULL}
TOGETHER, APART, REPLICAS = "in process, over gRPC", "independent services", "two replicas of the orchestrator"
WITHOUT, WITH = "without the slow strategy", "with a slow strategy"

Search = Callable[[str], Awaitable[Any]]


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows."""
    scene = bench.first_scene()
    queries = bench.queries(scene)
    common = CommonSettings()
    with environment("HONEYGUIDE_ORCHESTRATOR_TREES", "false"):  # fitting takes seconds of a core from one side
        async with (
            bench.prepared(scene) as one,
            bench.prepared(scene) as other,
            serving("engine", one, "--learner") as server,
            supervise(other, common) as supervisor,
            _replica(supervisor, common) as replica,
        ):
            targets = (f"127.0.0.1:{server['port']}", supervisor.target, replica.address)
            connections = [RemoteConnection(target, common) for target in targets]
            together_api, apart_api, replica_api = (Api(connection) for connection in connections)
            apis = {TOGETHER: [together_api], APART: [apart_api], REPLICAS: [apart_api, replica_api]}
            for api in (together_api, apart_api):
                await settled(api)
            for name, policy in POLICIES.items():
                calls = {system: _searching(of_system, policy) for system, of_system in apis.items()}
                scenario = f"services: {scene.name}, {name}"
                keep(await _alone(bench, scenario, calls, queries))
                for clients in () if bench.quick and policy == FULL else CLIENTS:
                    keep(await _crowd(bench, scenario, calls, queries, clients))
            keep(await _slow(bench, scene, other / "retrievers.yaml", apart_api, queries[:SLOW_SEARCHES]))
            for connection in connections:
                await connection.close()


async def _alone(bench: Bench, scenario: str, calls: Mapping[str, Search], queries: Sequence[str]) -> list[Row]:
    """One client."""
    single = {system: call for system, call in calls.items() if system != REPLICAS}
    for call in single.values():
        await each_ms(call, queries)
    values = await alternate(
        {system: partial(_middle, call, queries) for system, call in single.items()}, bench.repetitions
    )
    return rows_of(scenario, "search", "ms", values, {APART: Against(TOGETHER, 4)})


async def _crowd(
    bench: Bench, scenario: str, calls: Mapping[str, Search], queries: Sequence[str], clients: int
) -> list[Row]:
    """Many clients at once: median and 99th percentile of the same searches, and how many strategies were late."""
    medians: dict[str, list[float]] = {system: [] for system in calls}
    rates: dict[str, list[float]] = {system: [] for system in calls}
    in_time: dict[str, list[float]] = {system: [] for system in calls}
    each = SEARCHES_A_CLIENT_QUICK if bench.quick else SEARCHES_A_CLIENT
    many = list(islice(cycle(queries), clients * each))

    async def crowd(system: str) -> float:
        answered: list[float] = []

        async def search(query: str) -> None:
            answered.append(_answered(await calls[system](query)))

        rate, times = await together(search, many, clients)
        rates[system].append(rate)
        medians[system].append(median(times))
        in_time[system].append(mean(answered))
        return percentile(times, 0.99)

    slowest = await alternate({system: partial(crowd, system) for system in calls}, bench.repetitions)
    values: dict[str, Sequence[float]] = {}
    for system in calls:
        values[f"{system}, p50"] = medians[system]
        values[f"{system}, p99"] = slowest[system]
    against = {f"{system}, p99": Against(f"{system}, p50") for system in calls}
    against[f"{APART}, p99"] = Against(f"{APART}, p50", 4 if clients == CLIENTS_MAX else None)
    throughput = {APART: Against(TOGETHER), REPLICAS: Against(APART)}
    return [
        *rows_of(scenario, f"{clients} clients", "ms", values, against),
        *rows_of(scenario, f"{clients} clients, throughput", "searches/s", rates, throughput),
        *rows_of(scenario, f"{clients} clients, strategies asked that answered in time", "", in_time, {}),
    ]


async def _slow(bench: Bench, scene: Scene, file: Path, api: Api, queries: Sequence[str]) -> list[Row]:
    """All strategies asked, one of them slow, by turns listed and not."""
    others_answered: list[float] = []

    async def search(query: str) -> None:
        found = await api.search(query, policy=FULL, explain=True, untracked=True)
        others_answered.append(_answered(found))

    async with slow_strategy(file, api) as listing:

        async def listed(slow: bool) -> float:
            await listing.list(slow)
            return await _middle(search, queries)

        values = await alternate({WITHOUT: lambda: listed(False), WITH: lambda: listed(True)}, bench.repetitions)
    deadline = "deadline of strategies"
    values[deadline] = [OrchestratorSettings().retrieve_timeout_s * 1e3] * bench.repetitions
    scenario = f"services: {scene.name}, a strategy that sleeps"
    return [
        *rows_of(scenario, "search", "ms", values, {WITH: Against(WITHOUT, 4, deadline)}),
        Row(scenario, WITH, "other strategies that answered", mean(others_answered), "", runs=len(others_answered)),
    ]


@asynccontextmanager
async def _replica(supervisor: Supervisor, common: CommonSettings) -> AsyncIterator[ServiceProcess]:
    """A second orchestrator beside a running system's, without a learner."""
    environment = {
        "HONEYGUIDE_ORCHESTRATOR_RETRIEVERS_FILE": str(supervisor.data_dir / "retrievers.yaml"),
        "HONEYGUIDE_ORCHESTRATOR_LEARNER": "false",
        "HONEYGUIDE_REDIS_URL": supervisor.redis_url,
    }
    process = ServiceProcess("orchestrator", environment, supervisor.data_dir / "replica-logs", common)
    process.start()
    try:
        await process.wait_serving(START_S)
        yield process
    finally:
        await process.stop()


def _searching(apis: Sequence[Api], policy: str) -> Search:
    """Searches that go to the replicas by turns."""
    turns = cycle(apis)
    return lambda query: next(turns).search(query, policy=policy, explain=True, untracked=True)


def _answered(found: search_pb2.SearchResponse) -> float:
    """Share of the strategies asked, the slow one not counted, that answered in time; 1 where none was asked."""
    asked = [one for one in found.explanation.strategies if one.depth and one.strategy != SLOW]
    return mean(one.status == retriever_pb2.STRATEGY_STATUS_OK for one in asked) if asked else 1.0


async def _middle(call: Search, queries: Sequence[str]) -> float:
    return median(await each_ms(call, queries))

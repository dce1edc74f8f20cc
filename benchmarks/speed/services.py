"""`honeyguide up`, services as processes of their own, against `up --in-process`; both with their learner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Any

from benchmarks.speed.bench import Bench
from benchmarks.speed.children import serving
from benchmarks.speed.measure import Against, Row, alternate, each_ms, percentile, rows_of, together
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide_standalone.api import Api
from honeyguide_standalone.supervisor import supervise

CLIENTS = 64
POLICIES = {"learned allocation": "squarecb", "full depth": "full_depth"}
TOGETHER, APART = "in process, over gRPC", "independent services"


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows."""
    scene = bench.first_scene()
    queries = bench.queries(scene)
    common = CommonSettings()
    async with (
        bench.prepared(scene) as one,
        bench.prepared(scene) as other,
        serving("engine", one, "--learner") as server,
        supervise(other, common) as supervisor,
    ):
        connections = [
            RemoteConnection(f"127.0.0.1:{server['port']}", common),
            RemoteConnection(supervisor.target, common),
        ]
        apis = dict(zip((TOGETHER, APART), map(Api, connections), strict=True))
        for name, policy in POLICIES.items():
            calls = {system: _searching(api, policy) for system, api in apis.items()}
            for call in calls.values():
                await each_ms(call, queries)
            values = await alternate(
                {system: lambda c=call: _middle(c, queries) for system, call in calls.items()}, bench.repetitions
            )
            scenario = f"services: {scene.name}, {name}"
            keep(rows_of(scenario, "search", "ms", values, {APART: Against(TOGETHER, 4)}))
            keep(await _crowd(bench, scenario, calls, queries))
        for connection in connections:
            await connection.close()


async def _crowd(
    bench: Bench, scenario: str, calls: dict[str, Callable[[str], Awaitable[Any]]], queries: Sequence[str]
) -> list[Row]:
    """Many clients at once: median and 99th percentile of the same searches."""
    medians: dict[str, list[float]] = {system: [] for system in calls}
    rates: dict[str, list[float]] = {system: [] for system in calls}
    many = [*queries] * (4 if bench.quick else 6)

    async def crowd(system: str) -> float:
        rate, times = await together(calls[system], many, CLIENTS)
        rates[system].append(rate)
        medians[system].append(median(times))
        return percentile(times, 0.99)

    slowest = await alternate({system: lambda s=system: crowd(s) for system in calls}, bench.repetitions)
    values: dict[str, Sequence[float]] = {}
    for system in calls:
        values[f"{system}, p50"] = medians[system]
        values[f"{system}, p99"] = slowest[system]
    against = {f"{system}, p99": Against(f"{system}, p50", 4 if system == APART else None) for system in calls}
    return [
        *rows_of(scenario, f"{CLIENTS} clients", "ms", values, against),
        *rows_of(scenario, f"{CLIENTS} clients, throughput", "searches/s", rates, {APART: Against(TOGETHER)}),
    ]


def _searching(api: Api, policy: str) -> Callable[[str], Awaitable[Any]]:
    return lambda query: api.search(query, policy=policy, untracked=True)


async def _middle(call: Callable[[str], Awaitable[object]], queries: Sequence[str]) -> float:
    return median(await each_ms(call, queries))

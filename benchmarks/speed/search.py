"""A search: the engine in process and over gRPC, against the bare loop and a bare echo.

The queries are half taught to the engine, half new to it; all embeddings of queries are cached on both sides, but where
it says that they are not. The engine does all that it does for a real search: memory is asked, the page's documents and
snippets are fetched, and the decision is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import grpc

from benchmarks.quality.needs import Scene
from benchmarks.speed.bare import BareLoop
from benchmarks.speed.bench import CANDIDATE_CACHES, Bench, environment
from benchmarks.speed.children import serving
from benchmarks.speed.embeddings import of_documents, of_queries
from benchmarks.speed.measure import Against, Measurement, Row, alternate, each_ms, rows_of, together
from benchmarks.speed.peer_programs.echo import ECHO
from benchmarks.speed.two_strategies import NAME as TWO
from benchmarks.speed.two_strategies import with_two_strategies
from honeyguide.api.search.v1 import search_pb2
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide_standalone.api import Api
from honeyguide_standalone.engine import Engine

CLIENTS = 16
CROWDS = (CLIENTS, 64)
DEPTH = 100
LEARNED = "squarecb"
CACHED, UNCACHED = "query embedding cached", "query embedding not cached"
BARE, FULL, LEARNT, REMOTE, ECHOED = (
    "bare loop",
    "in process, full depth",
    "in process, learned allocation",
    "over gRPC",
    "bare echo",
)


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows."""
    for scene in bench.scenes():
        queries = bench.queries(scene)
        ids, vectors = of_documents(scene)
        bare = BareLoop(bench.folder / f"{scene.name}.bare", scene.documents, ids, vectors, of_queries(queries))
        async with bench.prepared(scene) as folder, bench.prepared(scene) as copy:
            keep(await _in_process(bench, scene, folder, copy, bare, queries))
            keep(await _embedding(bench, scene, folder, copy, queries))
            keep(await _over_grpc(bench, scene, folder, copy, bare, queries))


async def _in_process(
    bench: Bench, scene: Scene, folder: Path, copy: Path, bare: BareLoop, queries: Sequence[str]
) -> list[Row]:
    """Item 1; and the same where these very queries came before, and their candidates were kept."""
    asked: dict[str, list[tuple[int, int]]] = {}
    with with_two_strategies():
        async with Engine(folder, learner=False) as engine, _keeping_candidates(copy) as keeping:
            for policy in (TWO, LEARNED, "full_depth"):  # warms up, and shows what each policy asks
                asked[policy] = [await _asked(engine.api, query, policy) for query in queries]
                await each_ms(_searching(keeping.api, policy), queries)
            systems: dict[str, Measurement] = {
                BARE: _middle(_directly(bare), queries),
                FULL: _middle(_searching(engine.api, TWO), queries),
                LEARNT: _middle(_searching(engine.api, LEARNED), queries),
                "in process, all strategies at full depth": _middle(_searching(engine.api, "full_depth"), queries),
                f"{FULL}, with provenance": _middle(_searching(engine.api, TWO, explain=True), queries),
                f"{LEARNT}, with provenance": _middle(_searching(engine.api, LEARNED, explain=True), queries),
                f"{FULL}, ids only": _middle(_searching(engine.api, TWO, ids_only=True), queries),
                f"{LEARNT}, ids only": _middle(_searching(engine.api, LEARNED, ids_only=True), queries),
                f"{FULL}, candidates kept": _middle(_searching(keeping.api, TWO), queries),
                f"{LEARNT}, candidates kept": _middle(_searching(keeping.api, LEARNED), queries),
                "full text alone": _middle(_alone(bare.by_text), queries),
                "nearest neighbours alone": _middle(_alone(bare.by_vector), queries),
            }
            values = await alternate(systems, bench.repetitions)
    against = {name: Against(BARE) for name in systems if name != BARE}
    against[FULL], against[LEARNT] = Against(BARE, 1), Against(BARE, 1)
    rows = rows_of(f"search: {scene.name}", "search", "ms", values, against)
    for policy, name in ((TWO, FULL), (LEARNED, LEARNT)):
        for metric, which in (("strategies asked", 0), ("candidates returned", 1)):
            mean = sum(one[which] for one in asked[policy]) / len(asked[policy])
            rows.append(Row(f"search: {scene.name}", name, metric, mean, ""))
    return rows


@asynccontextmanager
async def _keeping_candidates(folder: Path) -> AsyncIterator[Engine]:
    with ExitStack() as variables:
        for name in CANDIDATE_CACHES:
            variables.enter_context(environment(name, "4096"))
        async with Engine(folder, learner=False) as engine:
            yield engine


async def _embedding(bench: Bench, scene: Scene, folder: Path, copy: Path, queries: Sequence[str]) -> list[Row]:
    """Query embeddings cached and encoded anew, for one client and for many at once."""
    scenario = f"search: {scene.name}, full depth in process"
    many = [*queries] * (2 if bench.quick else 4)
    with with_two_strategies():
        async with Engine(folder, learner=False) as cached:
            with environment("HONEYGUIDE_VECTOR_QUERY_CACHE_MAX", "0"):
                async with Engine(copy, learner=False) as uncached:
                    calls = {CACHED: _searching(cached.api, TWO), UNCACHED: _searching(uncached.api, TWO)}
                    for call in calls.values():
                        await each_ms(call, queries)
                    values = await alternate(
                        {name: _middle(call, queries) for name, call in calls.items()}, bench.repetitions
                    )
                    rows = rows_of(scenario, "search", "ms", values, {UNCACHED: Against(CACHED)})
                    for clients in CROWDS:
                        rates = await alternate(
                            {name: partial(_rate, call, many, clients) for name, call in calls.items()},
                            bench.repetitions,
                        )
                        metric = f"throughput, {clients} clients"
                        rows += rows_of(scenario, metric, "searches/s", rates, {UNCACHED: Against(CACHED)})
    return rows


async def _over_grpc(
    bench: Bench, scene: Scene, folder: Path, copy: Path, bare: BareLoop, queries: Sequence[str]
) -> list[Row]:
    """Item 3; the same allocation on both sides."""
    request = search_pb2.SearchRequest(query=queries[0]).ByteSize()
    with with_two_strategies():
        async with Engine(copy, learner=False) as engine, serving("engine", folder) as server:
            page = (await engine.api.search(queries[0])).ByteSize()
            connection = RemoteConnection(f"127.0.0.1:{server['port']}", CommonSettings())
            async with (
                serving("echo", str(page)) as echo,
                grpc.aio.insecure_channel(f"127.0.0.1:{echo['port']}") as channel,
            ):
                remote = Api(connection)
                call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ECHO)
                for api in (engine.api, remote):
                    await each_ms(_searching(api, TWO), queries)
                local, distant = _searching(engine.api, TWO), _searching(remote, TWO)
                values = await alternate(
                    {
                        "in process": _middle(local, queries),
                        ECHOED: _middle(lambda _: call(bytes(request)), queries),
                        REMOTE: _middle(distant, queries),
                    },
                    bench.repetitions,
                )
                many = [*queries] * (2 if bench.quick else 4)
                rates = await alternate(
                    {
                        "bare loop, 2 threads": lambda: _threads(bare, many, 2),
                        "over gRPC, 16 clients": lambda: _rate(distant, many),
                        "in process, 16 clients": lambda: _rate(local, many),
                        "bare echo, 16 clients": lambda: _rate(lambda _: call(bytes(request)), many),
                    },
                    bench.repetitions,
                )
            await connection.close()
    scenario = f"search: {scene.name}, gRPC"
    rows = rows_of(scenario, "search", "ms", values, {REMOTE: Against("in process", 3, ECHOED, 1.3)})
    against = {name: Against("bare loop, 2 threads") for name in rates if not name.startswith("bare")}
    against["over gRPC, 16 clients"] = replace(against["over gRPC, 16 clients"], item=3)
    return rows + rows_of(scenario, "throughput", "searches/s", rates, against)


def _directly(bare: BareLoop) -> Callable[[str], Awaitable[object]]:
    async def search(query: str) -> object:
        return bare.search(query)

    return search


def _alone(engine: Callable[[str, int], object]) -> Callable[[str], Awaitable[object]]:
    async def search(query: str) -> object:
        return engine(query, DEPTH)

    return search


def _searching(
    api: Api, policy: str, explain: bool = False, ids_only: bool = False
) -> Callable[[str], Awaitable[search_pb2.SearchResponse]]:
    return lambda query: api.search(query, policy=policy, untracked=True, explain=explain, ids_only=ids_only)


async def _asked(api: Api, query: str, policy: str) -> tuple[int, int]:
    response = await _searching(api, policy, explain=True)(query)
    outcomes = response.explanation.strategies
    return sum(one.depth > 0 for one in outcomes), sum(one.returned for one in outcomes)


def _middle(call: Callable[[str], Awaitable[object]], queries: Sequence[str]) -> Measurement:
    async def measurement() -> float:
        return median(await each_ms(call, queries))

    return measurement


async def _rate(call: Callable[[str], Awaitable[object]], queries: Sequence[str], clients: int = CLIENTS) -> float:
    return (await together(call, queries, clients))[0]


async def _threads(bare: BareLoop, queries: Sequence[str], threads: int) -> float:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(threads) as pool:
        return (await together(lambda query: loop.run_in_executor(pool, bare.search, query), queries, threads))[0]

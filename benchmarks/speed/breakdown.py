"""Where the time of a search goes, stage by stage, as the searches themselves tell it; and that of feedback.

Besides, a server process is sampled (see `flame`) while it is searched by one client, and while it takes in and learns
from clicks: docs/images/flame-search.svg and flame-feedback.svg, and what share of the samples each module has.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from statistics import median
from typing import Any

from benchmarks.quality.needs import Scene
from benchmarks.speed import results
from benchmarks.speed.bench import Bench, settled
from benchmarks.speed.children import serving
from benchmarks.speed.feedback import LOAD_PER_S, clicks, send_paced
from benchmarks.speed.flame import sampled, shares_by_module, without_folders
from benchmarks.speed.measure import Against, Row, each_ms, rows_of
from benchmarks.speed.two_strategies import NAME as TWO
from benchmarks.speed.two_strategies import with_two_strategies
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings
from honeyguide_standalone.api import Api
from honeyguide_standalone.engine import Engine

WHOLE, REST = "whole search", "requests and responses"
SAMPLED_S, SAMPLED_S_QUICK = 20, 4
MODULES_SHOWN = 15
TITLES = {
    "search": "A server under one client's searches",
    "feedback": f"A server that takes in, and learns from, {LOAD_PER_S:,} clicks a second",
}
POLICIES = {"two strategies at full depth": TWO, "learned allocation": "squarecb", "full depth": "full_depth"}


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows: of every stage its share of the whole search, of every module its share of samples."""
    scene = bench.first_scene()
    queries = bench.queries(scene)
    await _stages(bench, scene, queries, keep)
    async with bench.prepared(scene) as folder, serving("engine", folder, "--learner") as server:
        connection = RemoteConnection(f"127.0.0.1:{server['port']}", CommonSettings())
        api = Api(connection)
        await settled(api)

        async def searching() -> None:
            while True:
                await each_ms(lambda query: api.search(query, untracked=True), queries)

        shown = [response for response in [await api.search(query) for query in queries] if response.results]
        decisions = [response.decision_id for response in shown]
        documents = [response.results[0].document.id for response in shown]

        async def clicking() -> None:
            while True:
                await send_paced(api, clicks(LOAD_PER_S, decisions, documents))

        for name, work in (("search", searching), ("feedback", clicking)):
            keep(await _sampled(bench, scene, server["pid"], name, work))
        await connection.close()


async def _sampled(
    bench: Bench, scene: Scene, pid: int, name: str, work: Callable[[], Coroutine[Any, Any, None]]
) -> list[Row]:
    """Rows of a flame graph, drawn as well; none where sampling is not permitted."""
    seconds = SAMPLED_S_QUICK if bench.quick else SAMPLED_S
    graph, raw = bench.folder / f"{name}.svg", bench.folder / f"{name}.raw"
    working = asyncio.create_task(work())
    try:
        if not (await sampled(pid, seconds, "flamegraph", graph) and await sampled(pid, seconds, "raw", raw)):
            return []
    finally:
        working.cancel()
        await asyncio.wait([working])
    (results.IMAGE.parent / f"flame-{name}.svg").write_text(without_folders(graph.read_text(), TITLES[name]))
    shares = list(shares_by_module(raw.read_text()).items())[:MODULES_SHOWN]
    scenario = f"breakdown: {scene.name}, samples of {name}"
    return [Row(scenario, module, "share of the process's time", share, "") for module, share in shares]


async def _stages(bench: Bench, scene: Scene, queries: Sequence[str], keep: Callable[[list[Row]], None]) -> None:
    with with_two_strategies():
        async with bench.prepared(scene) as folder, Engine(folder, learner=False) as engine:
            for name, policy in POLICIES.items():
                stages: dict[str, list[float]] = defaultdict(list)
                strategies: dict[str, list[float]] = defaultdict(list)
                for repetition in range(bench.repetitions + 1):
                    laps: dict[str, list[float]] = defaultdict(list)
                    for query in queries:
                        begin = time.perf_counter()
                        response = await engine.api.search(query, policy=policy, explain=True, untracked=True)
                        whole_ms = (time.perf_counter() - begin) * 1e3
                        told = response.explanation
                        taken = {stage: lap.ToNanoseconds() / 1e6 for stage, lap in told.timings.items()}
                        for stage, ms in {**taken, REST: whole_ms - sum(taken.values()), WHOLE: whole_ms}.items():
                            laps[stage].append(ms)
                        for one in told.strategies:
                            if one.depth and repetition:
                                strategies[one.strategy].append(one.elapsed.ToNanoseconds() / 1e6)
                    if repetition:  # the first one warms up
                        for stage, times in laps.items():
                            stages[stage].append(median(times))
                order = ("understand", "decide", "retrieve", "merge", "rank", "fetch", REST, WHOLE)
                values = {stage: stages[stage] for stage in order}
                against = {stage: Against(WHOLE) for stage in order[:-1]}
                keep(rows_of(f"breakdown: {scene.name}, {name}", "stage", "ms", values, against))
                asked = {f"{strategy}, where asked": [median(times)] for strategy, times in strategies.items()}
                keep(rows_of(f"breakdown: {scene.name}, {name}", "strategy", "ms", asked, {}))

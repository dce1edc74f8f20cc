"""Where the time of a search goes, stage by stage, as the searches themselves tell it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median

from benchmarks.speed.bench import Bench
from benchmarks.speed.measure import Against, Row, rows_of
from benchmarks.speed.two_strategies import NAME as TWO
from benchmarks.speed.two_strategies import with_two_strategies
from honeyguide_standalone.engine import Engine

WHOLE, REST = "whole search", "requests and responses"
POLICIES = {"two strategies at full depth": TWO, "learned allocation": "squarecb", "full depth": "full_depth"}


async def measure(bench: Bench, keep: Callable[[list[Row]], None]) -> None:
    """The part's rows: of every stage its share of the whole search."""
    scene = bench.first_scene()
    queries = bench.queries(scene)
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

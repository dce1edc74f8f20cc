"""Simulated shop logs replayed through the real system: search, look where the clicked document stands, click, next.

The logs of `click_log` (simulated users: for comparing systems with each other), 3,000 searches over 60 days of 2021,
replayed at full speed by `honeyguide_standalone.replay`, in one process with a Valkey of its own, learning as it goes
and not waited for. Systems:

* `fusion`: every strategy at full depth, reciprocal-rank fusion; memory learns, so its lists are among them;
* `full_depth_prior`, `full_depth`: the same candidates, ranked by the ranker's prior, and by the learned ranker;
* `honeyguide`: as it comes: learned allocation and learned ranker;
* `honeyguide_waited`: the same, each action learned from before the next search;
* `oracle`: no system but a bound: who knew the simulation's own popularity at that time, and what is typed for what.

MRR@5 and hit@5 over the whole log and over its quarters; 3 seeds, mean and 95% interval (Student's t). Writes
benchmarks/results/replayed.json and replayed.md; QUICK=1 takes one seed and 500 searches.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import structlog

from benchmarks.quality.click_log import SHOPS, Click, Shop, oracle, simulate
from benchmarks.quality.quality import row_of
from honeyguide.documents import Document
from honeyguide_standalone.click_log import LoggedAction
from honeyguide_standalone.engine import Engine
from honeyguide_standalone.replay import Replayed, ReplayOptions, replay

SCENARIO = "replayed log (simulated)"
RESULTS = Path(__file__).resolve().parents[1] / "results"
SEARCHES = 3_000
SEEDS = 3
PAUSE_S = 0.005
SYSTEMS = {
    "fusion": ReplayOptions(policy="full_depth", ranker="fusion"),
    "full_depth_prior": ReplayOptions(policy="full_depth", ranker="prior"),
    "full_depth": ReplayOptions(policy="full_depth"),
    "honeyguide": ReplayOptions(),
    "honeyguide_waited": ReplayOptions(wait=True),
}

Row = dict[str, object]


async def run(shop: Shop, log: Sequence[Click], options: ReplayOptions) -> Replayed:
    """One replay, over a fresh system."""
    documents = [Document(id, "product", title, shop.texts[id]) for id, title in shop.titles.items()]
    actions = [
        LoggedAction(line, click.time_s, click.query, click.document_id, click.user_id)
        for line, click in enumerate(log, 1)
    ]
    with tempfile.TemporaryDirectory() as folder:
        async with Engine(Path(folder), intervals_s=PAUSE_S if options.wait else None) as engine:
            await engine.api.index(documents)
            return await replay(engine.api, actions, len(actions), options)


def bound(positions: Sequence[int]) -> Replayed:
    """What came of showing the clicked documents at these positions, without asking anybody."""
    replayed = Replayed(len(positions))
    for position in positions:
        replayed.add(position if position <= ReplayOptions().first else 0, 0, 0)
    return replayed


def figures(replayed: Replayed) -> dict[str, float]:
    """The metrics of one replay."""
    found = {"mrr@5": replayed.whole.mrr, "hit@5": replayed.whole.hit_rate}
    found |= {f"mrr@5_quarter_{i}": quarter.mrr for i, quarter in enumerate(replayed.quarters, 1)}
    searches = max(replayed.whole.searches, 1)
    found["calls_per_search"] = replayed.whole.calls / searches
    found["candidates_per_search"] = replayed.whole.candidates / searches
    return found


def main() -> None:
    """Replays every log there is."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    quick = bool(os.environ.get("QUICK"))
    searches, rows = 500 if quick else SEARCHES, list[Row]()
    for collection, make in SHOPS.items():
        runs: dict[str, list[dict[str, float]]] = defaultdict(list)
        for seed in range(1 if quick else SEEDS):
            shop = make(seed)
            if shop is None:
                print(f"{collection}: skipped, there is none here")
                break
            log = simulate(shop, searches, seed)
            runs["oracle"].append(figures(bound(oracle(shop, log, seed))))
            for system, options in SYSTEMS.items():
                runs[system].append(figures(asyncio.run(run(shop, log, options))))
                print(f"{collection} seed {seed} {system}: MRR@5 {runs[system][-1]['mrr@5']:.4f}", flush=True)
        for system, found in runs.items():
            rows += [
                row_of(collection, SCENARIO, system, metric, [one[metric] for one in found], searches)
                for metric in found[0]
            ]
    if rows:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "replayed.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        (RESULTS / "replayed.md").write_text(table(rows))
        print(table(rows))


def table(rows: Sequence[Row]) -> str:
    """The rows for people."""
    columns = ("mrr@5", "mrr@5_quarter_1", "mrr@5_quarter_4", "hit@5", "calls_per_search", "candidates_per_search")
    by_system: dict[tuple[object, object], dict[object, Row]] = defaultdict(dict)
    for row in rows:
        by_system[row["collection"], row["system"]][row["metric"]] = row
    lines = [f"| log of | system | {' | '.join(columns)} |", "| --- " * (len(columns) + 2) + "|"]
    for (collection, system), found in by_system.items():
        cells = [f"{found[column]['value']}" for column in columns]
        if found["mrr@5"]["low"] is not None:
            cells[0] += f" ({found['mrr@5']['low']}-{found['mrr@5']['high']})"
        lines.append(f"| {collection} | `{system}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

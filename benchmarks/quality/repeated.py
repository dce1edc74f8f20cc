"""Repeated queries: how soon what people want of a query is on its first page, and how soon that follows a change.

A Zipf stream of queries over a few hundred products with nothing but titles (`click_log.Shop`), searched through the
real system in one process, as of 2021, one action after the other: each is learned from before the next search. Every
query has one wanted document: half of them one that its words lead to, half any other document, which no strategy but
memory can find. Whoever searches acts on the wanted document, wherever it stands, and with a chance of 10% on another
one of the first page instead: noise. In the scenario `drift` every query wants another document from half-way on.

Metrics over the second and later actions of a query, by system:

* `first_page_after_3`: share of the searches, of queries that were acted on as wanted three times or more, that show
  the wanted document among the first ten; `_noisy`: those of queries where somebody acted on another document before;
* `mrr_after_3`: mean of 1 / position there;
* `won_back_20`: of what a head query (one that comes 30 times or more after the drift) loses in 1 / position by the
  drift, the share won back at its 11th to 20th search after it; 1 = all.

Means over 5 seeds with 95% intervals (Student's t). Writes benchmarks/results/repeated.json.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

import structlog
from scipy.stats import t as student

from benchmarks.quality.click_log import BEGIN_S, SHOPS, Shop, zipf
from honeyguide.documents import Document
from honeyguide.text import words
from honeyguide_standalone.click_log import LoggedAction
from honeyguide_standalone.engine import Engine
from honeyguide_standalone.replay import Replayer, ReplayOptions

RESULTS = Path(__file__).resolve().parents[1] / "results"
SEEDS = 5
QUERIES = 60
SEARCHES = 800
STEP_S = 600.0
NOISE = 0.1
HEAD = 25
ACTIONS = 3
PAUSE_S = 0.005
SYSTEMS = {"honeyguide": "", "full_depth": "full_depth"}
"""Policy by system; the ranker is the default one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One search of the stream. `noise`, in [0, 1): below `NOISE` another document of the page is acted on."""

    query: str
    wanted: str
    noise: float


def stream(shop: Shop, drift: bool, searches: int, seed: int) -> list[Asked]:
    """The searches in order; the same for every system."""
    chance = random.Random(f"repeated {shop.name} {seed}")
    ids = sorted(shop.titles)
    queries: dict[str, str] = {}
    while len(queries) < QUERIES:
        about = chance.choice(ids)
        typed = words(shop.titles[about])
        if len(typed) < 2:
            continue
        query = " ".join(typed[: chance.randint(1, 3)])
        queries.setdefault(query, about if len(queries) % 2 else chance.choice(ids))
    texts, weights = list(queries), zipf(QUERIES, 1.0, chance)
    later = {query: chance.choice([id for id in ids if id != wanted]) for query, wanted in queries.items()}
    asked = []
    for number, query in enumerate(chance.choices(texts, weights, k=searches)):
        wants = later if drift and number >= searches // 2 else queries
        asked.append(Asked(query, wants[query], chance.random()))
    return asked


async def run(shop: Shop, asked: Sequence[Asked], policy: str) -> list[int]:
    """Position of the wanted document in every search, 0 = not among the first ten."""
    documents = [Document(id, "product", title, shop.texts[id]) for id, title in shop.titles.items()]
    positions = []
    with tempfile.TemporaryDirectory() as folder:
        async with Engine(Path(folder), intervals_s=PAUSE_S) as engine:
            await engine.api.index(documents)
            replayer = Replayer(engine.api, ReplayOptions(first=10, wait=True, policy=policy))
            for number, one in enumerate(asked):
                action = LoggedAction(number, BEGIN_S + number * STEP_S, one.query, one.wanted)
                seen = await replayer.search(action)
                positions.append(seen.position(one.wanted))
                others = [id for id in seen.shown if id != one.wanted]
                if one.noise < NOISE and others:
                    action = replace(action, document_id=others[int(one.noise / NOISE * len(others))])
                await replayer.act(action, seen.decision_id)
    return positions


def measure(asked: Sequence[Asked], positions: Sequence[int], drift: bool) -> dict[str, float]:
    """The metrics of one run; see the text of this module."""
    half = len(asked) // 2
    acted: Counter[tuple[str, str]] = Counter()
    noisy: set[str] = set()
    shown: list[float] = []
    shown_noisy: list[float] = []
    reciprocal: list[float] = []
    by_query: dict[str, list[list[float]]] = defaultdict(lambda: [[], []])
    for number, (one, position) in enumerate(zip(asked, positions, strict=True)):
        rank = 1.0 / position if position else 0.0
        if acted[one.query, one.wanted] >= ACTIONS:
            shown.append(float(position > 0))
            reciprocal.append(rank)
            if one.query in noisy:
                shown_noisy.append(float(position > 0))
        by_query[one.query][number >= half].append(rank)
        if one.noise < NOISE:
            noisy.add(one.query)
        else:
            acted[one.query, one.wanted] += 1
    figures = {
        "first_page_after_3": fmean(shown),
        "first_page_after_3_noisy": fmean(shown_noisy),
        "mrr_after_3": fmean(reciprocal),
    }
    if drift:
        heads = [(before, after) for before, after in by_query.values() if len(after) >= HEAD <= len(before)]
        lost = sum(fmean(before[-10:]) - after[0] for before, after in heads)
        for first, last in ((0, 5), (5, 10), (10, 20)):
            won = sum(fmean(after[first:last]) - after[0] for _, after in heads)
            figures[f"won_back_{last}"] = won / lost if lost > 0 else 1.0
    return figures


def main() -> None:
    """Measures every collection there is; QUICK=1 takes one seed of the first."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    quick = bool(os.environ.get("QUICK"))
    rows: list[dict[str, object]] = []
    for collection, make in list(SHOPS.items())[: 1 if quick else None]:
        for scenario in ("repeated", "drift"):
            runs: dict[str, list[dict[str, float]]] = {system: [] for system in SYSTEMS}
            for seed in range(1 if quick else SEEDS):
                shop = make(seed)
                if shop is None:
                    print(f"{collection}: skipped, there is none here")
                    break
                asked = stream(shop, scenario == "drift", SEARCHES, seed)
                for system, policy in SYSTEMS.items():
                    found = measure(asked, asyncio.run(run(shop, asked, policy)), scenario == "drift")
                    runs[system].append(found)
                    figures = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
                    print(f"{collection} {scenario} {system} seed {seed}: {figures}", flush=True)
            rows += [row for system in SYSTEMS for row in _rows(collection, scenario, system, runs[system])]
    if rows:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "repeated.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def _rows(collection: str, scenario: str, system: str, runs: Sequence[dict[str, float]]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for metric in runs[0] if runs else ():
        values = [run[metric] for run in runs]
        half = student.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
        rows.append(
            {
                "collection": collection,
                "scenario": scenario,
                "system": system,
                "metric": metric,
                "value": round(fmean(values), 4),
                "low": round(fmean(values) - half, 4),
                "high": round(fmean(values) + half, 4),
                "seeds": len(values),
                "searches": SEARCHES,
            }
        )
    return rows


if __name__ == "__main__":
    main()

"""Repeated queries: how soon what people want of a query is on its first page, and how soon that follows a change.

A Zipf stream of queries over a few hundred documents (`click_log.Shop`), searched through the real system in one
process, as of 2021, one action after the other: each is learned from before the next search. Every query has one wanted
document: half of them one that its words lead to, half any other document, which no strategy but memory can find.
Whoever searches acts on the wanted document, wherever it stands, and with a chance of 10% on another one of the first
page instead: noise. Half-way every query comes to want another document, whichever.

Scenario `repeated` is the first half, `drift` the second. Metrics:

* `first_page_after_3`: share of the searches, of queries that were acted on as wanted three times or more, that show
  the wanted document among the first ten; `_noisy`: those of queries where somebody acted on another document before;
* `mrr_after_3`: mean of 1 / position there;
* `won_back_5`, `_10`, `_20`: of what head queries (that come 25 times or more in each half) lose in 1 / position by the
  drift, the share won back in the 2nd to 5th, 6th to 10th and 11th to 20th search after it; 1 = all.

Means over 5 seeds with 95% intervals (Student's t). Writes benchmarks/results/repeated.json; QUICK=1 takes one seed of
one collection.
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
from statistics import fmean

import structlog

from benchmarks.quality.click_log import BEGIN_S, SHOPS, Shop, zipf
from benchmarks.quality.quality import row_of
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


@dataclass(frozen=True, slots=True)
class Asked:
    """One search of the stream. `noise`, in [0, 1): below `NOISE` another document of the page is acted on."""

    query: str
    wanted: str
    noise: float


def stream(shop: Shop, seed: int) -> list[Asked]:
    """The searches in order."""
    chance = random.Random(f"repeated {shop.name} {seed}")
    ids = sorted(shop.titles)
    before: dict[str, str] = {}
    while len(before) < QUERIES:
        about = chance.choice(ids)
        typed = words(shop.titles[about])
        if len(typed) > 1:
            query = " ".join(typed[: chance.randint(1, 3)])
            before.setdefault(query, about if len(before) % 2 else chance.choice(ids))
    after = {query: chance.choice([id for id in ids if id != wanted]) for query, wanted in before.items()}
    drawn = chance.choices(list(before), zipf(QUERIES, 1.0, chance), k=SEARCHES)
    return [
        Asked(query, (before if number < SEARCHES // 2 else after)[query], chance.random())
        for number, query in enumerate(drawn)
    ]


async def run(shop: Shop, asked: Sequence[Asked]) -> list[int]:
    """Position of the wanted document in every search, 0 = not among the first ten."""
    documents = [Document(id, "product", title, shop.texts[id]) for id, title in shop.titles.items()]
    positions = []
    with tempfile.TemporaryDirectory() as folder:
        async with Engine(Path(folder), intervals_s=PAUSE_S) as engine:
            await engine.api.index(documents)
            replayer = Replayer(engine.api, ReplayOptions(first=10, wait=True))
            for number, one in enumerate(asked):
                action = LoggedAction(number, BEGIN_S + number * STEP_S, one.query, one.wanted)
                seen = await replayer.search(action)
                positions.append(seen.position(one.wanted))
                others = [id for id in seen.shown if id != one.wanted]
                if one.noise < NOISE and others:
                    action = replace(action, document_id=others[int(one.noise / NOISE * len(others))])
                await replayer.act(action, seen.decision_id)
    return positions


def measure(asked: Sequence[Asked], positions: Sequence[int]) -> dict[str, dict[str, float]]:
    """The metrics of one run, by scenario; see the text of this module."""
    half = len(asked) // 2
    acted: Counter[tuple[str, str]] = Counter()
    noisy: set[str] = set()
    known: list[list[tuple[int, bool]]] = [[], []]
    by_query: dict[str, list[list[float]]] = defaultdict(lambda: [[], []])
    for number, (one, position) in enumerate(zip(asked, positions, strict=True)):
        if acted[one.query, one.wanted] >= ACTIONS:
            known[number >= half].append((position, one.query in noisy))
        by_query[one.query][number >= half].append(_reciprocal(position))
        if one.noise < NOISE:
            noisy.add(one.query)
        else:
            acted[one.query, one.wanted] += 1
    figures = {scenario: _after_3(known[i]) for i, scenario in enumerate(("repeated", "drift"))}
    heads = [(before, after) for before, after in by_query.values() if len(after) >= HEAD <= len(before)]
    lost = sum(fmean(before[-10:]) - after[0] for before, after in heads)
    for first, last in ((1, 5), (5, 10), (10, 20)):
        won = sum(fmean(after[first:last]) - after[0] for _, after in heads)
        figures["drift"][f"won_back_{last}"] = won / lost if lost > 0 else 1.0
    return figures


def _after_3(known: Sequence[tuple[int, bool]]) -> dict[str, float]:
    return {
        "first_page_after_3": fmean(position > 0 for position, _ in known),
        "first_page_after_3_noisy": fmean(position > 0 for position, noisy in known if noisy),
        "mrr_after_3": fmean(_reciprocal(position) for position, _ in known),
    }


def _reciprocal(position: int) -> float:
    return 1.0 / position if position else 0.0


def main() -> None:
    """Measures every collection there is."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    quick = bool(os.environ.get("QUICK"))
    rows: list[dict[str, object]] = []
    for collection, make in list(SHOPS.items())[: 1 if quick else None]:
        runs: list[dict[str, dict[str, float]]] = []
        for seed in range(1 if quick else SEEDS):
            shop = make(seed)
            if shop is None:
                print(f"{collection}: skipped, there is none here")
                break
            asked = stream(shop, seed)
            runs.append(measure(asked, asyncio.run(run(shop, asked))))
            print(f"{collection} seed {seed}: {json.dumps(runs[-1])}", flush=True)
        for scenario in runs[0] if runs else ():
            rows += [
                row_of(collection, scenario, "honeyguide", metric, [run[scenario][metric] for run in runs], SEARCHES)
                for metric in runs[0][scenario]
            ]
    if rows:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "repeated.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Judged queries, cross-validated: how well queries are ranked that were never searched before, and those that come
again and again.

Each collection in five folds by query text. Every query of the other four folds is searched `TIMES` times by simulated
people (see `users`), in random order; then the fold's own queries are ranked. `repeated` searches every query so often
as the scenario says and ranks these same queries. The first learns at full depth, so that rankers are compared and not
retrieval; `learned allocation` is the product as it comes, learning by itself.

nDCG@10 by ir-measures over the queries of all folds with something judged good, with 95% bootstrap intervals. "Among
tracks" leaves all other types out of the rankings.

scifact has a split of its own: every train claim is searched `CLAIM_TIMES` times at full depth, trees are fitted, and
the test claims are ranked; means over seeds with 95% intervals. Writes benchmarks/results/judged.json and .md.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from zlib import crc32

import ir_measures
import numpy as np
import structlog
from ir_measures import nDCG

from benchmarks.quality.baselines import FUSIONS
from benchmarks.quality.cold_start import RESULTS
from benchmarks.quality.needs import FOLDS, Need, Scene, every_need, scene
from benchmarks.quality.quality import row_of
from benchmarks.quality.recording import Recording, record
from benchmarks.quality.simulation import PAGE, Stage, System, run, stage
from benchmarks.quality.streams import Search, stream
from honeyguide_orchestrator.candidate_features import Floats
from honeyguide_orchestrator.ranker import RANKERS, Ranker, RankerModel

TIMES = 5
REPEATED = {"cpcd-music": 10, "chorus-icecat": 20}
CLAIMS, CLAIM_TIMES, CLAIM_SEEDS = "scifact", 15, 5
RESAMPLES = 1_000
LEARNED = ("gated", "linear", "prior")
ALLOCATIONS = {"full_depth": "full depth", "squarecb": "learned allocation"}

Rankings = dict[str, dict[str, list[str]]]
"""By system and query id, document ids."""


class Switch:
    """A ranker that ranks as another one, until told otherwise."""

    name = "gated"

    def __init__(self) -> None:
        self.now: Ranker = RANKERS["gated"]

    def scores(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return self.now.scores(features, strategies, model)

    def contributions(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return self.now.contributions(features, strategies, model)

    def weights(self, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return self.now.weights(strategies, model)


def searches_of(needs: Sequence[Need], times: int, seed: int) -> list[Search]:
    """Every need so many times, in random order, each time with a wanted document drawn anew as in all streams."""
    random = Random(f"judged {seed}")
    drawn: list[Search] = []
    for need in needs:
        drawn += stream([need], times, crc32(f"{seed} {need.id}".encode()))
    random.shuffle(drawn)
    times_s = sorted(search.time_s for search in stream(needs[:1], len(drawn), seed))
    return [replace(search, number=i, time_s=times_s[i]) for i, search in enumerate(drawn)]


async def ranked(on: Stage, switch: Switch, needs: Sequence[Need], time_s: float, names: Sequence[str]) -> Rankings:
    """How rankers would order the needs' candidates now; fusions too. Keys ending in "/track" leave other types out."""
    found: Rankings = {}
    for name in names:
        switch.now = FUSIONS[name] if name in FUSIONS else RANKERS[name]
        for need in needs:
            shown = await on.search(need.query, time_s, tracked=False)
            found.setdefault(name, {})[need.id] = list(shown.document_ids[:PAGE])
            tracks = [id for id, type in zip(shown.document_ids, shown.types, strict=True) if type == "track"]
            found.setdefault(f"{name}/track", {})[need.id] = tracks[:PAGE]
    switch.now = RANKERS["gated"]
    return found


async def measure(
    found: Scene, recording: Recording, policy: str, times: int, seed: int, repeated: bool = False, trees: bool = False
) -> Rankings:
    """Lets people search, then ranks the held-out queries, or those that were searched; with trees, if asked for."""
    switch = Switch()
    searches = searches_of(found.learning, times, seed)
    system = System(policy, policy, switch, learns=policy == "squarecb", trees=trees)
    async with stage(system, found, recording, seed) as on:
        await run(on, searches, seed)
        await on.learn()
        asked = found.learning if repeated else found.held_out
        fusions = () if policy == "squarecb" or repeated else tuple(FUSIONS)
        names = LEARNED[:1] if policy == "squarecb" else (*LEARNED, *(("lambdamart",) if trees else ()), *fusions)
        return await ranked(on, switch, asked, searches[-1].time_s, names)


def ndcg_of(needs: Sequence[Need], runs: Mapping[str, Sequence[str]]) -> list[float]:
    """nDCG@10 of each of these needs' rankings."""
    qrels = {need.id: dict(need.grades) for need in needs}
    scored: Mapping[str, Mapping[str, float]] = {
        id: {document: -float(place) for place, document in enumerate(runs[id])} for id in qrels if id in runs
    }
    return [one.value for one in ir_measures.iter_calc([nDCG @ 10], qrels, scored)]


def with_best_fusion(values: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """The systems' values, of the fusions the best alone, which says so."""
    fusions = [system for system in values if system in FUSIONS]
    best = max(fusions, key=lambda system: float(np.mean(values[system])), default="")
    return {
        f"best static fusion ({system})" if system == best else system: each
        for system, each in values.items()
        if system == best or system not in FUSIONS
    }


def rows_of(collection: str, scenario: str, needs: Sequence[Need], rankings: Rankings) -> list[dict[str, object]]:
    """nDCG@10 of every system over these needs; of the fusions, the best alone."""
    values = {system: ndcg_of(needs, runs) for system, runs in rankings.items()}
    rng = np.random.default_rng(0)
    rows = []
    for system, each in with_best_fusion(values).items():
        sample = rng.choice(np.array(each), (RESAMPLES, len(each))).mean(axis=1)
        rows.append(
            {
                "collection": collection,
                "scenario": scenario,
                "system": system,
                "metric": "ndcg@10",
                "value": round(float(np.mean(each)), 4),
                "low": round(float(np.quantile(sample, 0.025)), 4),
                "high": round(float(np.quantile(sample, 0.975)), 4),
                "seeds": 1,
                "searches": len(each),
            }
        )
    return rows


def views(rankings: Rankings) -> dict[str, Rankings]:
    """Rankings of the whole catalogue, and among tracks."""
    return {
        "": {name: runs for name, runs in rankings.items() if not name.endswith("/track")},
        " among tracks": {
            name.removesuffix("/track"): runs for name, runs in rankings.items() if name.endswith("/track")
        },
    }


def measured(name: str, folds: int) -> list[dict[str, object]]:
    """All rows of a collection."""
    found = scene(name)
    if found is None:
        print(f"{name}: skipped, it is not there")
        return []
    recording, needs = record(found), every_need(name)
    kinds = sorted({need.kind for need in needs})
    rows = []

    def told(scenario: str, rankings: Rankings) -> None:
        for view, runs in views(rankings).items():
            if view and name != "cpcd-music":
                continue
            for kind in kinds:
                chosen = [need for need in needs if need.kind == kind and need.id in next(iter(runs.values()))]
                new = rows_of(name, f"{scenario}{' ' + kind if kind else ''}{view}", chosen, runs)
                rows.extend(new)
                for row in new:
                    print(row, flush=True)

    for policy, allocation in ALLOCATIONS.items():
        together: Rankings = {}
        for fold in range(folds):
            part = scene(name, fold)
            if part is not None:
                for system, runs in asyncio.run(measure(part, recording, policy, TIMES, fold)).items():
                    together.setdefault(system, {}).update(runs)
        told(f"unseen, {allocation},", together)
    everything = replace(found, learning=needs, held_out=())
    times = REPEATED[name]
    told(f"repeated {times} times,", asyncio.run(measure(everything, recording, "full_depth", times, 0, repeated=True)))
    return rows


def claims(seeds: int) -> list[dict[str, object]]:
    """The rows of scifact's own split."""
    found = scene(CLAIMS)
    if found is None:
        print(f"{CLAIMS}: skipped, it is not there")
        return []
    recording = record(found)
    means: dict[str, list[float]] = {}
    for seed in range(1, seeds + 1):
        rankings = asyncio.run(measure(found, recording, "full_depth", CLAIM_TIMES, seed, trees=True))
        for system, runs in views(rankings)[""].items():
            means.setdefault(system, []).append(float(np.mean(ndcg_of(found.held_out, runs))))
        told = {system: round(each[-1], 4) for system, each in means.items()}
        print(f"{CLAIMS} seed {seed}: {json.dumps(told)}", flush=True)
    scenario, count = f"test claims, train claims searched {CLAIM_TIMES} times,", len(found.held_out)
    return [
        row_of(CLAIMS, scenario, system, "ndcg@10", each, count) for system, each in with_best_fusion(means).items()
    ]


def main() -> None:
    """Measures every collection there is."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    quick = bool(os.environ.get("QUICK"))
    rows = claims(1 if quick else CLAIM_SEEDS)
    rows += [row for name in REPEATED for row in measured(name, 1 if quick else FOLDS)]
    if not rows:
        return
    lines = ["| collection | scenario | system | nDCG@10 | queries |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        span = "" if row["low"] is None else f" ({row['low']:.3f}-{row['high']:.3f})"
        columns = (row["collection"], row["scenario"], row["system"], f"{row['value']:.3f}{span}", row["searches"])
        lines.append(f"| {' | '.join(map(str, columns))} |")
    (RESULTS / "judged.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    (RESULTS / "judged.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

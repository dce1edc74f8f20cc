"""Position bias: what the learned ranker is worth when clicks favour the top, with and without the correction.

The linear ranker learns at full depth from the clicks of a position-based model with bias 1 (the lower half of a page
is hardly looked at), with the correction estimated from swaps and with none; and from unbiased clicks. Then each ranks
the held-out queries, in two ways: with the memory that its own clicks left, and, to compare rankers and nothing else,
with the memory that the unbiased clicks left, of which there are half as many again. Writes
benchmarks/results/position_bias.json and .md.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import ir_measures
import numpy as np
import structlog
from ir_measures import nDCG

from benchmarks.quality.needs import Scene, scene
from benchmarks.quality.quality import interval
from benchmarks.quality.recording import Recording, record
from benchmarks.quality.simulation import Stage, System, held_out, run, stage
from benchmarks.quality.streams import stream
from benchmarks.quality.users import PositionBased
from honeyguide_orchestrator import ranker_learner
from honeyguide_orchestrator.examination import Examination
from honeyguide_orchestrator.ranker_learner import RankerLearner

RESULTS = Path(__file__).resolve().parents[1] / "results"
SEARCHES = 2_400
SEEDS = (1, 2, 3)
SWAP_SHARE = 0.2
BIASED, UNBIASED = PositionBased(1.0), PositionBased(0.0)
UNBIASED_CLICKS = "unbiased clicks"
SYSTEMS = {
    "biased clicks, corrected": (BIASED, "estimated"),
    "biased clicks, not corrected": (BIASED, "none"),
    UNBIASED_CLICKS: (UNBIASED, "none"),
}


@contextmanager
def correction(how: str) -> Iterator[None]:
    """As it is ("estimated"), or switched off ("none")."""
    if how == "estimated":
        yield
        return
    with (
        mock.patch.object(Examination, "closed", return_value=None),
        mock.patch.object(ranker_learner, "looked_at", return_value=1.0),
    ):
        yield


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of one system: nDCG@10 on the held-out queries with its own memory and with that of the unbiased
    clicks, the power of the bias as the learner sees it in the end, and how many clicks it learned from."""

    own: float
    alike: float
    power: float
    clicks: int


async def measure(found: Scene, recording: Recording, seed: int) -> dict[str, Learned]:
    """What each system learned from one stream."""
    searches = stream(found.learning, SEARCHES, seed)
    qrels = {need.id: dict(need.grades) for need in found.held_out}
    end_s = searches[-1].time_s

    async def ranked(on: Stage) -> float:
        await on.learner.publish()
        run_ = await held_out(on, found.held_out, end_s)
        return float(ir_measures.calc_aggregate([nDCG @ 10], qrels, run_)[nDCG @ 10])

    rankers: dict[str, tuple[RankerLearner, float]] = {}
    learned: dict[str, Learned] = {}
    for system, (people, how) in SYSTEMS.items():
        with correction(how):
            linear = System(system, "full_depth", "linear", swap_share=SWAP_SHARE)
            async with stage(linear, found, recording, seed) as on:
                await run(on, searches, seed, people)
                await on.learn()
                rankers[system] = on.learner.ranker, await ranked(on)
                if system == UNBIASED_CLICKS:
                    for name, (ranker, own) in rankers.items():
                        on.learner.ranker = ranker
                        power, clicks = ranker.examination.power, ranker.actions
                        learned[name] = Learned(own, await ranked(on), power, clicks)
    return learned


def main() -> None:
    """Measures, and writes the rows and a table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows = []
    lines = [
        "| collection | learned from | nDCG@10, held out, with the unbiased clicks' memory | with its own memory"
        " | clicks | power of the bias |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in ("scifact",) if os.environ.get("QUICK") else ("scifact", "films"):
        found = scene(name)
        if found is None:
            print(f"{name}: skipped, it is not there")
            continue
        recording = record(found)
        measured = [asyncio.run(measure(found, recording, seed)) for seed in SEEDS]
        for system in SYSTEMS:
            each = [one[system] for one in measured]
            cells = []
            for scenario, values in (
                ("position bias", [one.alike for one in each]),
                ("position bias, own memory", [one.own for one in each]),
            ):
                mean, low, high = interval(values)
                rows.append(
                    {
                        "collection": name,
                        "scenario": scenario,
                        "system": system,
                        "metric": "ndcg@10",
                        "value": round(mean, 4),
                        "low": None if low is None else round(low, 4),
                        "high": None if high is None else round(high, 4),
                        "seeds": len(SEEDS),
                        "searches": SEARCHES,
                    }
                )
                cells.append(f"{mean:.3f}" + ("" if high is None else f" ±{high - mean:.3f}"))
            clicks, power = (float(np.mean([getattr(one, field) for one in each])) for field in ("clicks", "power"))
            lines.append(f"| {name} | {system} | {' | '.join(cells)} | {clicks:,.0f} | {power:.2f} |")
            print(lines[-1], flush=True)
    if rows:
        (RESULTS / "position_bias.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        (RESULTS / "position_bias.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

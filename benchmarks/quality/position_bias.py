"""Position bias: what the learned ranker is worth when clicks favour the top, with and without the correction.

The linear ranker learns at full depth from the clicks of a position-based model with bias 1 (the lower half of a page
is hardly looked at), with the correction estimated from swaps and with none; and from unbiased clicks. Then each ranks
the held-out queries. Writes benchmarks/results/position_bias.json and .md.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import ir_measures
import numpy as np
import structlog
from ir_measures import nDCG

from benchmarks.quality.needs import Scene, scene
from benchmarks.quality.quality import interval
from benchmarks.quality.recording import Recording, record
from benchmarks.quality.simulation import System, held_out, run, stage
from benchmarks.quality.streams import stream
from benchmarks.quality.users import PositionBased
from honeyguide_orchestrator import ranker_learner
from honeyguide_orchestrator.examination import Examination

RESULTS = Path(__file__).resolve().parents[1] / "results"
SEARCHES = 2_400
SEEDS = (1, 2, 3)
SWAP_SHARE = 0.2
BIASED, UNBIASED = PositionBased(1.0), PositionBased(0.0)
SYSTEMS = {
    "unbiased clicks": (UNBIASED, "none"),
    "biased clicks, corrected": (BIASED, "estimated"),
    "biased clicks, not corrected": (BIASED, "none"),
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


async def measure(found: Scene, recording: Recording, system: str, seed: int) -> tuple[float, float]:
    """nDCG@10 on the held-out queries, and the power of the position bias as the learner sees it in the end."""
    people, how = SYSTEMS[system]
    searches = stream(found.learning, SEARCHES, seed)
    with correction(how):
        linear = System(system, "full_depth", "linear", swap_share=SWAP_SHARE)
        async with stage(linear, found, recording, seed) as on:
            await run(on, searches, seed, people)
            await on.learn()
            ranked = await held_out(on, found.held_out, searches[-1].time_s)
            power = on.learner.position_bias
    qrels = {need.id: dict(need.grades) for need in found.held_out}
    return float(ir_measures.calc_aggregate([nDCG @ 10], qrels, ranked)[nDCG @ 10]), power


def main() -> None:
    """Measures, and writes the rows and a table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows = []
    lines = ["| collection | learned from | nDCG@10, held out | power of the bias |", "| --- | --- | --- | --- |"]
    for name in ("scifact",) if os.environ.get("QUICK") else ("scifact", "films"):
        found = scene(name)
        if found is None:
            print(f"{name}: skipped, it is not there")
            continue
        recording = record(found)
        for system in SYSTEMS:
            measured = [asyncio.run(measure(found, recording, system, seed)) for seed in SEEDS]
            mean, low, high = interval([value for value, _ in measured])
            power = float(np.mean([one for _, one in measured]))
            rows.append(
                {
                    "collection": name,
                    "scenario": "position bias",
                    "system": system,
                    "metric": "ndcg@10",
                    "value": round(mean, 4),
                    "low": None if low is None else round(low, 4),
                    "high": None if high is None else round(high, 4),
                    "seeds": len(SEEDS),
                    "searches": SEARCHES,
                }
            )
            spread = "" if high is None else f" ±{high - mean:.3f}"
            lines.append(f"| {name} | {system} | {mean:.3f}{spread} | {power:.2f} |")
            print(lines[-1], flush=True)
    if rows:
        (RESULTS / "position_bias.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        (RESULTS / "position_bias.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

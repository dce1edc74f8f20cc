"""Position bias: what the learned ranker is worth when clicks favour the top, with and without the correction.

The linear ranker learns at full depth from the clicks of a position-based model with bias 1 (the lower half of a page
is hardly looked at), with the correction estimated from swaps and with none; and from unbiased clicks. The pages that
people see are its own, or those of a poor ranker: the ten best, the worst of them first, as where Honeyguide learns
beside a system that it is to replace. Then each ranks the held-out queries, in two ways: with the memory that its own
clicks left, and, to compare rankers and nothing else, with the memory that the unbiased clicks left, of which there are
half as many again. Writes benchmarks/results/position_bias.json and .md.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import ir_measures
import numpy as np
import structlog
from ir_measures import nDCG

from benchmarks.quality.needs import Scene, scene
from benchmarks.quality.quality import interval, row_of
from benchmarks.quality.recording import Recording, record
from benchmarks.quality.simulation import PAGE, Stage, System, held_out, run, stage
from benchmarks.quality.streams import stream
from benchmarks.quality.users import PositionBased
from honeyguide_orchestrator import ranker_learner
from honeyguide_orchestrator.allocation_model import Floats
from honeyguide_orchestrator.examination import Examination
from honeyguide_orchestrator.ranker import RANKERS, RankerModel, order_of
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


class Pages:
    """The linear ranker; or, while `poor`, the prior's ten best, the worst of them first."""

    name = "pages"

    def __init__(self, poor: bool) -> None:
        self.poor = poor

    def scores(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        if not self.poor:
            return RANKERS["linear"].scores(features, strategies, model)
        scores = RANKERS["prior"].scores(features, strategies, model).copy()
        first = order_of(scores)[:PAGE]
        scores[first] = scores[first[::-1]]
        return scores

    def contributions(self, features: Floats, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`: nobody asks."""
        return np.zeros_like(features)

    def weights(self, strategies: Sequence[str], model: RankerModel) -> Floats:
        """See `Ranker`."""
        return RANKERS["linear"].weights(strategies, model)


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


async def measure(found: Scene, recording: Recording, seed: int, poor: bool) -> dict[str, Learned]:
    """What each system learned from one stream; `poor`: from the pages of a poor ranker."""
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
            pages = Pages(poor)
            linear = System(system, "full_depth", pages, swap_share=SWAP_SHARE)
            async with stage(linear, found, recording, seed) as on:
                await run(on, searches, seed, people)
                await on.learn()
                pages.poor = False
                rankers[system] = on.learner.ranker, await ranked(on)
                if system == UNBIASED_CLICKS:
                    for name, (ranker, own) in rankers.items():
                        on.learner.ranker = ranker
                        power, clicks = ranker.examination.power, ranker.actions
                        learned[name] = Learned(own, await ranked(on), power, clicks)
    return learned


def _told(collection: str, pages: str, system: str, each: Sequence[Learned]) -> tuple[list[dict[str, object]], str]:
    """The rows and the table's line of one system."""
    rows: list[dict[str, object]] = []
    cells = []
    for scenario, values in (
        (f"position bias, pages {pages}", [one.alike for one in each]),
        (f"position bias, pages {pages}, own memory", [one.own for one in each]),
    ):
        mean, _, high = interval(values)
        rows.append(row_of(collection, scenario, system, "ndcg@10", values, SEARCHES))
        cells.append(f"{mean:.3f}" + ("" if high is None else f" ±{high - mean:.3f}"))
    clicks, power = (float(np.mean([getattr(one, field) for one in each])) for field in ("clicks", "power"))
    return rows, f"| {collection} | {pages} | {system} | {' | '.join(cells)} | {clicks:,.0f} | {power:.2f} |"


def main() -> None:
    """Measures, and writes the rows and a table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows = []
    lines = [
        "| collection | pages | learned from | nDCG@10, held out, with the unbiased clicks' memory"
        " | with its own memory | clicks | power of the bias |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in ("scifact",) if os.environ.get("QUICK") else ("scifact", "films"):
        found = scene(name)
        if found is None:
            print(f"{name}: skipped, it is not there")
            continue
        recording = record(found)
        for pages, poor in (("its own", False), ("of a poor ranker", True)):
            measured = [asyncio.run(measure(found, recording, seed, poor)) for seed in SEEDS]
            for system in SYSTEMS:
                told, line = _told(name, pages, system, [one[system] for one in measured])
                rows += told
                lines.append(line)
                print(line, flush=True)
    if rows:
        (RESULTS / "position_bias.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        (RESULTS / "position_bias.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

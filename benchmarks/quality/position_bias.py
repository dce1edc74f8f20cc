"""Position bias: what is learned from clicks that favour the top, with and without the correction.

The linear ranker learns at full depth from the clicks of a position-based model with bias 1 (the lower half of a page
is hardly looked at) and the noise of the literature (one in ten documents that are looked at and not wanted is clicked:
Joachims, Swaminathan and Schnabel, WSDM 2017, section 5), with the correction estimated from swaps and with none; from
unbiased clicks, of which there are more; and from as many unbiased clicks as biased ones, to tell bias from want of
clicks. With the noise of the other benchmarks, .03, clicks are so good that the correction is worth nothing that could
be seen. The pages that people see are its own, or those of a poor ranker: the ten best, the worst of them first, as
where Honeyguide learns beside a system that it is to replace. Then each ranks the queries that were searched often,
where people want one document more often than another (the gain of a document is how often it is wanted); and the held-
out queries, in two ways: with the memory that its own clicks left, and, to compare rankers and nothing else, with the
memory that the unbiased clicks left.
Writes benchmarks/results/position_bias.json and .md.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, nullcontext
from dataclasses import astuple, dataclass
from pathlib import Path
from random import Random
from unittest import mock

import ir_measures
import numpy as np
import structlog
from ir_measures import nDCG

from benchmarks.quality.needs import Need, Scene, scene
from benchmarks.quality.quality import interval, row_of
from benchmarks.quality.recording import Recording, record
from benchmarks.quality.simulation import PAGE, Stage, System, held_out, run, stage
from benchmarks.quality.streams import Search, stream, tastes
from benchmarks.quality.users import ClickModel, PositionBased
from honeyguide_orchestrator import ranker_learner
from honeyguide_orchestrator.allocation_model import Floats
from honeyguide_orchestrator.examination import Examination
from honeyguide_orchestrator.ranker import RANKERS, RankerModel, order_of

RESULTS = Path(__file__).resolve().parents[1] / "results"
SEARCHES = 4_800
SEEDS = (1, 2, 3, 4, 5)
SWAP_SHARE = 0.2
OFTEN = 10
GAIN_SCALE = 1_000
NOISE = 0.1
BIASED, UNBIASED = PositionBased(1.0, NOISE), PositionBased(0.0, NOISE)
CORRECTED, NOT_CORRECTED = "biased clicks, corrected", "biased clicks, not corrected"
UNBIASED_CLICKS, AS_MANY = "unbiased clicks", "unbiased clicks, as many as biased ones"
SYSTEMS = (CORRECTED, NOT_CORRECTED, UNBIASED_CLICKS, AS_MANY)
COMPARED = ((CORRECTED, NOT_CORRECTED), (CORRECTED, UNBIASED_CLICKS), (CORRECTED, AS_MANY))


@dataclass(frozen=True, slots=True)
class Thinned:
    """People of whose clicks only a share is left, whichever."""

    people: ClickModel
    share: float

    def clicks(self, shown: Sequence[str], wanted: str, grades: Mapping[str, int], random: Random) -> list[int]:
        """See `ClickModel`."""
        return [at for at in self.people.clicks(shown, wanted, grades, random) if random.random() < self.share]


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
def uncorrected() -> Iterator[None]:
    """The correction is switched off."""
    with (
        mock.patch.object(Examination, "closed", return_value=None),
        mock.patch.object(ranker_learner, "looked_at", return_value=1.0),
    ):
        yield


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of one system: nDCG@10 on the held-out queries with its own memory, on the queries searched often, and
    on the held-out ones with the memory of the unbiased clicks; the power of the bias as the learner sees it in the
    end, and how many clicks it learned from."""

    own: float
    often: float
    alike: float
    power: float
    clicks: int

    def less(self, other: Learned) -> Learned:
        """By how much all of it is more than another's."""
        return Learned(*(ours - theirs for ours, theirs in zip(astuple(self), astuple(other), strict=True)))


async def measure(found: Scene, recording: Recording, seed: int, poor: bool) -> dict[str, Learned]:
    """What each system learned from one stream; `poor`: from the pages of a poor ranker."""
    searches = stream(found.learning, SEARCHES, seed)
    often = searched_often(searches)
    judged = {need.id: dict(need.grades) for need in found.held_out}
    wanted = {need.id: {id: round(GAIN_SCALE * share) for id, share in tastes(need).items()} for need in often}

    async def ranked(on: Stage, needs: Sequence[Need], qrels: Mapping[str, Mapping[str, int]]) -> float:
        await on.learner.publish()
        found_ = await held_out(on, needs, searches[-1].time_s)
        return float(ir_measures.calc_aggregate([nDCG @ 10], qrels, found_)[nDCG @ 10])

    stages: dict[str, Stage] = {}
    figures: dict[str, tuple[float, float]] = {}
    async with AsyncExitStack() as opened:
        for system in SYSTEMS:
            people: ClickModel = BIASED if system in {CORRECTED, NOT_CORRECTED} else UNBIASED
            if system == AS_MANY:
                biased, unbiased = (stages[one].learner.ranker.actions for one in (CORRECTED, UNBIASED_CLICKS))
                people = Thinned(UNBIASED, biased / unbiased)
            pages = Pages(poor)
            linear = System(system, "full_depth", pages, swap_share=SWAP_SHARE)
            on = stages[system] = await opened.enter_async_context(stage(linear, found, recording, seed))
            with nullcontext() if system == CORRECTED else uncorrected():
                await run(on, searches, seed, people)
                await on.learn()
                pages.poor = False
                figures[system] = await ranked(on, found.held_out, judged), await ranked(on, often, wanted)
        on, learned = stages[UNBIASED_CLICKS], {}
        for system, ranker in {system: each.learner.ranker for system, each in stages.items()}.items():
            on.learner.ranker = ranker
            alike = await ranked(on, found.held_out, judged)
            learned[system] = Learned(*figures[system], alike, ranker.examination.power, ranker.actions)
    return learned


def searched_often(searches: Sequence[Search]) -> list[Need]:
    """The needs that were searched `OFTEN` times or more, each once."""
    needs = {search.need.id: search.need for search in searches}
    counts = Counter(search.need.id for search in searches)
    return [need for id, need in needs.items() if counts[id] >= OFTEN]


def _told(collection: str, pages: str, system: str, each: Sequence[Learned]) -> tuple[list[dict[str, object]], str]:
    """The rows and the table's line of one system."""
    rows: list[dict[str, object]] = []
    cells = []
    for scenario, values in (
        (f"position bias, pages {pages}, searched often", [one.often for one in each]),
        (f"position bias, pages {pages}, own memory", [one.own for one in each]),
        (f"position bias, pages {pages}", [one.alike for one in each]),
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
        "| collection | pages | learned from | nDCG@10, searched often | held out"
        " | held out, with the unbiased clicks' memory | clicks | power of the bias |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in ("chorus-icecat",) if os.environ.get("QUICK") else ("chorus-icecat", "scifact"):
        found = scene(name)
        if found is None:
            print(f"{name}: skipped, it is not there")
            continue
        recording = record(found)
        for pages, poor in (("its own", False), ("of a poor ranker", True)):
            measured = [asyncio.run(measure(found, recording, seed, poor)) for seed in SEEDS]
            systems = {system: [one[system] for one in measured] for system in SYSTEMS}
            for ours, theirs in COMPARED:  # within seeds, which differ more than systems do
                systems[f"{ours}, less {theirs}"] = [one[ours].less(one[theirs]) for one in measured]
            for system, each in systems.items():
                told, line = _told(name, pages, system, each)
                rows += told
                lines.append(line)
                print(line, flush=True)
    if rows:
        (RESULTS / "position_bias.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        (RESULTS / "position_bias.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

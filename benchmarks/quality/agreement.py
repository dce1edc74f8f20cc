"""Do recorded retrieval and the running services tell the same? One stream, searched on both.

Every search is followed by a click on the document wanted, learned from before the next search, under the greedy
policy and without swaps, so that nothing is left to chance: once over recorded lexical and vector answers with the
benchmark's lists in place of Redis streams, once through the public API of the whole system in one process. Writes
benchmarks/results/agreement.json and .md.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import structlog

from benchmarks.quality.needs import CACHE, Scene, scene
from benchmarks.quality.recording import BATCH, Recording, record
from benchmarks.quality.simulation import System, stage
from benchmarks.quality.streams import Search, stream
from honeyguide_orchestrator.event_stream import Event
from honeyguide_standalone.click_log import LoggedAction
from honeyguide_standalone.engine import Engine
from honeyguide_standalone.replay import ReplayOptions, replay

RESULTS = Path(__file__).resolve().parents[1] / "results"
SEARCHES = 500
SEED = 1
AS_IN_SIMULATION = {
    "HONEYGUIDE_ORCHESTRATOR_POLICY": "greedy",
    "HONEYGUIDE_ORCHESTRATOR_SWAP_SHARE": "0",
    "HONEYGUIDE_ORCHESTRATOR_TREES": "false",
    "HONEYGUIDE_ORCHESTRATOR_LEARN_INTERVAL_S": "0.002",
    "HONEYGUIDE_ORCHESTRATOR_SNAPSHOT_INTERVAL_S": "0.002",
    "HONEYGUIDE_ORCHESTRATOR_REFRESH_INTERVAL_S": "0.002",
    "HONEYGUIDE_VECTOR_QUERY_BATCH_MAX": "1",
    "HONEYGUIDE_VECTOR_CACHE_DIR": str(CACHE / "vector"),
}


async def recorded(found: Scene, recording: Recording, searches: Sequence[Search]) -> list[int]:
    """Positions of the wanted documents, 0 = not among the first ten."""
    positions = []
    async with stage(System("greedy", "greedy", swap_share=0.0), found, recording, SEED) as on:
        for search in searches:
            shown = await on.search(search.need.query, search.time_s)
            first = shown.document_ids[:10]
            positions.append(first.index(search.wanted) + 1 if search.wanted in first else 0)
            event = Event(
                id=str(search.number),
                decision_id=shown.id,
                document_id=search.wanted,
                action="click",
                time_s=search.time_s,
            )
            on.events.add(event)
            await on.learn()
    return positions


async def running(found: Scene, searches: Sequence[Search]) -> list[int]:
    """The same through the public API."""
    actions = [LoggedAction(s.number + 1, s.time_s, s.need.query, s.wanted) for s in searches]
    with tempfile.TemporaryDirectory() as folder:
        async with Engine(Path(folder)) as engine:
            await engine.api.configure(found.configuration)
            for begin in range(0, len(found.documents), BATCH):
                await engine.api.index(found.documents[begin : begin + BATCH])
            replayed = await replay(engine.api, actions, len(actions), ReplayOptions(first=10, wait=True))
    return replayed.positions


def main() -> None:
    """Measures, and writes what came of it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    os.environ.update(AS_IN_SIMULATION)
    found = scene("scifact") or scene("films")
    if found is None:
        raise SystemExit("there is no collection to compare on")
    searches = stream(found.learning, SEARCHES, SEED)
    by_system = {
        "recorded": np.array(asyncio.run(recorded(found, record(found), searches))),
        "running": np.array(asyncio.run(running(found, searches))),
    }
    rows = []
    for system, positions in by_system.items():
        mrr = float(np.where(positions > 0, 1 / np.maximum(positions, 1), 0).mean())
        rows.append(
            {
                "collection": found.name,
                "scenario": "agreement",
                "system": system,
                "metric": "mrr@10",
                "value": round(mrr, 4),
                "low": None,
                "high": None,
                "seeds": 1,
                "searches": SEARCHES,
            }
        )
    same = float((by_system["recorded"] == by_system["running"]).mean())
    rows.append({**rows[0], "system": "both", "metric": "same_position", "value": round(same, 4)})
    (RESULTS / "agreement.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    text = (
        f"{found.name}, {SEARCHES} searches: MRR@10 {rows[0]['value']:.4f} recorded, {rows[1]['value']:.4f} running; "
        f"the wanted document stood at the same position in {same:.1%} of the searches.\n"
    )
    (RESULTS / "agreement.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()

"""Four sessions in one process: a warm-up, two rankings interleaved, two policies split, and a policy in shadow.

    python docs/examples/experiment.py [searches of each session]

Simulated users (nobody real) search a few hundred films. The sessions' settings are those that `honeyguide up` reads,
and what is printed is what `honeyguide report` prints.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import time_to_proto
from honeyguide_standalone import films
from honeyguide_standalone.api import Api
from honeyguide_standalone.catalog import read_catalog
from honeyguide_standalone.commands.report import print_evidence
from honeyguide_standalone.commands.session import console
from honeyguide_standalone.demo.simulation import Clock, Simulation
from honeyguide_standalone.demo.users import SimulatedUser
from honeyguide_standalone.demo.world import read_world
from honeyguide_standalone.engine import Engine
from honeyguide_standalone.ingest import sample_documents

FILMS, OTHERS = 500, 300
USERS = 1_000
BEGIN_S = 1_700_000_000.0
STEP_S = 20.0
PAUSE_S = 86_400.0
EXPERIMENT = "HONEYGUIDE_ORCHESTRATOR_EXPERIMENT"
SHADOW = "HONEYGUIDE_ORCHESTRATOR_SHADOW_POLICY"
SESSIONS: tuple[Mapping[str, str], ...] = (
    {},
    {EXPERIMENT: '{"name": "ranking", "mode": "interleave", "a": {"ranker": "fusion"}, "b": {"ranker": "gated"}}'},
    {EXPERIMENT: '{"name": "retrieval", "mode": "split", "a": {"policy": "safe"}, "b": {"policy": "squarecb"}}'},
    {SHADOW: "greedy"},
)


def write_small_catalogue(path: Path) -> None:
    """Writes the best-known films, and the best-known of everything else."""
    films.write_jsonl(path)
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    records.sort(key=lambda record: -record["popularity"])
    some = [record for record in records if record["type"] == "film"][:FILMS]
    some += [record for record in records if record["type"] != "film"][:OTHERS]
    path.write_text("".join(json.dumps(record) + "\n" for record in some), encoding="utf-8")


async def index(api: Api, catalogue: Path) -> None:
    """Puts the catalogue in, and waits until it can be searched."""
    films.write_configuration(catalogue.with_suffix(".yaml"))
    await api.configure(read_catalog(catalogue.with_suffix(".yaml")).to_proto())
    await api.index(sample_documents(catalogue))
    await asyncio.sleep(3)


async def run(catalogue: Path, api: Api, number: int, searches: int) -> None:
    """Lets users search, and prints the report once all their searches count."""
    begin = number * searches
    clock = Clock(BEGIN_S + begin * STEP_S + number * PAUSE_S, STEP_S)
    world = read_world(catalogue)
    users = [SimulatedUser(world, user, seed=1, begin=begin) for user in range(USERS)]
    await Simulation(api, users, 1, begin, clock).teach(searches)
    # Time goes on: all windows close.
    later = document_pb2.Context(time=time_to_proto(clock.at(searches) + PAUSE_S / 2))
    await api.search("", context=later, policy="safe")
    while True:
        if (await api.policy()).decisions >= (number + 1) * (searches + 1):
            break
        await asyncio.sleep(1)
    print_evidence(await api.evidence())


async def main(searches: int) -> None:
    """All sessions over one data folder: what was learned in one, the next begins with."""
    with tempfile.TemporaryDirectory() as folder:
        catalogue = Path(folder, "films.jsonl")
        write_small_catalogue(catalogue)
        for stage in ("UNDERSTAND", "RETRIEVE", "FETCH"):  # a busy machine makes no strategy late
            os.environ[f"HONEYGUIDE_ORCHESTRATOR_{stage}_TIMEOUT_S"] = "10"
        for number, settings in enumerate(SESSIONS):
            for name in (EXPERIMENT, SHADOW):
                os.environ.pop(name, None)
            os.environ.update(settings)
            told = [f"{name}='{value}'" for name, value in settings.items()]
            console.print(f"\n=== {' '.join(told) or 'no experiment'}", markup=False, soft_wrap=True)
            async with Engine(Path(folder, "data")) as engine:
                if number == 0:
                    await index(engine.api, catalogue)
                await run(catalogue, engine.api, number, searches)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000))

"""The graph on disk: saved whole, with the rows it holds and the journal's number it was saved at."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from honeyguide_vector.graph import Graph, GraphShape

log = structlog.get_logger("honeyguide.vector.saved_graph")

_PREFIX = "graph-"
_MAKING = "making-"


@dataclass(frozen=True, slots=True)
class SavedRows:
    """The journal's number at which a graph was saved, and the row of every document then."""

    sequence: int
    rows: Mapping[str, int]


def save_graph(folder: Path, graph: Graph, shape: GraphShape, saved: SavedRows) -> None:
    """Saves a graph beside the one before, then takes its place: a crash leaves one of the two whole."""
    making = folder / f"{_MAKING}{saved.sequence:020d}"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    graph.save(making / "graph.usearch")
    (making / "rows.json").write_text(
        json.dumps({"shape": asdict(shape), "sequence": saved.sequence, "rows": dict(saved.rows)})
    )
    for path in (making / "graph.usearch", making / "rows.json", making):
        _sync(path)
    place = folder / f"{_PREFIX}{saved.sequence:020d}"
    shutil.rmtree(place, ignore_errors=True)
    os.replace(making, place)
    _sync(folder)
    for other in _saved(folder):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)


def load_graph(folder: Path, graph: Graph, shape: GraphShape) -> SavedRows | None:
    """Loads the newest graph saved under this shape into `graph`; None if there is none that can be read."""
    for leftover in folder.glob(f"{_MAKING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for place in reversed(_saved(folder)):
        try:
            content = json.loads((place / "rows.json").read_text())
            if content["shape"] != asdict(shape):
                log.info("saved graph has another shape and is built anew", saved=content["shape"])
                continue
            graph.load(place / "graph.usearch")
            if len(graph) != len(content["rows"]):
                raise ValueError(f"{len(graph)} vectors for {len(content['rows'])} rows")
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            graph.clear()
            log.warning("saved graph cannot be read and is built anew", place=place.name, error=str(error))
            continue
        return SavedRows(content["sequence"], content["rows"])
    return None


def _saved(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_PREFIX}*"))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The graph and the collection over it on disk: saved whole, with the journal's number that they were saved at.

What a search needs of a document besides its vector is saved beside the graph, in arrays: to read a million documents
from the journal again would take minutes.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import structlog

from honeyguide_vector.postings import PostingLists, Term
from honeyguide_vector.segmented_graph import SegmentedGraph

log = structlog.get_logger("honeyguide.vector.saved_graph")

_PREFIX = "graph-"
_MAKING = "making-"


@dataclass(frozen=True, slots=True)
class Held:
    """What a collection holds of n rows: id ("" = a free row), type, popularity and days since 1970-01-01."""

    ids: list[str]
    types: list[str]
    popularity: npt.NDArray[np.float32]
    created_day: npt.NDArray[np.float32]
    postings: PostingLists


@dataclass(frozen=True, slots=True)
class Saved:
    """The journal's number at which a collection was saved, and what it held then."""

    sequence: int
    held: Held


def save_graph(folder: Path, graph: SegmentedGraph, saved: Saved) -> None:
    """Saves beside the one before, then takes its place: a crash leaves one of the two whole.

    Raises:
        OSError: it cannot be written; nothing is left of it then.
    """
    making = folder / f"{_MAKING}{saved.sequence:020d}"
    making.mkdir(parents=True)
    try:
        _write(making, graph, saved)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    place = folder / f"{_PREFIX}{saved.sequence:020d}"
    shutil.rmtree(place, ignore_errors=True)
    os.replace(making, place)
    _sync(folder)
    graph.saved(place)
    for other in _saved(folder):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)


def _write(making: Path, graph: SegmentedGraph, saved: Saved) -> None:
    graph.save(making)
    held = saved.held
    codes = {name: code for code, name in enumerate(dict.fromkeys(held.types))}
    np.savez(
        making / "columns.npz",
        types=np.fromiter(map(codes.__getitem__, held.types), np.int32, len(held.types)),
        popularity=held.popularity,
        created_day=held.created_day,
        counts=held.postings.counts,
        rows=held.postings.rows,
    )
    content = {
        "shape": asdict(graph.shape),
        "sequence": saved.sequence,
        "ids": held.ids,
        "types": list(codes),
        "terms": held.postings.terms,
    }
    (making / "rows.json").write_text(json.dumps(content))
    for path in (*making.iterdir(), making):
        _sync(path)


def load_graph(folder: Path, graph: SegmentedGraph, newest: int) -> Saved | None:
    """Loads the newest that was saved under this shape, the graphs into `graph`; None if there is none to be read.

    What was saved after the journal's number `newest` is of a journal that is lost.
    """
    for leftover in folder.glob(f"{_MAKING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for place in reversed(_saved(folder)):
        try:
            content = json.loads((place / "rows.json").read_text())
            if content["shape"] != asdict(graph.shape):
                log.info("saved graph has another shape and is built anew", saved=content["shape"])
                continue
            if content["sequence"] > newest:
                log.warning("saved graph is newer than the journal and is built anew", place=place.name)
                continue
            held = _held(place, content)
            graph.load(place)
            rows = sum(map(bool, held.ids))
            if len(graph) != rows:
                raise ValueError(f"{len(graph)} vectors for {rows} rows")
        except (OSError, EOFError, ValueError, LookupError, RuntimeError, BadZipFile) as error:
            graph.clear()
            log.warning("saved graph cannot be read and is built anew", place=place.name, error=str(error))
            shutil.rmtree(place, ignore_errors=True)
            continue
        return Saved(content["sequence"], held)
    return None


def _held(place: Path, content: dict[str, list[str]]) -> Held:
    with np.load(place / "columns.npz") as columns:
        types = [content["types"][code] for code in columns["types"].tolist()]
        terms = [Term(*term) for term in content["terms"]]
        lists = PostingLists(terms, columns["counts"], columns["rows"])
        return Held(content["ids"], types, columns["popularity"], columns["created_day"], lists)


def _saved(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_PREFIX}*"))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The HNSW graph: approximate nearest neighbours by cosine (Malkov and Yashunin 2018, arXiv:1603.09320), by usearch.

How usearch 2.26 behaves, as tried: a key added twice raises; a removed key is gone from results at once and its slot
is taken by a later addition; the search's expansion is not saved with the graph; a file cut short raises on loading;
adding and searching release the interpreter's lock, saving and loading do not; reading a vector back takes 1 us.

usearch's wheel carries a C++ standard library of its own and exports symbols of it, which makes onnxruntime crash the
process if it is loaded after usearch. The other way round both work.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import onnxruntime  # noqa: F401  must come before usearch, see above
from usearch.index import Index

Rows = npt.NDArray[np.int64]
Quantised = npt.NDArray[np.int8]
"""Vectors, the last axis, as whole numbers to ±127 of any scale: their cosine does not see it."""


@dataclass(frozen=True, slots=True)
class GraphShape:
    """What graphs are built with; saved ones are used again only under the same shape.

    `m` links a vector, `ef_construction` candidates looked at when adding one; a graph for every `segment_rows` rows;
    `numbers` is how vectors are held.
    """

    dimension: int
    m: int
    ef_construction: int
    segment_rows: int
    numbers: str = "int8"


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Rows, nearest first, and how far they are: 1 less the cosine."""

    rows: Rows
    distances: npt.NDArray[np.float32]


class Graph:
    """Quantised vectors by row number: nobody keeps them otherwise."""

    def __init__(self, shape: GraphShape, threads: int) -> None:
        self._threads = threads
        self._index = Index(
            ndim=shape.dimension,
            metric="cos",
            dtype="i8",
            connectivity=shape.m,
            expansion_add=shape.ef_construction,
            expansion_search=1,  # as many as a search asks for
        )

    def __len__(self) -> int:
        return len(self._index)

    @property
    def memory_bytes(self) -> int:
        """Memory taken."""
        return int(self._index.memory_usage)

    def add(self, rows: Rows, vectors: Quantised) -> None:
        """Adds vectors under rows that it does not hold, each once."""
        self._index.add(rows.astype(np.uint64), vectors, threads=min(self._threads, len(rows)))

    def remove(self, rows: Rows) -> None:
        """Removes rows; those not held do not matter."""
        self._index.remove(rows.astype(np.uint64))

    def nearest(self, vector: Quantised, count: int, looked_at: int) -> Neighbours:
        """About the `count` nearest rows, of so many looked at; fewer if fewer are held or reached."""
        if not len(self._index):
            return Neighbours(np.empty(0, np.int64), np.empty(0, np.float32))
        found = self._index.search(vector, max(count, looked_at), threads=1)
        return Neighbours(found.keys[:count].astype(np.int64), found.distances[:count])

    def vectors(self, rows: Rows) -> Quantised:
        """The vectors of rows that it holds, [n, dimension]."""
        read = cast(tuple[Quantised, ...], self._index.get(rows.astype(np.uint64), "i8"))
        return np.concatenate([np.empty(0, np.int8), *read]).reshape(len(rows), self._index.ndim)

    def save(self, path: Path) -> None:
        """Writes the graph to a file; not atomic by itself.

        Raises:
            OSError: it cannot be written.
        """
        try:
            self._index.save(str(path))
        except RuntimeError as error:
            raise OSError(f"{path}: {error}") from error

    def load(self, path: Path) -> None:
        """Reads a graph of the same shape back.

        Raises:
            RuntimeError: the file is not what was saved.
        """
        self._index.load(str(path))

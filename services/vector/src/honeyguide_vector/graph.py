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

from honeyguide_vector.encoder import Vectors

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GraphShape:
    """What a graph is built with; a saved one is used again only under the same shape.

    `m` links a vector, `ef_construction` candidates looked at when adding one.
    """

    dimension: int
    m: int
    ef_construction: int


class Graph:
    """Vectors by row number, in half precision: nobody keeps them otherwise. Of unit length, to 3 digits."""

    def __init__(self, shape: GraphShape, ef_search: int, threads: int) -> None:
        self.ef_search = ef_search
        self._threads = threads
        self._index = Index(
            ndim=shape.dimension,
            metric="ip",  # the cosine of what is of unit length, in four fifths of the time that usearch's own takes
            dtype="f16",
            connectivity=shape.m,
            expansion_add=shape.ef_construction,
            expansion_search=ef_search,
        )

    def __len__(self) -> int:
        return len(self._index)

    @property
    def memory_bytes(self) -> int:
        """Memory taken."""
        return int(self._index.memory_usage)

    def add(self, rows: Rows, vectors: Vectors) -> None:
        """Adds vectors under rows that it does not hold, each once."""
        self._index.add(rows.astype(np.uint64), vectors, threads=min(self._threads, len(rows)))

    def remove(self, rows: Rows) -> None:
        """Removes rows; those not held do not matter."""
        self._index.remove(rows.astype(np.uint64))

    def nearest(self, vector: Vectors, count: int) -> Rows:
        """About the `count` nearest rows, nearest first; fewer if fewer are held or reached."""
        if not len(self._index):
            return np.empty(0, np.int64)
        return np.asarray(self._index.search(vector, count, threads=1).keys, dtype=np.int64)

    def vectors(self, rows: Rows) -> Vectors:
        """The vectors of rows that it holds, [n, dimension], as precise as it has them."""
        read = cast(tuple[Vectors, ...], self._index.get(rows.astype(np.uint64), "f32"))
        return np.concatenate([np.empty(0, np.float32), *read]).reshape(len(rows), self._index.ndim)

    def has(self, row: int, vector: Vectors) -> bool:
        """Whether adding the vector under a row that it holds would change nothing."""
        return bool(np.array_equal(self.vectors(np.array([row]))[0], vector.astype(np.float16)))

    def save(self, path: Path) -> None:
        """Writes the graph to a file; not atomic by itself."""
        self._index.save(str(path))

    def load(self, path: Path) -> None:
        """Reads a graph of the same shape back.

        Raises:
            RuntimeError: the file is not what was saved.
        """
        self._index.load(str(path))

    def clear(self) -> None:
        """Drops all vectors."""
        self._index.reset()  # type: ignore[no-untyped-call]

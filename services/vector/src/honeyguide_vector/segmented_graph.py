"""Several graphs, each over a range of rows, as full-text indexes have segments.

Numbers of vectors are held in eight bits, a vector scaled by its own largest (scalar quantisation): a quarter of the
memory of single precision, two thirds of the time of half precision.

A graph takes longer to extend the larger it is. So documents are taken in at the same pace however many there are, and
only graphs that changed are saved again. In return a search asks every graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from honeyguide_vector.encoder import Vectors
from honeyguide_vector.graph import Graph, GraphShape, Neighbours, Quantised, Rows

LARGEST = 127
# How many times its share of the neighbours a graph is asked for at first: documents that came together are alike.
MARGIN = 2


@dataclass(frozen=True, slots=True)
class _Asked:
    """How many neighbours each graph is asked for at first, and how many it looks at for that."""

    count: int
    looked_at: int


@dataclass(frozen=True, slots=True)
class _Merged:
    """Rows, nearest first, and the numbers of the segments that they are in."""

    rows: Rows
    segments: npt.NDArray[np.int64]


class SegmentedGraph:
    """Vectors of unit length by row number. Their cosines are off by some .0004."""

    def __init__(self, shape: GraphShape, ef_search: int, threads: int) -> None:
        self.shape = shape
        self._ef_search, self._threads = ef_search, threads
        self._segments: list[Graph] = []
        self._changed: list[bool] = []
        self._saved_in: Path | None = None

    def __len__(self) -> int:
        return sum(map(len, self._segments))

    @property
    def memory_bytes(self) -> int:
        """Memory taken."""
        return sum(segment.memory_bytes for segment in self._segments)

    def neighbours_looked_at(self, count: int) -> int:
        """About how many neighbours it looks at to find so many."""
        return len(self._segments) * self._asked(count).looked_at

    def add(self, rows: Rows, vectors: Vectors) -> None:
        """Adds vectors under rows that it does not hold, each once."""
        while len(self._segments) <= rows.max() // self.shape.segment_rows:
            self._append_segment()
        for number, places in self._by_segment(rows):
            self._changed[number] = True
            self._segments[number].add(rows[places], _quantised(vectors[places]))

    def remove(self, rows: Rows) -> None:
        """Removes rows; those not held do not matter."""
        for number, places in self._by_segment(rows):
            if number < len(self._segments):
                self._changed[number] = True
                self._segments[number].remove(rows[places])

    def nearest(self, vector: Vectors, count: int) -> Rows:
        """About the `count` nearest rows, nearest first; fewer if fewer are held or reached."""
        asked, sought = self._asked(count), _quantised(vector)
        found = [segment.nearest(sought, asked.count, asked.looked_at) for segment in self._segments]
        if len(found) == 1:
            return found[0].rows
        if asked.count < count:
            # A graph of which all neighbours are among the nearest may have more of them.
            from_each = np.bincount(_nearest(found, count).segments, minlength=len(found))
            for number in np.flatnonzero(from_each == asked.count).tolist():
                found[number] = self._segments[number].nearest(sought, count, max(count, self._ef_search))
        return _nearest(found, count).rows

    def vectors(self, rows: Rows) -> Vectors:
        """The vectors of rows that it holds, [n, dimension], as precise as it has them."""
        read = np.empty((len(rows), self.shape.dimension), np.float32)
        for number, places in self._by_segment(rows):
            read[places] = self._segments[number].vectors(rows[places])
        lengths = np.sqrt(np.einsum("ij,ij->i", read, read))
        read /= np.where(lengths, lengths, 1.0)[:, np.newaxis]
        return read

    def has(self, row: int, vector: Vectors) -> bool:
        """Whether adding the vector under a row that it holds would change nothing."""
        (held,) = self._segments[row // self.shape.segment_rows].vectors(np.array([row]))
        return bool(np.array_equal(held, _quantised(vector)))

    def save(self, folder: Path) -> None:
        """Writes a file for each graph; those that did not change since they were saved or loaded are linked to.

        Raises:
            OSError: a file cannot be written.
        """
        before = self._saved_in
        for number, (segment, changed) in enumerate(zip(self._segments, self._changed, strict=True)):
            path = folder / _name(number)
            if changed or before is None or not _linked(before / path.name, path):
                segment.save(path)

    def saved(self, folder: Path) -> None:
        """Tells where what was written last is now; it is linked to from there from now on."""
        self._changed = [False] * len(self._segments)
        self._saved_in = folder

    def load(self, folder: Path) -> None:
        """Reads what was saved under the same shape back.

        Raises:
            RuntimeError: a file is not what was saved.
        """
        self.clear()
        while (path := folder / _name(len(self._segments))).exists():
            self._append_segment()
            self._segments[-1].load(path)
        self.saved(folder)

    def clear(self) -> None:
        """Drops all vectors."""
        self._segments, self._changed, self._saved_in = [], [], None

    def _append_segment(self) -> None:
        self._segments.append(Graph(self.shape, self._threads))
        self._changed.append(True)

    def _by_segment(self, rows: Rows) -> Iterator[tuple[int, npt.NDArray[np.bool_] | slice]]:
        """Numbers of the segments that rows belong to, and which of the rows."""
        numbers = rows // self.shape.segment_rows
        distinct = set(numbers.tolist())
        for number in distinct:
            yield number, slice(None) if len(distinct) == 1 else numbers == number

    def _asked(self, count: int) -> _Asked:
        """A graph's share of what is wanted of all, with as much effort for each."""
        share = min(count, MARGIN * count // max(len(self._segments), 1) + MARGIN)
        return _Asked(share, max(count, self._ef_search) * share // count)


def _quantised(vectors: Vectors) -> Quantised:
    """Each vector (the last axis) scaled by its largest number; zeros stay zeros."""
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    return np.rint(vectors * (LARGEST / np.where(largest, largest, 1.0))).astype(np.int8)


def _nearest(found: Sequence[Neighbours], count: int) -> _Merged:
    """The nearest of what several graphs found."""
    rows = np.concatenate([np.empty(0, np.int64), *(neighbours.rows for neighbours in found)])
    distances = np.concatenate([np.empty(0, np.float32), *(neighbours.distances for neighbours in found)])
    segments = np.repeat(np.arange(len(found)), np.array([len(neighbours.rows) for neighbours in found], np.int64))
    nearest = np.argsort(distances, kind="stable")[:count]
    return _Merged(rows[nearest], segments[nearest])


def _name(number: int) -> str:
    return f"segment-{number:05d}.usearch"


def _linked(held: Path, path: Path) -> bool:
    """Whether the file could be linked to: not every file system knows links."""
    try:
        path.hardlink_to(held)
    except OSError:
        return False
    return True

"""The seam between texts and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


class Encoder(Protocol):
    """Turns texts into embeddings. Called from threads, several at a time."""

    @property
    def dimension(self) -> int:
        """Numbers in one embedding."""
        ...

    @property
    def identity(self) -> str:
        """Names everything that an embedding depends on beside the text; another identity means other embeddings."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embeddings of unit length, one row a text; blank texts have one too."""
        ...


def unit(vectors: Vectors) -> Vectors:
    """The vectors (the last axis) at length 1, however long or short they were; zeros stay zeros."""
    wide = vectors.astype(np.float64)  # squares of float32 numbers leave its range
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    return np.asarray(wide / np.where(lengths, lengths, 1.0), dtype=np.float32)

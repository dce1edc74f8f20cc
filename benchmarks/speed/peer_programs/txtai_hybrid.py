"""txtai: its BM25 and faiss's HNSW, fused by reciprocal ranks, which is what it does with scores not normalised.

Installed as txtai_minimal, which needs no PyTorch: vectors come from outside. It looks ten times as deep as a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
from txtai import Embeddings

from benchmarks.speed.peer_programs.answering import DEPTH, PAGE, answer


class Txtai:
    """See `Peer`."""

    def __init__(
        self,
        folder: Path,
        documents: list[dict[str, str]],
        vectors: np.ndarray,
        queries: Sequence[str],
        embedded: np.ndarray,
    ) -> None:
        texts = [f"{one['title']} {one['text']}" for one in documents]
        known = {**dict(zip(texts, vectors, strict=True)), **dict(zip(queries, embedded, strict=True))}
        self._embeddings = Embeddings(
            method="external",
            transform=lambda wanted: np.stack([known[text] for text in wanted]),
            scoring={"method": "bm25", "terms": True, "normalize": False},
            hybrid=True,
            backend="faiss",
            faiss={"components": "IDMap,HNSW32"},
        )
        self._embeddings.index((one["id"], text, None) for one, text in zip(documents, texts, strict=True))
        self._graph = faiss.downcast_index(self._embeddings.ann.backend.index).hnsw
        self._ids = self._embeddings.ids

    def by_vector(self, vector: np.ndarray, effort: int) -> list[str]:
        """See `Peer`."""
        self._graph.efSearch = effort
        return [self._ids[row] for row, _ in self._embeddings.ann.search(vector[np.newaxis], DEPTH)[0]]

    def hybrid(self, query: str, vector: np.ndarray, effort: int) -> list[str]:
        """See `Peer`."""
        self._graph.efSearch = effort
        return [id for id, _ in self._embeddings.search(query, PAGE)]


if __name__ == "__main__":
    answer(Txtai)

"""LanceDB: its full text and its vectors (IVF, HNSW, scalar-quantised), fused by its own reciprocal-rank reranker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.query import LanceHybridQueryBuilder, LanceVectorQueryBuilder
from lancedb.rerankers import RRFReranker

from benchmarks.speed.peer_programs.answering import DEPTH, PAGE, RECIPROCAL_RANK_K, answer

PROBES = 20


class LanceDb:
    """See `Peer`."""

    def __init__(
        self,
        folder: Path,
        documents: list[dict[str, str]],
        vectors: np.ndarray,
        queries: Sequence[str],
        embedded: np.ndarray,
    ) -> None:
        columns = pa.table(
            {
                "id": [one["id"] for one in documents],
                "body": [f"{one['title']} {one['text']}" for one in documents],
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
            }
        )
        self._table = lancedb.connect(folder).create_table("documents", columns)
        self._table.create_fts_index("body", with_position=False)
        self._table.create_index("cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ")
        self._reranker = RRFReranker(RECIPROCAL_RANK_K)

    def by_vector(self, vector: np.ndarray, effort: int) -> list[str]:
        """See `Peer`."""
        return self._found(self._table.search(vector), effort)

    def hybrid(self, query: str, vector: np.ndarray, effort: int) -> list[str]:
        """See `Peer`."""
        search = self._table.search(query_type="hybrid").vector(vector).text(query).rerank(self._reranker)
        return self._found(search, effort)[:PAGE]

    @staticmethod
    def _found(search: LanceVectorQueryBuilder | LanceHybridQueryBuilder, effort: int) -> list[str]:
        tuned = search.distance_type("cosine").ef(effort).nprobes(PROBES)
        found: list[str] = tuned.select(["id"]).limit(DEPTH).to_arrow().column("id").to_pylist()
        return found


if __name__ == "__main__":
    answer(LanceDb)

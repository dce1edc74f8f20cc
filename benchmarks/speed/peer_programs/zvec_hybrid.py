"""zvec: its full text and HNSW, as one query of two parts, fused by its own reciprocal-rank reranker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import zvec

from benchmarks.speed.peer_programs.answering import DEPTH, PAGE, RECIPROCAL_RANK_K, answer

BATCH = 1_000
GRAPH = {"m": 16, "ef_construction": 200, "use_contiguous_memory": True}


class Zvec:
    """See `Peer`."""

    def __init__(
        self,
        folder: Path,
        documents: list[dict[str, str]],
        vectors: np.ndarray,
        queries: Sequence[str],
        embedded: np.ndarray,
    ) -> None:
        self._ids = [one["id"] for one in documents]  # zvec's own may not hold every character
        schema = zvec.CollectionSchema(
            "documents",
            [
                zvec.FieldSchema(
                    "body",
                    zvec.DataType.STRING,
                    index_param=zvec.FtsIndexParam(filters=["lowercase", "stemmer"]),
                ),
            ],
            [
                zvec.VectorSchema(
                    "dense",
                    zvec.DataType.VECTOR_FP32,
                    vectors.shape[1],
                    zvec.HnswIndexParam(zvec.MetricType.COSINE, **GRAPH),
                ),
            ],
        )
        self._collection = zvec.create_and_open(str(folder), schema)
        made = [
            zvec.Doc(str(number), vectors={"dense": vector}, fields={"body": f"{one['title']} {one['text']}"})
            for number, (one, vector) in enumerate(zip(documents, vectors, strict=True))
        ]
        for begin in range(0, len(made), BATCH):
            self._collection.insert(made[begin : begin + BATCH])
        self._collection.optimize()
        self._reranker = zvec.RrfReRanker(RECIPROCAL_RANK_K)

    def by_vector(self, vector: np.ndarray, effort: int) -> list[str]:
        """See `Peer`."""
        return self._found([self._nearest(vector, effort)])

    def hybrid(self, query: str, vector: np.ndarray, effort: int) -> list[str]:
        """See `Peer`."""
        text = zvec.Query("body", fts=zvec.Fts(match_string=query))
        return self._found([text, self._nearest(vector, effort)], self._reranker)[:PAGE]

    @staticmethod
    def _nearest(vector: np.ndarray, effort: int) -> zvec.Query:
        return zvec.Query("dense", vector=vector, param=zvec.HnswQueryParam(ef=effort))

    def _found(self, queries: Sequence[zvec.Query], reranker: zvec.RrfReRanker | None = None) -> list[str]:
        found = self._collection.query(queries, topk=DEPTH, output_fields=[], reranker=reranker)
        return [self._ids[int(one.id)] for one in found]


if __name__ == "__main__":
    answer(Zvec)

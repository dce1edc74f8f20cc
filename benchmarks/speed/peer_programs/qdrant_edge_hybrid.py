"""Qdrant Edge: BM25 over its text index and HNSW, as prefetches of one query, fused by its own reciprocal ranks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeVectorParams,
    Fusion,
    HnswIndexConfig,
    Point,
    Prefetch,
    Query,
    QueryRequest,
    SearchParams,
    SnowballLanguage,
    SnowballParams,
    TextIndexParams,
    TextQuery,
    UpdateOperation,
)

from benchmarks.speed.peer_programs.answering import DEPTH, PAGE, RECIPROCAL_RANK_K, answer

VECTOR, BODY = "dense", "body"
BATCH = 1_000
GRAPH = HnswIndexConfig(m=16, ef_construct=128, full_scan_threshold=1)


class QdrantEdge:
    """See `Peer`."""

    def __init__(
        self,
        folder: Path,
        documents: list[dict[str, str]],
        vectors: np.ndarray,
        queries: Sequence[str],
        embedded: np.ndarray,
    ) -> None:
        folder.mkdir()
        self._ids = [one["id"] for one in documents]
        config = EdgeConfig(
            vectors={VECTOR: EdgeVectorParams(vectors.shape[1], Distance.Cosine)},
            hnsw_config=GRAPH,
            optimizers=EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1),
        )
        self._shard = EdgeShard.create(str(folder), config)
        text = TextIndexParams(
            lowercase=True, stemmer=SnowballParams(SnowballLanguage.English), scoring=True, enable_hnsw=False
        )
        self._shard.update(UpdateOperation.create_field_index(BODY, text))
        points = [
            Point(number, {VECTOR: vector.tolist()}, {BODY: f"{one['title']} {one['text']}"})
            for number, (one, vector) in enumerate(zip(documents, vectors, strict=True))
        ]
        for begin in range(0, len(points), BATCH):
            self._shard.update(UpdateOperation.upsert_points(points[begin : begin + BATCH]))
        self._shard.optimize()

    def by_vector(self, vector: np.ndarray, effort: int) -> list[str]:
        """See `Peer`."""
        nearest = Query.Nearest(vector.tolist(), using=VECTOR)
        return self._found(QueryRequest(DEPTH, query=nearest, params=SearchParams(hnsw_ef=effort)))

    def hybrid(self, query: str, vector: np.ndarray, effort: int) -> list[str]:
        """See `Peer`."""
        nearest = Query.Nearest(vector.tolist(), using=VECTOR)
        both = [
            Prefetch(DEPTH, query=TextQuery(BODY, query)),
            Prefetch(DEPTH, query=nearest, params=SearchParams(hnsw_ef=effort)),
        ]
        return self._found(QueryRequest(PAGE, query=Fusion.Rrf(RECIPROCAL_RANK_K), prefetches=both))

    def _found(self, request: QueryRequest) -> list[str]:
        return [self._ids[point.id] for point in self._shard.query(request)]


if __name__ == "__main__":
    answer(QdrantEdge)

"""The floor: full text, nearest neighbours and reciprocal-rank fusion called directly, and nothing else.

Tantivy over title and text with English stemming, usearch's HNSW with the vector service's own shape, in half precision
and by inner product (hnswlib has single precision only; the vector service holds eight bits a number), both asked for
the same depth; ids in, ids out. No filters, no highlights, no documents, no log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import onnxruntime  # noqa: F401  must come before usearch, see honeyguide_vector.graph
import tantivy
from usearch.index import Index

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide_vector.settings import VectorSettings

RECIPROCAL_RANK_K = 60
WRITER_BYTES = 96 * 2**20

Vectors = npt.NDArray[np.float32]


class _Tunable(Protocol):
    """usearch's index as it is; mypy does not see that its effort can be set: the setter is not beside the getter."""

    expansion_search: int


class BareLoop:
    """Both engines over the same documents, and the fusion of what they find.

    Args:
        folder: where the full-text index goes.
        documents: the catalogue.
        ids, vectors: documents that have an embedding, [n], and those, [n, dimension], of unit length.
        queries: embeddings by query text: the embedding is cached.
    """

    def __init__(
        self,
        folder: Path,
        documents: Sequence[document_pb2.Document],
        ids: Sequence[str],
        vectors: Vectors,
        queries: Mapping[str, Vectors],
    ) -> None:
        self._text = build_text(folder, documents)
        self._searcher = self._text.searcher()
        self._ids = list(ids)
        self._graph = build_graph(vectors)
        self._queries = queries

    def look_at(self, candidates: int) -> None:
        """How many candidates the graph's search looks at from now on."""
        cast(_Tunable, self._graph).expansion_search = candidates

    def search(self, query: str, depth: int = 100, page: int = 10) -> list[str]:
        """The first page's ids."""
        return self.fused(query, depth)[:page]

    def fused(self, query: str, depth: int) -> list[str]:
        """All that either found, best first."""
        scores: dict[str, float] = {}
        for found in (self.by_text(query, depth), self.by_vector(query, depth)):
            for rank, id in enumerate(found, 1):
                scores[id] = scores.get(id, 0.0) + 1 / (RECIPROCAL_RANK_K + rank)
        return sorted(scores, key=scores.__getitem__, reverse=True)

    def by_text(self, query: str, depth: int) -> list[str]:
        """What full text finds."""
        parsed, _ = self._text.parse_query_lenient(query, ["title", "text"])
        hits = self._searcher.search(parsed, depth, count=False).hits
        return [self._searcher.doc(address)["id"][0] for _, address in hits]

    def by_vector(self, query: str, depth: int) -> list[str]:
        """What the graph finds."""
        keys = self._graph.search(self._queries[query], depth, threads=1).keys
        return [self._ids[key] for key in keys.tolist()]


def build_text(folder: Path, documents: Sequence[document_pb2.Document]) -> tantivy.Index:
    """A full-text index of documents."""
    folder.mkdir(parents=True, exist_ok=True)
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    for name in ("title", "text"):
        builder.add_text_field(name, tokenizer_name="en_stem")
    index = tantivy.Index(builder.build(), path=str(folder))
    writer = index.writer(WRITER_BYTES, 1)
    for document in documents:
        writer.add_document(tantivy.Document(id=document.id, title=document.title, text=document.text))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    return index


def build_graph(vectors: Vectors) -> Index:
    """A graph of vectors by their row, of the shape and effort that the vector service has by default."""
    settings = VectorSettings()
    graph = Index(
        ndim=vectors.shape[1],
        metric="ip",
        dtype="f16",
        connectivity=settings.m,
        expansion_add=settings.ef_construction,
        expansion_search=settings.ef_search,
    )
    graph.add(np.arange(len(vectors), dtype=np.uint64), vectors, threads=settings.threads)
    return graph

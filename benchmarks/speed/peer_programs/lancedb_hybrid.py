"""LanceDB: hybrid search with full text, vectors and reciprocal-rank fusion.

    python lancedb_hybrid.py <folder>

reads documents.json (id, title, text), vectors.npy, queries.json and query_vectors.npy of the folder, prints `ready`,
and then answers every line of input, `<vector or hybrid> <depth> <ef>`, with one line of JSON: for each query, in
order, milliseconds and ids found, {"ms": [...], "ids": [[...], ...]}.
"""

import json
import sys
import time
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.rerankers import RRFReranker


def table_of(folder: Path):
    """The documents with both indexes; the vector index as fine as it is by default."""
    documents = json.loads((folder / "documents.json").read_text())
    vectors = np.load(folder / "vectors.npy")
    columns = pa.table(
        {
            "id": [one["id"] for one in documents],
            "body": [f"{one['title']} {one['text']}" for one in documents],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
        }
    )
    table = lancedb.connect(folder / "lancedb").create_table("documents", columns)
    table.create_fts_index("body", with_position=False)
    table.create_index("cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ")
    return table


def main() -> None:
    """Answers until input ends."""
    folder = Path(sys.argv[1])
    table = table_of(folder)
    queries = json.loads((folder / "queries.json").read_text())
    vectors = np.load(folder / "query_vectors.npy")
    reranker = RRFReranker()
    print("ready", flush=True)
    for line in sys.stdin:
        mode, depth, effort = line.split()
        times, ids = [], []
        for query, vector in zip(queries, vectors, strict=True):
            begin = time.perf_counter()
            if mode == "vector":
                search = table.search(vector).distance_type("cosine").ef(int(effort)).nprobes(20)
            else:
                search = table.search(query_type="hybrid").vector(vector).text(query)
                search = search.distance_type("cosine").ef(int(effort)).nprobes(20).rerank(reranker)
            found = search.select(["id"]).limit(int(depth)).to_arrow()
            times.append((time.perf_counter() - begin) * 1e3)
            ids.append(found.column("id").to_pylist())
        print(json.dumps({"ms": times, "ids": ids}), flush=True)


if __name__ == "__main__":
    main()

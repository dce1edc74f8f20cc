"""Cold start: how well a fresh system ranks judged collections before any feedback.

Each strategy alone at depth 100; static reciprocal-rank fusion of all strategies; and the ranker's prior over the same
candidates. nDCG@10 and MRR@10 by ir-measures, means over queries with 95% bootstrap intervals. Runs the real services
in one process, with a Valkey of their own; writes benchmarks/results/cold_start.json and cold_start.md.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import ir_measures
import numpy as np
import structlog
from ir_measures import RR, nDCG

from benchmarks.quality.collection import ROOT, Collection, read_collection
from honeyguide.documents import Context, Filter
from honeyguide.query import RetrievalQuery, understanding_from_proto
from honeyguide_orchestrator.fanout import Retrievers
from honeyguide_standalone.catalog import infer_catalog
from honeyguide_standalone.engine import Engine

COLLECTIONS = (("scifact", "qrels.tsv"), ("cpcd-music", "qrels.search.tsv"), ("chorus-icecat", "qrels.tsv"))
RESULTS = Path(__file__).resolve().parents[1] / "results"
DEPTH = 100
ALONE = ("lexical.bm25", "lexical.popular", "lexical.structured", "lexical.fuzzy", "vector.dense", "memory.query")
MEASURES = {"ndcg@10": nDCG @ 10, "mrr@10": RR @ 10}
RESAMPLES = 1_000
RANKERS = {"rrf": "fusion", "prior": "prior"}

Run = dict[str, dict[str, float]]


async def retrieve(collection: Collection, folder: Path) -> dict[str, Run]:
    """Every system's run: query id -> document id -> score."""
    runs: dict[str, Run] = {name: {} for name in (*ALONE, *RANKERS)}
    async with Engine(folder, learner=False) as engine:
        await engine.api.configure(infer_catalog(collection.documents).to_proto())
        errors = await engine.api.index(collection.documents)
        print(f"{collection.name}: {len(collection.documents) - len(errors):,} documents indexed", flush=True)
        retrievers = Retrievers()
        for name, connection in engine.connections.items():
            await retrievers.connect(name, connection)
        for query_id, text in collection.queries.items():
            for system, ranker in RANKERS.items():
                response = await engine.api.search(
                    text[:2_000], policy="full_depth", ranker=ranker, untracked=True, page_size=100
                )
                runs[system][query_id] = {r.document.id: -float(r.position) for r in response.results}
            query = RetrievalQuery(
                text[:2_000], understanding_from_proto(response.understanding), Context(time_s=0.0), Filter()
            )
            depths = {
                name: DEPTH for name in ALONE if name != "lexical.structured" or query.understanding.interpretations
            }
            for name, outcome in (await retrievers.retrieve(query, depths, timeout_s=30.0)).items():
                runs[name][query_id] = {id: -float(rank) for rank, id in enumerate(outcome.candidates.document_ids)}
    return runs


def measure(collection: Collection, run: Run) -> dict[str, tuple[float, float, float]]:
    """Mean, low and high (95%, bootstrap over queries) by measure; a query without results counts 0."""
    by_query: dict[str, Mapping[str, float]] = {}
    for name, measure_ in MEASURES.items():
        values = {metric.query_id: metric.value for metric in ir_measures.iter_calc([measure_], collection.qrels, run)}
        by_query[name] = {query_id: values.get(query_id, 0.0) for query_id in collection.queries}
    rng = np.random.default_rng(0)
    figures = {}
    for name, per_query in by_query.items():
        values = np.array(list(per_query.values()))
        means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        figures[name] = (float(values.mean()), float(low), float(high))
    return figures


def table(rows: list[dict[str, object]]) -> str:
    """The rows as a Markdown table."""
    lines = ["| collection | system | nDCG@10 | MRR@10 | queries |", "| --- | --- | --- | --- | --- |"]
    by_system: dict[tuple[str, str], dict[str, dict[str, object]]] = {}
    for row in rows:
        by_system.setdefault((str(row["collection"]), str(row["system"])), {})[str(row["metric"])] = row
    for (collection, system), metrics in by_system.items():
        cells = [f"{metrics[m]['value']:.3f} ({metrics[m]['low']:.3f}-{metrics[m]['high']:.3f})" for m in MEASURES]
        lines.append(f"| {collection} | `{system}` | {' | '.join(cells)} | {metrics['ndcg@10']['queries']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures every collection there is, one after the other."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows: list[dict[str, object]] = []
    for name, qrels_file in COLLECTIONS[:1] if os.environ.get("QUICK") else COLLECTIONS:
        collection = read_collection(name, qrels_file)
        if collection is None:
            print(f"{name}: skipped, there is no {ROOT / name}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            runs = asyncio.run(retrieve(collection, Path(folder)))
        for system, run in runs.items():
            for metric, (value, low, high) in measure(collection, run).items():
                rows.append(
                    {
                        "collection": name,
                        "scenario": "cold start",
                        "system": system if system in RANKERS else f"only:{system}",
                        "metric": metric,
                        "value": round(value, 4),
                        "low": round(low, 4),
                        "high": round(high, 4),
                        "queries": len(collection.queries),
                    }
                )
    if rows:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "cold_start.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        (RESULTS / "cold_start.md").write_text(table(rows))
        print(table(rows))


if __name__ == "__main__":
    main()

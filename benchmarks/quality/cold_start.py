"""Cold start: how well a fresh system ranks judged collections before any feedback.

Judged queries of the collections, and simulated wishes (see `needs`) of the film catalogue, whose documents are what
people call by name. Each strategy alone at depth 100; static reciprocal-rank and distribution-based score fusion of
all strategies that answer; the latter of full text and embedding only; the prior ranker, and the same where memory
predicts no queries, over a second index. nDCG@10 and MRR@10 by ir-measures, over queries with something judged good,
with 95% bootstrap intervals; rows of `prior less prior:unpredicted` are differences by query. Runs the real services in
one process, with a Valkey of their own; writes benchmarks/results/cold_start.json and cold_start.md.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import ir_measures
import numpy as np
import numpy.typing as npt
import structlog
from ir_measures import RR, nDCG

from benchmarks.quality.collection import ROOT, Collection, read_collection
from benchmarks.quality.needs import scene
from benchmarks.quality.recording import searchable
from honeyguide.api.lexical.v1 import lexical_pb2_grpc
from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.api.search.v1 import search_pb2
from honeyguide.candidates import Candidates
from honeyguide.documents import Context, filter_from_proto
from honeyguide.query import RetrievalQuery, understanding_from_proto
from honeyguide.retriever import Need
from honeyguide_orchestrator.candidate_features import RECIPROCAL_RANK_K
from honeyguide_orchestrator.fanout import Retrievers
from honeyguide_orchestrator.merge import Merged, merge
from honeyguide_orchestrator.related import RELATED, RelatedEntities
from honeyguide_standalone.catalog import infer_catalog
from honeyguide_standalone.engine import Engine

RESULTS = Path(__file__).resolve().parents[1] / "results"
DEPTH = 100
SHOWN = 100
TIME_S = 1_700_000_000.0
RETRIEVE_S = 30.0
ALONE = ("lexical.bm25", "lexical.popular", "lexical.structured", "lexical.fuzzy", "vector.dense", "memory.query")
FEW = ("lexical.bm25", "vector.dense")
PRIOR, UNPREDICTED = "prior", "prior:unpredicted"
NO_HURRY = {
    "HONEYGUIDE_ORCHESTRATOR_UNDERSTAND_TIMEOUT_S": "30",
    "HONEYGUIDE_ORCHESTRATOR_RETRIEVE_TIMEOUT_S": "30",
}
"""What is late is left out of a ranking, which on a busy machine would tell of the machine."""

NOTHING_PREDICTED = {"HONEYGUIDE_MEMORY_PREDICTED_PER_DOCUMENT_MAX": "0"}
MEASURES = {"ndcg@10": nDCG @ 10, "mrr@10": RR @ 10}
RESAMPLES = 1_000
QUERY_CHARS_MAX = 2_000

Floats = npt.NDArray[np.float64]
Run = dict[str, dict[str, float]]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Judged queries of a collection, asked of all of it, or of documents of some types only."""

    collection: str
    qrels: str
    name: str = "cold start"
    types: tuple[str, ...] = ()


FILMS = "films"

SCENARIOS = (
    Scenario("scifact", "qrels.tsv"),
    Scenario("cpcd-music", "qrels.search.tsv", "cold start, searches"),
    Scenario("cpcd-music", "qrels.search.tsv", "cold start, searches among tracks", ("track",)),
    Scenario("cpcd-music", "qrels.tsv", "cold start, wishes"),
    Scenario("cpcd-music", "qrels.tsv", "cold start, wishes among tracks", ("track",)),
    Scenario("chorus-icecat", "qrels.tsv"),
    Scenario(FILMS, "", "cold start, simulated wishes"),
)


class Asked:
    """A system with a catalogue, asked by its API and, strategy by strategy, behind it."""

    def __init__(self, engine: Engine, retrievers: Retrievers) -> None:
        self._engine = engine
        self._retrievers = retrievers
        self._related = RelatedEntities(engine.connections["lexical"].stub(lexical_pb2_grpc.LexicalServiceStub))

    async def runs(self, collection: Collection, types: Sequence[str]) -> dict[str, Run]:
        """Every system's run: query id -> document id -> score."""
        runs: dict[str, Run] = {}
        for query_id, text in collection.queries.items():
            for system, ids in (await self._rankings(text[:QUERY_CHARS_MAX], types)).items():
                runs.setdefault(system, {})[query_id] = _by_place(ids)
        return runs

    async def run(self, collection: Collection, types: Sequence[str]) -> Run:
        """The prior's run."""
        return {
            query_id: _by_place(_shown(await self._search(text[:QUERY_CHARS_MAX], types)))
            for query_id, text in collection.queries.items()
        }

    async def _search(self, text: str, types: Sequence[str]) -> search_pb2.SearchResponse:
        return await self._engine.api.search(
            text,
            policy="full_depth",
            ranker=PRIOR,
            untracked=True,
            page_size=SHOWN,
            filter=document_pb2.Filter(types=types),
        )

    async def _rankings(self, text: str, types: Sequence[str]) -> dict[str, list[str]]:
        response = await self._search(text, types)
        understanding = understanding_from_proto(response.understanding)
        filter = filter_from_proto(document_pb2.Filter(types=types))
        answers = await self._answers(RetrievalQuery(text, understanding, Context(time_s=TIME_S), filter))
        rankings = {f"only:{name}": list(answers[name].document_ids) for name in ALONE if name in answers}
        rankings["rrf"] = _ordered(merge(answers), reciprocal_rank_fusion)
        rankings["dbsf"] = _ordered(merge(answers), distribution_based_fusion)
        few = {name: answers[name] for name in FEW if name in answers}
        rankings["dbsf:bm25+dense"] = _ordered(merge(few), distribution_based_fusion)
        rankings[PRIOR] = _shown(response)
        return rankings

    async def _answers(self, query: RetrievalQuery) -> dict[str, Candidates]:
        met = {Need.QUERY: True, Need.INTERPRETATION: bool(query.understanding.interpretations)}
        depths = {
            strategy.name: min(DEPTH, strategy.depth_max)
            for strategy in self._retrievers.strategies
            if all(met.get(need, False) for need in strategy.needs)
        }
        outcomes = await self._retrievers.retrieve(query, depths, RETRIEVE_S)
        answers = {name: outcome.candidates for name, outcome in outcomes.items()}
        related = await self._related.expand(merge(answers), query.filter, RELATED.depth_max, RETRIEVE_S)
        return {**answers, RELATED.name: related.candidates}


def reciprocal_rank_fusion(merged: Merged) -> Floats:
    """Sum of 1 / (60 + rank) over all lists (Cormack, Clarke and Buettcher 2009), [N]."""
    fused: Floats = np.where(merged.ranks > 0, 1.0 / (RECIPROCAL_RANK_K + merged.ranks), 0).sum(axis=1)
    return fused


def distribution_based_fusion(merged: Merged) -> Floats:
    """Sum over all lists of (score - (mean - 3 sd)) / (6 sd), cut to [0, 1], [N] (Mazzeschi 2023, "Distribution-based
    score fusion", which Qdrant and Haystack offer as well); a list of equal scores counts one half."""
    fused = np.zeros(len(merged))
    for scores, ranks in zip(merged.scores.T, merged.ranks.T, strict=True):
        found = ranks > 0
        if found.any():
            values = scores[found].astype(np.float64)
            deviation = values.std()
            standing = (values - values.mean()) / (6 * deviation) + 0.5 if deviation > 0 else np.full(len(values), 0.5)
            fused[found] += np.clip(standing, 0, 1)
    return fused


def _shown(response: search_pb2.SearchResponse) -> list[str]:
    return [result.document.id for result in response.results]


def _by_place(ids: Sequence[str]) -> dict[str, float]:
    return {id: -float(place) for place, id in enumerate(ids)}


def _ordered(merged: Merged, fusion: Callable[[Merged], Floats]) -> list[str]:
    return [merged.document_ids[i] for i in np.argsort(-fusion(merged), kind="stable")[:SHOWN]]


def read(scenario: Scenario) -> Collection | None:
    """The queries of a scenario and its documents; None where the collection's folder is absent."""
    if scenario.collection != FILMS:
        return read_collection(scenario.collection, scenario.qrels)
    films = scene(FILMS)
    if films is None:
        return None
    queries = {need.id: need.query for need in films.held_out}
    return Collection(FILMS, list(films.documents), queries, {need.id: dict(need.grades) for need in films.held_out})


@asynccontextmanager
async def indexed(
    documents: Sequence[document_pb2.Document], settings: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Asked]:
    """A system that has taken the documents in, under some settings of the environment."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {**NO_HURRY, **settings}):
        async with Engine(Path(folder), learner=False) as engine:
            await engine.api.configure(infer_catalog(documents).to_proto())
            errors = await engine.api.index(documents)
            await searchable(engine)
            print(f"{len(documents) - len(errors):,} documents indexed", flush=True)
            retrievers = Retrievers()
            for name, connection in engine.connections.items():
                await retrievers.connect(name, connection)
            yield Asked(engine, retrievers)


async def ask(documents: Sequence[document_pb2.Document], scenarios: Mapping[Scenario, Collection]) -> list[Row]:
    """The rows of all scenarios over one catalogue."""
    runs: dict[Scenario, dict[str, Run]] = {}
    async with indexed(documents) as asked:
        for scenario, collection in scenarios.items():
            runs[scenario] = await asked.runs(collection, scenario.types)
    async with indexed(documents, NOTHING_PREDICTED) as asked:
        for scenario, collection in scenarios.items():
            runs[scenario][UNPREDICTED] = await asked.run(collection, scenario.types)
    rows: list[Row] = []
    for scenario, collection in scenarios.items():
        measured = {system: by_query(collection, run) for system, run in runs[scenario].items()}
        measured[f"{PRIOR} less {UNPREDICTED}"] = {
            metric: values - measured[UNPREDICTED][metric] for metric, values in measured[PRIOR].items()
        }
        for system, by_metric in measured.items():
            rows.extend(_rows(scenario, system, by_metric))
    print(table(rows), flush=True)
    return rows


def _rows(scenario: Scenario, system: str, by_metric: Mapping[str, Floats]) -> list[Row]:
    return [
        {
            "collection": scenario.collection,
            "scenario": scenario.name,
            "system": system,
            "metric": metric,
            "value": round(value, 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "queries": len(values),
        }
        for metric, values in by_metric.items()
        for value, low, high in (interval(values),)
    ]


def by_query(collection: Collection, run: Run) -> dict[str, Floats]:
    """Every query's value, by measure; a query without results counts 0."""
    values = {}
    for name, measure in MEASURES.items():
        found = {metric.query_id: metric.value for metric in ir_measures.iter_calc([measure], collection.qrels, run)}
        values[name] = np.array([found.get(query_id, 0.0) for query_id in collection.queries])
    return values


def interval(values: Floats) -> tuple[float, float, float]:
    """Mean, low and high (95%, bootstrap over queries)."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| collection | scenario | system | nDCG@10 | MRR@10 | queries |", "| --- | --- | --- | --- | --- | --- |"]
    by_system: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in rows:
        by_system.setdefault((row["collection"], row["scenario"], row["system"]), {})[row["metric"]] = row
    for (collection, scenario, system), metrics in by_system.items():
        cells = [f"{metrics[m]['value']:.3f} ({metrics[m]['low']:.3f}-{metrics[m]['high']:.3f})" for m in MEASURES]
        queries = metrics["ndcg@10"]["queries"]
        lines.append(f"| {collection} | {scenario} | `{system}` | {' | '.join(cells)} | {queries} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures every collection there is, one after the other."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows: list[Row] = []
    wanted = SCENARIOS[:1] if os.environ.get("QUICK") else SCENARIOS
    for name in dict.fromkeys(scenario.collection for scenario in wanted):
        found = {one: collection for one in wanted if one.collection == name and (collection := read(one))}
        if not found:
            print(f"{name}: skipped, there is no {ROOT / name}")
            continue
        rows.extend(asyncio.run(ask(next(iter(found.values())).documents, found)))
    if rows:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "cold_start.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        (RESULTS / "cold_start.md").write_text(table(rows))


if __name__ == "__main__":
    main()

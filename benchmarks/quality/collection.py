"""A judged collection on disk: documents.jsonl, queries.jsonl and qrels*.tsv in one folder."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import document_from_json

ROOT = Path(os.environ.get("HONEYGUIDE_COLLECTIONS", Path(__file__).resolve().parents[3] / "shared" / "collections"))


@dataclass(frozen=True, slots=True)
class Collection:
    """Queries (id -> text) for which something is judged good, with their judgements (id -> document id -> grade)."""

    name: str
    documents: list[document_pb2.Document]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def read_collection(name: str, qrels_file: str = "qrels.tsv") -> Collection | None:
    """The collection, or None where its folder is absent."""
    folder = ROOT / name
    if not (folder / qrels_file).exists():
        return None
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (folder / qrels_file).read_text().splitlines()[1:]:
        query_id, document_id, grade = line.split("\t")
        qrels[query_id][document_id] = int(grade)
    with (folder / "documents.jsonl").open() as file:
        documents = [document_from_json(line) for line in file]
    with (folder / "queries.jsonl").open() as file:
        texts = {query["id"]: query["text"] for query in map(json.loads, file)}
    answerable = {id: judged for id, judged in qrels.items() if id in texts and max(judged.values()) > 0}
    return Collection(name, documents, {id: texts[id] for id in answerable}, answerable)

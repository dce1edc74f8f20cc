"""What the simulated users of the benchmark want: queries with judged documents, to learn from and to test on."""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from zlib import crc32

from benchmarks.quality.collection import read_collection
from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2
from honeyguide.documents import document_to_proto
from honeyguide_standalone import films
from honeyguide_standalone.catalog import Catalog, infer_catalog
from honeyguide_standalone.demo import users
from honeyguide_standalone.demo.world import read_world

CACHE = Path(__file__).resolve().parents[2] / ".bench"

FILM_NEEDS = 6_000
FILM_NEEDS_HELD_OUT = 400
FILM_WISHES_A_USER = 10
FOLDS = 5
QUERY_CHARS_MAX = 500

JUDGED = ("scifact", "cpcd-music", "chorus-icecat")
COLLECTIONS = ("films", *JUDGED)


@dataclass(frozen=True, slots=True)
class Need:
    """A query, and the documents that would do with their grade (above 0). `kind` is the collection's own word."""

    collection: str
    id: str
    query: str
    grades: Mapping[str, int]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """A catalogue and what people want of it: `learning` needs make the streams, `held_out` ones are never searched
    with feedback. `unjudged` counts the queries left out because nothing judged good is in the catalogue."""

    name: str
    documents: Sequence[document_pb2.Document]
    configuration: indexing_pb2.CatalogConfiguration
    learning: Sequence[Need]
    held_out: Sequence[Need]


@cache
def scene(name: str, fold: int = 0) -> Scene | None:
    """A collection, or "mixed": all there are as one catalogue. None where the collection's folder is absent.

    scifact keeps its own split (train claims to learn from, test claims held out), the film wishes of other users than
    those who teach are held out, and of cpcd-music and chorus-icecat every fifth query is, in turn by `fold`.
    """
    if name == "films":
        return _films()
    if name == "mixed":
        return _mixed(fold)
    return _judged(name, fold)


def every_need(name: str) -> list[Need]:
    """All needs of a scene, whatever the fold."""
    found = scene(name)
    return [*found.learning, *found.held_out] if found else []


_read = cache(read_collection)  # whose documents all folds share


def _judged(name: str, fold: int) -> Scene | None:
    if name == "scifact":
        train, test = _read(name, "qrels.train.tsv"), _read(name)
        if train is None or test is None:
            return None
        learning, held_out = _needs(name, train.queries, train.qrels), _needs(name, test.queries, test.qrels)
        return Scene(name, train.documents, infer_catalog(train.documents).to_proto(), learning, held_out)
    collection = _read(name)
    if collection is None:
        return None
    needs = _needs(name, collection.queries, collection.qrels, "wish" if name == "cpcd-music" else "")
    if name == "cpcd-music":
        searches = _read(name, "qrels.search.tsv")
        needs += _needs(name, searches.queries, searches.qrels, "search") if searches else []
    # By query text: the same text must not be learned from and tested on.
    held_out = [need for need in needs if crc32(need.query.lower().encode()) % FOLDS == fold % FOLDS]
    learning = [need for need in needs if crc32(need.query.lower().encode()) % FOLDS != fold % FOLDS]
    return Scene(name, collection.documents, infer_catalog(collection.documents).to_proto(), learning, held_out)


def _needs(
    collection: str, queries: Mapping[str, str], qrels: Mapping[str, Mapping[str, int]], kind: str = ""
) -> list[Need]:
    needs = []
    for id, text in queries.items():
        grades = {document: grade for document, grade in qrels[id].items() if grade > 0}
        if grades:
            needs.append(Need(collection, id, text[:QUERY_CHARS_MAX], grades, kind))
    return needs


def _films() -> Scene:
    """The film catalogue and wishes, which take a while to make: kept in .bench until what makes them changes."""
    digest = hashlib.blake2b(digest_size=6)
    for source in (Path(__file__), Path(films.__file__), *Path(users.__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    kept = CACHE / f"scene-films-{digest.hexdigest()}.pickle"
    if not kept.exists():
        CACHE.mkdir(exist_ok=True)
        for stale in CACHE.glob("scene-films-*.pickle"):
            stale.unlink()
        kept.write_bytes(pickle.dumps(_make_films()))
    made: Scene = pickle.loads(kept.read_bytes())
    return made


def _make_films() -> Scene:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "films.jsonl"
        films.write_jsonl(path)
        world = read_world(path)
    documents = [document_to_proto(document) for document in films.read_documents()]
    configuration = Catalog.model_validate(films.CONFIGURATION).to_proto()

    def wishes(seed: int, count: int) -> list[Need]:
        needs: list[Need] = []
        for number in range(-(-count // FILM_WISHES_A_USER)):
            user = users.SimulatedUser(world, number, seed)
            for _ in range(FILM_WISHES_A_USER):
                wish = user.wish()
                grades = dict.fromkeys(sorted(wish.wanted), 1)
                needs.append(Need("films", f"{seed}-{len(needs)}", wish.query, grades, wish.kind))
        return needs[:count]

    return Scene("films", documents, configuration, wishes(1, FILM_NEEDS), wishes(2, FILM_NEEDS_HELD_OUT))


def _mixed(fold: int) -> Scene | None:
    parts = [part for part in (scene(name, fold) for name in COLLECTIONS) if part is not None]
    if len(parts) < 2:
        return None
    documents, configuration = _mixed_documents()
    return Scene(
        "mixed",
        documents,
        configuration,
        [_need_of(need) for part in parts for need in part.learning],
        [_need_of(need) for part in parts for need in part.held_out],
    )


@cache
def _mixed_documents() -> tuple[Sequence[document_pb2.Document], indexing_pb2.CatalogConfiguration]:
    """The documents of all collections, which are the same for every fold, and their configuration."""
    parts = [part for part in map(scene, COLLECTIONS) if part is not None]
    documents = [_prefixed(part.name, document) for part in parts for document in part.documents]
    sample = Random(0).sample(documents, min(len(documents), 20_000))
    return documents, infer_catalog(sample).to_proto()


def _prefixed(collection: str, document: document_pb2.Document) -> document_pb2.Document:
    copy = document_pb2.Document()
    copy.CopyFrom(document)
    copy.id = f"{collection}/{document.id}"
    del copy.related[:]
    copy.related.extend(f"{collection}/{id}" for id in document.related)
    return copy


def _need_of(need: Need) -> Need:
    grades = {f"{need.collection}/{id}": grade for id, grade in need.grades.items()}
    return Need(need.collection, need.id, need.query, grades, need.kind)


def queries_of(needs: Iterable[Need]) -> list[str]:
    """Their distinct query texts, in order."""
    return list(dict.fromkeys(need.query for need in needs))

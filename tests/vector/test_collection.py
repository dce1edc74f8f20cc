"""Nearest documents among real film titles: recall against a full scan, filters against the reference."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from honeyguide.documents import Condition, Document, Filter
from honeyguide_vector.collection import Collection
from honeyguide_vector.encoder import Vectors
from honeyguide_vector.graph import GraphShape
from honeyguide_vector.segmented_graph import SegmentedGraph
from honeyguide_vector.settings import VectorSettings

FILTERS = [
    Filter(types=frozenset(["film"])),
    Filter(types=frozenset(["film", "recent", "unheard"])),
    Filter(types=frozenset(["unheard"])),
    Filter(conditions=(Condition("genre", frozenset(["horror"])),)),
    Filter(conditions=(Condition("genre", frozenset(["drama", "comedy"])), Condition("year", None, 1990, 1999))),
    Filter(conditions=(Condition("year", None, low=1930),)),
    Filter(conditions=(Condition("year", frozenset([1999.0])),), types=frozenset(["film"])),
    Filter(conditions=(Condition("nothing", None),)),
    Filter(excluded_conditions=(Condition("genre", frozenset(["drama", "horror"])),)),
    Filter(
        types=frozenset(["film"]),
        conditions=(Condition("year", None, low=1930),),
        excluded_conditions=(Condition("year", None, 1950, 1979), Condition("genre", frozenset(["comedy"]))),
    ),
]


def excluding(documents: Sequence[Document], filter: Filter) -> list[Document]:
    """The documents that a filter leaves, by the reference."""
    return [d for d in documents if filter.matches(d.id, d.type, d.attributes)]


def exact(documents: Sequence[Document], vector: Vectors, depth: int) -> list[str]:
    """The nearest documents by a full scan."""
    matrix = np.stack([d.embedding for d in documents if d.embedding is not None])
    return [documents[i].id for i in np.argsort(-(matrix @ vector), kind="stable")[:depth]]


def collection_of(documents: list[Document], segment_rows: int = 131_072) -> Collection:
    settings = VectorSettings()
    shape = GraphShape(384, settings.m, settings.ef_construction, segment_rows)
    collection = Collection(SegmentedGraph(shape, settings.ef_search, threads=2))
    collection.put(documents)
    return collection


@pytest.fixture(scope="module", params=[131_072, 700], ids=["one graph", "segments"])
def collection(films: list[Document], request: pytest.FixtureRequest) -> Collection:
    return collection_of(films, request.param)


def recall(collection: Collection, documents: list[Document], queries: Vectors, depth: int) -> float:
    """Share of the nearest by a full scan that the graph itself proposes."""
    ids = collection.held().ids
    found = [{ids[int(row)] for row in collection._graph.nearest(query, depth)} for query in queries]
    wanted = [set(exact(documents, query, depth)) for query in queries]
    return float(np.mean([len(f & w) / depth for f, w in zip(found, wanted, strict=True)]))


@pytest.mark.parametrize(("depth", "least"), [(10, 0.97), (100, 0.95)])
def test_the_graph_finds_nearly_all_that_a_scan_finds(
    collection: Collection, films: list[Document], queries: Vectors, depth: int, least: float
) -> None:
    assert recall(collection, films, queries, depth) >= least


def test_nearest_that_lie_in_one_segment_are_all_found(films: list[Document], queries: Vectors) -> None:
    for query in queries[:4]:
        near = exact(films, query, 600)
        by_id = {film.id: film for film in films}
        sorted_films = [by_id.pop(id) for id in near] + list(by_id.values())
        assert recall(collection_of(sorted_films, segment_rows=600), films, query[np.newaxis], 100) >= 0.95


def test_the_graph_stays_good_when_documents_come_and_go(films: list[Document], queries: Vectors) -> None:
    collection = collection_of(films[:1_500])
    collection.remove(film.id for film in films[:750])
    collection.put(films[1_500:2_250])
    moved = [replace(film, embedding=other.embedding) for film, other in zip(films[750:900], films[:150], strict=True)]
    collection.put(moved)
    held = [*moved, *films[900:2_250]]
    assert len(collection) == len(held) == len(collection._graph)
    assert len(collection._ids) == 1_500  # rows were used again
    assert recall(collection, held, queries, 10) >= 0.95


@pytest.mark.parametrize("depth", [1, 10, 100])
@pytest.mark.parametrize("filter", FILTERS)
def test_filters_hold_and_depth_is_filled(
    collection: Collection, films: list[Document], queries: Vectors, filter: Filter, depth: int
) -> None:
    by_id = {film.id: film for film in films}
    left = excluding(films, filter)
    shares: list[float] = []
    for query in queries[:8]:
        excluded = frozenset(exact(left, query, 3)) if left else frozenset()
        strict = replace(filter, excluded_ids=excluded)
        found = collection.nearest(query[None], depth, strict)
        assert len(found) == min(depth, len(left) - len(excluded))
        assert all(strict.matches(id, by_id[id].type, by_id[id].attributes) for id in found.document_ids)
        assert len(set(found.document_ids)) == len(found)
        wanted = exact(excluding(left, strict), query, depth) if left else []
        if wanted:
            shares.append(len(set(wanted) & set(found.document_ids)) / len(wanted))
    assert np.mean(shares or [1.0]) >= 0.9, "of all queries: graphs built by threads differ, one may miss two"


def test_candidates_come_best_first_with_cosines_and_features(
    collection: Collection, films: list[Document], queries: Vectors
) -> None:
    by_id = {film.id: film for film in films}
    found = collection.nearest(queries[:1], 50, Filter())
    embeddings = np.stack([by_id[id].embedding for id in found.document_ids])
    np.testing.assert_allclose(found.scores, embeddings @ queries[0], atol=2e-3)
    assert (np.diff(found.scores) <= 0).all()
    assert found.types == [by_id[id].type for id in found.document_ids]
    np.testing.assert_allclose(found.features["popularity"], [by_id[id].popularity for id in found.document_ids])
    np.testing.assert_allclose(
        found.features["created_day"], [by_id[id].created_day for id in found.document_ids], rtol=1e-6
    )


def test_a_score_does_not_depend_on_how_it_was_found(collection: Collection, queries: Vectors) -> None:
    # Without a filter the graph answers, with one this narrow a scan does.
    by_graph = collection.nearest(queries[:1], 100, Filter())
    by_scan = collection.nearest(queries[:1], 100, FILTERS[4])
    scores = dict(zip(by_graph.document_ids, by_graph.scores, strict=True))
    both = [(scores[id], score) for id, score in zip(by_scan.document_ids, by_scan.scores, strict=True) if id in scores]
    assert both
    np.testing.assert_allclose(*zip(*both, strict=True), atol=1e-6)


def test_several_vectors_give_the_best_of_each(collection: Collection, films: list[Document]) -> None:
    first, second = films[0], films[1]
    pair = np.stack([first.embedding, second.embedding])
    found = collection.nearest(pair, 2, Filter(), weights=np.array([1.0, 0.5], np.float32))
    assert found.document_ids[0] == first.id
    assert found.scores[0] == pytest.approx(1, abs=1e-4)
    matrix = np.stack([film.embedding for film in films])
    best = np.maximum(matrix @ pair[0], 0.5 * (matrix @ pair[1]))
    np.testing.assert_allclose(found.scores, np.sort(best)[::-1][:2], atol=1e-4)


def test_a_document_put_again_is_moved_only_if_its_vector_changed(films: list[Document]) -> None:
    collection = collection_of(films[:50])
    added: list[int] = []
    add = collection._graph.add
    collection._graph.add = lambda rows, vectors: (added.extend(rows.tolist()), add(rows, vectors))  # type: ignore
    collection.put([replace(film, popularity=9.0) for film in films[:50]])
    assert added == []
    collection.put([replace(films[3], embedding=films[60].embedding)])
    assert added == [3]
    (held,) = collection.vectors([films[3].id])[1]
    np.testing.assert_allclose(held, films[60].embedding, atol=1e-3)
    assert collection.vectors(["unknown"])[1].shape == (0, 384)


def test_what_finds_no_memory_is_not_held_and_the_rest_is_as_it_was(films: list[Document]) -> None:
    collection = collection_of(films[:50])
    graph = collection._graph
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "add", lambda rows, vectors: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            collection.put([replace(films[3], embedding=films[60].embedding), films[51]])
    everything = Filter(types=frozenset(["film", "recent"]))
    for _ in range(2):
        found = collection.nearest(films[51].embedding[None], 100, everything)  # type: ignore[index]
        wanted = {film.id for film in films[:50]} - ({films[3].id} if len(found) == 49 else set())
        assert set(found.document_ids) == wanted
        collection.put([films[3]])
    assert len(graph) == len(collection) == 50


def test_searches_and_changes_at_the_same_time(films: list[Document], queries: Vectors) -> None:
    collection = collection_of(films[:2_200])
    stable = {film.id for film in films[:2_000]}
    only_films = Filter(types=frozenset(["film", "recent"]))
    failures: list[object] = []
    done = threading.Event()

    def search(filter: Filter) -> None:
        while not done.is_set():
            for query in queries:
                try:
                    found = collection.nearest(query[None], 20, filter)
                    if len(found) != 20 or not set(found.document_ids) <= stable | volatile:
                        failures.append(found)
                except Exception as error:
                    failures.append(error)

    volatile = {film.id for film in films[2_000:]}

    def ask_for_memory() -> None:
        while not done.is_set():
            if collection.memory_bytes <= 0:
                failures.append("no memory")

    threads = [threading.Thread(target=search, args=(filter,)) for filter in (Filter(), only_films)]
    threads.append(threading.Thread(target=ask_for_memory))
    for thread in threads:
        thread.start()
    for _ in range(2):
        collection.put(films[2_200:2_400])
        collection.remove(film.id for film in films[2_200:2_400])
    done.set()
    for thread in threads:
        thread.join()
    assert not failures

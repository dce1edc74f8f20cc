"""The index's filters against `Filter.matches`, which says what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import tantivy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.documents import Condition, Document, Filter, comparable
from honeyguide_lexical.facts import filter_clauses
from honeyguide_lexical.fulltext import ID, FullText, find
from honeyguide_lexical.layout import Layout

NUMBERS = st.one_of(
    st.sampled_from([-1e300, -2.5, -1.0, -0.0, 0.0, 0.1, 1.0, 2.0, 1977.0, 1999.0, 2000.0, 5e-324, 1.7e308]),
    st.integers(-40, 40).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
)
TIMES = st.sampled_from(
    [datetime(1969, 5, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime(2020, 2, 29, tzinfo=UTC)]
)
TEXTS = st.sampled_from(["Drama", "drama", "DRÁMA ", "", "x" * 300, "x" * 301, "1.0", "true", "sci-fi", "n1"])
VALUES = st.one_of(TEXTS, NUMBERS, TIMES, st.booleans())
NAMES = st.sampled_from(["genre", "year", "a.b\\c", "gen", "price (€)"])
TYPES = st.sampled_from(["film", "person"])
ATTRIBUTES = st.dictionaries(NAMES, st.lists(VALUES, max_size=3).map(tuple), max_size=4)


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    name = draw(NAMES)
    if draw(st.booleans()):
        return Condition(name, frozenset(map(comparable, draw(st.lists(VALUES, min_size=1, max_size=20)))))
    low, high = sorted(draw(st.tuples(*[st.one_of(NUMBERS, TIMES.map(lambda t: t.timestamp()))] * 2)))
    open_side = draw(st.sampled_from(["", "low", "high", "both"]))
    return Condition(
        name,
        None,
        -float("inf") if open_side in ("low", "both") else low,
        float("inf") if open_side in ("high", "both") else high,
    )


FILTERS = st.builds(
    Filter,
    types=st.frozensets(TYPES, max_size=2),
    conditions=st.lists(conditions(), max_size=3).map(tuple),
    excluded_ids=st.frozensets(st.integers(0, 7).map(str), max_size=3),
    excluded_conditions=st.lists(conditions(), max_size=2).map(tuple),
)


@pytest.fixture
def index(tmp_path) -> Iterator[FullText]:
    opened = FullText(tmp_path / "index", Layout(), 16 * 2**20, 1)
    yield opened
    opened.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    documents=st.lists(st.tuples(TYPES, ATTRIBUTES), min_size=1, max_size=8),
    filters=st.lists(FILTERS, min_size=8, max_size=8),
)
def test_the_index_admits_exactly_what_the_filter_matches(index: FullText, documents, filters) -> None:
    for i in range(8):
        index.remove(str(i))
    held = [Document(str(i), type, "", "", attributes) for i, (type, attributes) in enumerate(documents)]
    for document in held:
        index.put(document)
    index.commit()
    for filter in filters:
        clauses = [(tantivy.Occur.Must, tantivy.Query.all_query()), *filter_clauses(index.schema, filter)]
        hits, total = find(index.searcher, tantivy.Query.boolean_query(clauses), 10)
        wanted = {d.id for d in held if filter.matches(d.id, d.type, d.attributes)}
        assert {index.searcher.doc(address)[ID][0] for _, address in hits} == wanted
        assert total == len(wanted)


def test_thousands_of_excluded_ids_and_values_are_fine(index: FullText) -> None:
    for i in range(50):
        index.put(Document(f"d{i}", "film", "x", "", {"n": (float(i),), "s": (f"v{i}",)}))
    index.commit()

    def count(filter: Filter) -> int:
        clauses = [(tantivy.Occur.Must, tantivy.Query.all_query()), *filter_clauses(index.schema, filter)]
        return find(index.searcher, tantivy.Query.boolean_query(clauses), 1)[1]

    assert count(Filter(excluded_ids=frozenset(f"d{i}" for i in range(40, 10_000)))) == 40
    assert count(Filter(conditions=(Condition("s", frozenset(f"v{i}" for i in range(45, 1_000))),))) == 5
    assert count(Filter(conditions=(Condition("n", frozenset()),))) == 0


def test_a_filter_adds_nothing_to_the_score(index: FullText) -> None:
    index.put(Document("a", "film", "Paris", "", {"year": (1990.0,), "genre": ("drama",)}))
    index.commit()
    text = tantivy.Query.term_query(index.schema, "title", "pari")
    filter = Filter(
        frozenset(["film"]), (Condition("year", None, 1980.0, 1999.0), Condition("genre", frozenset(["drama"])))
    )
    filtered = tantivy.Query.boolean_query([(tantivy.Occur.Must, text), *filter_clauses(index.schema, filter)])
    plain, _ = find(index.searcher, text, 1)
    with_filter, _ = find(index.searcher, filtered, 1)
    assert plain[0][0] == pytest.approx(with_filter[0][0])

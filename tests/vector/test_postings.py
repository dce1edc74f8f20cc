"""Postings answer filters as `Filter.matches` does."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.documents import Condition, Filter, Value, comparable
from honeyguide_vector.postings import PostingLists, Postings, Term

VALUES: list[Value] = ["Rock", "rock", "Röck", "1", 1.0, 0.0, 2.5, -3.0, True, False, datetime(1970, 1, 1, tzinfo=UTC)]
values = st.sampled_from(VALUES)
attributes = st.dictionaries(st.sampled_from("ab"), st.lists(values, max_size=3).map(tuple))
types = st.sampled_from(["film", "person"])
bounds = st.sampled_from([-3.0, 0.0, 1.0, 2.0])
any_of = st.frozensets(values.map(comparable), min_size=1, max_size=3)
conditions = st.one_of(
    st.builds(Condition, st.sampled_from("abc"), any_of),
    st.builds(lambda a, x, y: Condition(a, None, min(x, y), max(x, y)), st.sampled_from("abc"), bounds, bounds),
)
filters = st.builds(Filter, st.frozensets(types, max_size=2), st.lists(conditions, max_size=2).map(tuple))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(types, attributes, types, attributes), max_size=8), st.sets(st.integers(0, 7)), filters)
def test_rows_that_match(
    rows: list[tuple[str, dict[str, tuple[Value, ...]], str, dict[str, tuple[Value, ...]]]],
    removed: set[int],
    filter: Filter,
) -> None:
    postings = Postings()
    for row, (type, held, *_) in enumerate(rows):
        postings.put(row, type, held)
    for row, (*_, type, held) in enumerate(rows):
        postings.put(row, type, held)
    for row in removed:
        postings.remove(row)
    expected = {
        row for row, (*_, type, held) in enumerate(rows) if row not in removed and filter.matches(str(row), type, held)
    }
    assert postings.matching(filter).tolist() == sorted(expected)


def test_nothing_is_kept_of_rows_that_are_gone() -> None:
    postings = Postings()
    for row in range(100):
        postings.put(row, f"t{row}", {"price": (float(row),)})
        postings.remove(row)
    assert not postings._types
    assert not any(postings._values.values())


def test_lists_need_no_order() -> None:
    lists = PostingLists([Term(None, "str", "film")], np.array([3]), np.array([2, 0, 1]))
    postings = Postings.of_lists(lists, 3)
    postings.remove(2)
    assert postings.matching(Filter(frozenset({"film"}))).tolist() == [0, 1]


def test_restored_from_its_lists_it_tells_the_same_and_goes_on() -> None:
    postings = Postings()
    attributes: dict[str, tuple[Value, ...]] = {"genre": ("Drama", "War"), "year": (1999.0,), "seen": (True,)}
    postings.put(0, "film", attributes)
    postings.put(3, "film", {"genre": ("War",)})
    postings.put(1, "person", {})
    again = Postings.of_lists(postings.lists(), 5)
    filters = (
        Filter(),
        Filter(frozenset({"film"})),
        Filter(conditions=(Condition("genre", frozenset({"war"})),)),
        Filter(conditions=(Condition("year", None, 1990.0, 2000.0),)),
        Filter(conditions=(Condition("seen", frozenset({True})),)),
        Filter(excluded_conditions=(Condition("seen", frozenset({True})),)),
    )
    for one in (postings, again):
        assert [one.matching(filter).tolist() for filter in filters] == [[0, 1, 3], [0, 3], [0, 3], [0], [0], [1, 3]]
        one.remove(0)
        one.remove(0)
        one.put(4, "film", {"genre": ("War",)})
        assert one.matching(filters[2]).tolist() == [3, 4]
        assert 0 not in one
        assert 4 in one
        assert one.matching(filters[3]).tolist() == []
        one.put(0, "film", {"genre": ("War",)})
        assert one.matching(filters[2]).tolist() == [0, 3, 4]

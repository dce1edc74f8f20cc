"""Filters: what they let through, against a restatement of the rule, and the way over the wire."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.api.retrieval.v1 import document_pb2 as pb
from honeyguide.documents import Condition, Filter, comparable, filter_from_proto, filter_to_proto
from honeyguide.errors import InvalidArgument

# Few different values, so that they often meet.
texts = st.sampled_from(["Halo", "halo", "HÁLO", "drama", " drama ", "", "1"])
moments = st.sampled_from([datetime(1970, 1, 1, 0, 0, second, tzinfo=UTC) for second in range(3)])
values = st.one_of(texts, st.sampled_from([0.0, 1.0, 2.0, -1.5]), st.booleans(), moments)
names = st.sampled_from(["genre", "year"])
equals = st.builds(
    lambda name, wanted: Condition(name, frozenset(comparable(value) for value in wanted)),
    names,
    st.lists(values, min_size=1, max_size=3),
)
lows, highs = st.sampled_from([-math.inf, -1.5, 0.0, 1.0]), st.sampled_from([1.0, 1.5, 2.0, math.inf])
ranges = st.builds(lambda name, low, high: Condition(name, None, low, high), names, lows, highs)
types, ids = st.sampled_from(["film", "person"]), st.sampled_from(["a", "b", "c"])
filters = st.builds(
    Filter,
    st.frozensets(types),
    st.lists(equals | ranges, max_size=2).map(tuple),
    st.frozensets(ids),
    st.lists(equals | ranges, max_size=2).map(tuple),
)
attributes = st.dictionaries(names, st.lists(values, max_size=2).map(tuple), max_size=2)


def restated(filter: Filter, id: str, type: str, attributes: dict) -> bool:
    if filter.types and type not in filter.types:
        return False
    if id in filter.excluded_ids:
        return False
    for condition in (*filter.conditions, *filter.excluded_conditions):
        satisfied = False
        for value in attributes.get(condition.attribute, ()):
            if isinstance(value, str):
                key = value.strip().lower().replace("á", "a")
            elif isinstance(value, datetime):
                key = (value - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
            else:
                key = value
            if condition.any_of is not None:
                satisfied |= any(key == wanted for wanted in condition.any_of)
            elif not isinstance(key, str | bool):
                satisfied |= condition.low <= key <= condition.high
        if satisfied != any(condition is wanted for wanted in filter.conditions):
            return False
    return True


@given(filters, ids, types, attributes)
def test_matches_as_the_rule_says(filter, id, type, attributes):
    assert filter.matches(id, type, attributes) == restated(filter, id, type, attributes)


@given(filters)
def test_round_trip(filter):
    assert filter_from_proto(pb.Filter.FromString(filter_to_proto(filter).SerializeToString())) == filter


def test_only_an_empty_filter_is_false():
    assert not Filter()
    assert Filter(types=frozenset(["film"]))
    assert Filter(excluded_ids=frozenset(["a"]))
    assert Filter(conditions=(Condition("year", None, 0, 1),))
    assert Filter(excluded_conditions=(Condition("year", None, 0, 1),))


def number(x: float) -> pb.Value:
    return pb.Value(number=x)


def condition(**parts) -> pb.Filter:
    return pb.Filter(attributes=[pb.AttributeCondition(**({"attribute": "year"} | parts))])


def test_a_range_of_times_is_inclusive():
    def at(second: int) -> pb.Value:
        return pb.Value(time=Timestamp(seconds=second))

    filter = filter_from_proto(condition(range=pb.Range(min=at(10), max=at(20))))
    for second, inside in ((9, False), (10, True), (20, True), (21, False)):
        moment = datetime.fromtimestamp(second, UTC)
        assert filter.matches("a", "film", {"year": (moment,)}) is inside


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.Filter(types=["Film!"]), "filter.types"),
        (pb.Filter(types=[""]), "filter.types"),
        (pb.Filter(excluded_document_ids=["a"] * 10_001), "filter.excluded_document_ids"),
        (condition(), "filter.attributes[0]"),
        (pb.Filter(excluded_attributes=[pb.AttributeCondition(attribute="x")]), "filter.excluded_attributes[0]"),
        (condition(attribute="", equals=number(1)), "filter.attributes[0].attribute"),
        (condition(attribute="x" * 129, equals=number(1)), "filter.attributes[0].attribute"),
        (condition(equals=pb.Value()), "filter.attributes[0].equals"),
        (condition(equals=number(math.nan)), "filter.attributes[0].equals"),
        (condition(equals=pb.Value(text="\0")), "filter.attributes[0].equals"),
        (condition(any_of=pb.Values()), "filter.attributes[0].any_of"),
        (condition(any_of=pb.Values(values=[number(1)] * 1_001)), "filter.attributes[0].any_of"),
        (condition(range=pb.Range(min=number(2), max=number(1))), "filter.attributes[0].range"),
        (condition(range=pb.Range(min=pb.Value(text="1"))), "filter.attributes[0].range.min"),
        (condition(range=pb.Range(max=pb.Value(flag=True))), "filter.attributes[0].range.max"),
        (condition(range=pb.Range(max=number(math.inf))), "filter.attributes[0].range.max"),
    ],
)
def test_a_bad_filter_names_the_field(message, field):
    with pytest.raises(InvalidArgument) as caught:
        filter_from_proto(message)
    assert caught.value.violations[0].field == field

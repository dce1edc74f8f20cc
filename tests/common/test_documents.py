"""Documents: JSON and proto there and back, and every kind of bad input named."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.api.retrieval.v1 import document_pb2 as pb
from honeyguide.documents import (
    CONTEXT_ATTRIBUTES_MAX,
    POPULARITY_MAX,
    TIME_MAX_S,
    TIME_MIN_S,
    Context,
    Document,
    context_from_proto,
    context_to_proto,
    document_from_json,
    document_from_proto,
    document_to_json,
    document_to_proto,
    parse_time,
    time_from_proto,
    time_to_proto,
)
from honeyguide.errors import InvalidArgument

plain = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
ids = plain.filter(bool)
numbers = st.floats(allow_nan=False, allow_infinity=False)
times_s = st.floats(TIME_MIN_S, TIME_MAX_S).map(lambda s: round(s, 3))
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)  # far years have not a microsecond's precision
)
values = st.one_of(plain, numbers, st.booleans(), moments)
documents = st.builds(
    Document,
    id=ids,
    type=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,5}", fullmatch=True),
    title=plain,
    text=plain,
    attributes=st.dictionaries(ids, st.lists(values, min_size=1, max_size=3).map(tuple), max_size=3),
    popularity=st.floats(0, POPULARITY_MAX),
    created_at_s=st.none() | times_s,
    related=st.lists(ids, max_size=3).map(tuple),
)


def same(one: Document, other: Document) -> bool:
    def exactly(document: Document) -> list:
        kinds = {name: [type(v) for v in values] for name, values in document.attributes.items()}
        return [document.id, document.type, document.title, document.text, document.attributes, kinds,
                document.popularity, document.related]  # fmt: skip

    close = (one.created_at_s is None) == (other.created_at_s is None)
    if one.created_at_s is not None and other.created_at_s is not None:
        close = abs(one.created_at_s - other.created_at_s) < 1e-3
    return exactly(one) == exactly(other) and close


@given(documents)
def test_proto_round_trip(document):
    wire = document_to_proto(document).SerializeToString()
    assert same(document_from_proto(pb.Document.FromString(wire)), document)


@given(documents, st.booleans())
def test_a_document_that_keeps_its_message_is_written_as_one_that_does_not(document, embedded):
    embedding = np.array([0.6, 0.8], np.float32) if embedded else None
    message = document_to_proto(replace(document, embedding=np.array([1, 2, 3], np.float32)))
    before = message.SerializeToString(deterministic=True)
    kept = replace(document_from_proto(message, keep_message=True), embedding=embedding)
    assert kept.message is message
    assert document_to_proto(kept) == document_to_proto(replace(document, embedding=embedding))
    assert message.SerializeToString(deterministic=True) == before


def written(value):
    return value.isoformat() if isinstance(value, datetime) else value


@given(documents)
def test_json_round_trip(document):
    record = {
        "id": document.id,
        "type": document.type,
        "title": document.title,
        "text": document.text,
        "attributes": {name: [written(v) for v in values] for name, values in document.attributes.items()},
        "popularity": document.popularity,
        "created_at": document.created_at_s,
        "related": list(document.related),
    }
    expected = Document(
        **{
            **{name: getattr(document, name) for name in Document.__dataclass_fields__},
            "attributes": {
                name: tuple(float(v) if isinstance(v, int) and not isinstance(v, bool) else written(v) for v in values)
                for name, values in document.attributes.items()
            },
        }
    )
    assert same(document_from_proto(document_from_json(json.dumps(record))), expected)


@given(documents)
def test_what_is_written_as_json_is_read(document):
    times = {
        name for name, values in document.attributes.items() if all(isinstance(value, datetime) for value in values)
    }
    attributes = {
        name: values if name in times else tuple(written(value) for value in values)
        for name, values in document.attributes.items()
    }
    read = document_from_proto(document_from_json(document_to_json(document), times))
    assert same(read, replace(document, attributes=attributes))


def test_json_leaves_out_what_is_empty():
    assert document_to_json(Document("a", "film")) == '{"id": "a", "type": "film"}'
    document = Document("a", "film", "é", popularity=2.5, attributes={"year": (1994.0,)}, created_at_s=86_400.0)
    assert json.loads(document_to_json(document)) == {
        "id": "a",
        "type": "film",
        "title": "é",
        "popularity": 2.5,
        "attributes": {"year": [1994]},
        "created_at": "1970-01-02T00:00:00+00:00",
    }


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2022-06-25", (datetime(2022, 6, 25, tzinfo=UTC),)),
        (
            ["2022-06-25T01:00+01:00", 0, None, " "],
            (datetime(2022, 6, 25, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
        ),
        ("", ()),
    ],
)
def test_values_of_attributes_that_are_times(raw, expected):
    line = json.dumps({"id": "a", "type": "film", "attributes": {"at": raw, "seen": "2022-06-25"}})
    attributes = document_from_proto(document_from_json(line, {"at"})).attributes
    assert (attributes.get("at", ()), attributes["seen"]) == (expected, ("2022-06-25",))


@pytest.mark.parametrize("raw", ["soon", "2022", True, 1_656_158_400_000, {}, ["2022-06-25", "soon"]])
def test_a_value_that_is_no_time_names_its_attribute(raw):
    line = json.dumps({"id": "a", "type": "film", "attributes": {"at": raw}})
    with pytest.raises(InvalidArgument, match=r"^attributes\.at: .* is not an ISO 8601 time, such as 2022-06-25 or "):
        document_from_json(line, {"at"})


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("12.99", (12.99,)),
        ([" -3 ", 4, "1e3", None, ""], (-3.0, 4.0, 1000.0)),
        (True, (True,)),
        (" ", ()),
    ],
)
def test_values_of_attributes_that_are_numbers(raw, expected):
    line = json.dumps({"id": "a", "type": "film", "attributes": {"price": raw, "sku": "12.99"}})
    attributes = document_from_proto(document_from_json(line, (), {"price"})).attributes
    assert (attributes.get("price", ()), attributes["sku"]) == (expected, ("12.99",))


@pytest.mark.parametrize("raw", ["soon", "12,99", "1_000", "nan", "inf", "€5", [1, "x"]])
def test_a_value_that_is_no_number_names_its_attribute(raw):
    line = json.dumps({"id": "a", "type": "film", "attributes": {"price": raw}})
    with pytest.raises(InvalidArgument, match=r"^attributes\.price: '.*' is not a number, such as 12\.99$"):
        document_from_json(line, (), {"price"})


def test_embedding_round_trip():
    message = document_from_json('{"id": "a", "type": "film", "embedding": [0.25, -1, 3e38]}')
    document = document_from_proto(message)
    assert document.embedding.dtype == np.float32
    assert document.embedding.tolist() == pytest.approx([0.25, -1.0, 3e38])
    assert document_to_proto(document).embedding == message.embedding


def test_what_is_left_out_or_null_is_empty():
    keys = ("title", "text", "attributes", "popularity", "created_at", "related", "embedding")
    for line in ('{"id": "a", "type": "film"}', json.dumps({"id": "a", "type": "film"} | dict.fromkeys(keys))):
        assert document_from_proto(document_from_json(line)) == Document("a", "film")


def test_a_single_value_is_a_list_of_one():
    message = document_from_json('{"id": "a", "type": "film", "attributes": {"year": 1999, "genre": ["x", null]}}')
    assert document_from_proto(message).attributes == {"year": (1999.0,), "genre": ("x",)}


def bad_line(**changes: object) -> str:
    return json.dumps({"id": "a", "type": "film"} | changes)


LONG = "x" * 40_000


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("", "line"),
        ("{", "line"),
        ("[" * 100_000, "line"),
        ("[]", "line"),
        ("null", "line"),
        ('"text"', "line"),
        ('{"id": ' + "1" * 5_000 + "}", "line"),
        (bad_line(identifier="b"), "identifier"),
        ('{"type": "film"}', "id"),
        (bad_line(id=""), "id"),
        (bad_line(id=5), "id"),
        (bad_line(id="x" * 513), "id"),
        (bad_line(id="é" * 257), "id"),
        (bad_line(id="a\x00b"), "id"),
        (bad_line(id="a\tb"), "id"),
        (bad_line(id="a\ud800b"), "id"),
        ('{"id": "a"}', "type"),
        (bad_line(type="Film"), "type"),
        (bad_line(type="x" * 65), "type"),
        (bad_line(type="film noir"), "type"),
        (bad_line(type=["film"]), "type"),
        (bad_line(title="\x00"), "title"),
        (bad_line(title="\x7f"), "title"),
        (bad_line(title="\udfff"), "title"),
        (bad_line(title="x" * 2_001), "title"),
        (bad_line(title=7), "title"),
        (bad_line(text="x" * 1_000_001), "text"),
        (bad_line(text="a\x1bb"), "text"),
        (bad_line(popularity=math.nan), "popularity"),
        (bad_line(popularity=-math.inf), "popularity"),
        (bad_line(popularity=10**400), "popularity"),
        (bad_line(popularity=-1), "popularity"),
        (bad_line(popularity=1e31), "popularity"),
        (bad_line(popularity="9"), "popularity"),
        (bad_line(popularity=True), "popularity"),
        (bad_line(popularity=False), "popularity"),
        (bad_line(popularity=""), "popularity"),
        (bad_line(created_at="yesterday"), "created_at"),
        (bad_line(created_at="2020-02-30"), "created_at"),
        (bad_line(created_at=1e300), "created_at"),
        (bad_line(created_at=math.nan), "created_at"),
        (bad_line(created_at=True), "created_at"),
        (bad_line(created_at="\ud800"), "created_at"),
        (bad_line(created_at="0001-01-01T00:00:00+14:00"), "created_at"),
        (bad_line(related="b"), "related"),
        (bad_line(related=""), "related"),
        (bad_line(related=[1]), "related"),
        (bad_line(related=[""]), "related"),
        (bad_line(related=["\ud800"]), "related"),
        (bad_line(related=["b"] * 1_001), "related"),
        (bad_line(attributes=[]), "attributes"),
        (bad_line(attributes=0), "attributes"),
        (bad_line(attributes={"": 1}), "attributes"),
        (bad_line(attributes={"x" * 129: 1}), "attributes"),
        (bad_line(attributes={"\ud800": 1}), "attributes"),
        (bad_line(attributes={str(i): 1 for i in range(10_001)}), "attributes"),
        (bad_line(attributes={"a": {"b": 1}}), "attributes.a"),
        (bad_line(attributes={"a": [["b"]]}), "attributes.a"),
        (bad_line(attributes={"a": math.inf}), "attributes.a"),
        (bad_line(attributes={"a": 10**400}), "attributes.a"),
        (bad_line(attributes={"a": "\x00"}), "attributes.a"),
        (bad_line(attributes={"a": LONG}), "attributes.a"),
        (bad_line(attributes={"a": [1] * 1_001}), "attributes.a"),
        (bad_line(embedding="AAAA"), "embedding"),
        (bad_line(embedding=["1"]), "embedding"),
        (bad_line(embedding=[True]), "embedding"),
        (bad_line(embedding=[math.nan]), "embedding"),
        (bad_line(embedding=[1e39]), "embedding"),
        (bad_line(embedding=[10**400]), "embedding"),
        (bad_line(embedding=[0, 0]), "embedding"),
    ],
)
def test_bad_json_names_the_field(line, field):
    with pytest.raises(InvalidArgument) as caught:
        document_from_proto(document_from_json(line))
    assert caught.value.violations[0].field == field
    assert len(caught.value.message) < 500


def test_an_empty_embedding_is_none():
    assert document_from_proto(document_from_json(bad_line(embedding=[]))).embedding is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"embedding": b"\0\0\x80?\0"}, "embedding"),
        ({"embedding": b"\0\0\0\0"}, "embedding"),
        ({"embedding": np.float32(np.nan).tobytes()}, "embedding"),
        ({"embedding": np.float32(np.inf).tobytes()}, "embedding"),
        ({"popularity": math.nan}, "popularity"),
        ({"popularity": 1e39}, "popularity"),
        ({"created_at": Timestamp(seconds=2**62)}, "created_at"),
        ({"created_at": Timestamp(seconds=-(2**62))}, "created_at"),
        ({"created_at": Timestamp(nanos=-1)}, "created_at"),
        ({"created_at": Timestamp(nanos=10**9)}, "created_at"),
        ({"attributes": {"a": pb.Values(values=[pb.Value()])}}, "attributes.a"),
        ({"attributes": {"a": pb.Values(values=[pb.Value(number=math.nan)])}}, "attributes.a"),
        ({"attributes": {"a": pb.Values(values=[pb.Value(time=Timestamp(seconds=2**62))])}}, "attributes.a"),
        ({"attributes": {"a\0": pb.Values(values=[pb.Value(number=1)])}}, "attributes"),
    ],
)
def test_bad_messages_name_the_field(changes, field):
    with pytest.raises(InvalidArgument) as caught:
        document_from_proto(pb.Document(id="a", type="film", **changes))
    assert caught.value.violations[0].field == field


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_an_error(raw):
    with contextlib.suppress(InvalidArgument):
        document_from_proto(document_from_json(raw.decode(errors="surrogateescape")))


@pytest.mark.parametrize(
    ("raw", "expected_s"),
    [
        ("1970-01-02", 86_400.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        (" 1969-12-31 ", -86_400.0),
        (12, 12.0),
        (-0.5, -0.5),
    ],
)
def test_times(raw, expected_s):
    assert parse_time("time", raw) == expected_s


@given(times_s)
def test_times_round_trip(time_s):
    assert time_from_proto("time", time_to_proto(time_s)) == pytest.approx(time_s, abs=1e-3)


def test_the_first_and_last_times_pass():
    for time_s in (TIME_MIN_S, TIME_MAX_S):
        value = pb.Value(time=time_to_proto(time_s))
        message = pb.Document(id="a", type="film", attributes={"a": pb.Values(values=[value])})
        assert document_from_proto(message).attributes["a"][0].timestamp() == time_s


def test_created_day():
    assert Document("a", "film").created_day == 0
    assert Document("a", "film", created_at_s=86_400 * 1.5).created_day == 1.5


# ------------------------------------------------------------------------------------------------------- context


def test_context_round_trip():
    context = Context(1_700_000_000.25, "u", "s", "uk", "en-GB", "phone", {"plan": "free"})
    assert context_from_proto(context_to_proto(context), now_s=5.0) == context


def test_a_context_without_time_is_of_now():
    assert context_from_proto(pb.Context(), now_s=5.0) == Context(5.0)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.Context(user_id="x" * 257), "context.user_id"),
        (pb.Context(session_id="\0"), "context.session_id"),
        (pb.Context(time=Timestamp(seconds=2**62)), "context.time"),
        (pb.Context(attributes={str(i): "" for i in range(CONTEXT_ATTRIBUTES_MAX + 1)}), "context.attributes"),
        (pb.Context(attributes={"a": "x" * 257}), "context.attributes.a"),
        (pb.Context(attributes={"x" * 257: ""}), "context.attributes"),
    ],
)
def test_a_bad_context_names_the_field(message, field):
    with pytest.raises(InvalidArgument) as caught:
        context_from_proto(message, now_s=0)
    assert caught.value.violations[0].field == field

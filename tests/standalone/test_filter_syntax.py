from __future__ import annotations

from datetime import UTC, datetime

import pytest

from honeyguide.documents import filter_from_proto
from honeyguide.errors import InvalidArgument
from honeyguide_standalone.filters import parse_filters

FILM = {"genre": ("Drama", "Comedy"), "year": (1994.0,), "live": (True,)}


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        (["type=film"], True),
        (["type=person|film"], True),
        (["type=person"], False),
        (["genre=drama"], True),
        (["genre=War|Comedy"], True),
        (["genre=War"], False),
        (["year=1994"], True),
        (["year=1990..1999", "genre=Drama"], True),
        (["year=1995.."], False),
        (["year=..1994"], True),
        (["live=true"], True),
        (["live=false"], False),
        (["type=film", "genre=Drama", "genre=Comedy"], True),
        (["genre!=War"], True),
        (["genre!=War|Comedy"], False),
        (["genre=Drama", "year!=1990..1999"], False),
        (["year!=1995.."], True),
        (["studio!=Ghibli"], True),
    ],
)
def test_reads_what_people_type(filters: list[str], matches: bool) -> None:
    assert filter_from_proto(parse_filters(filters)).matches("f1", "film", FILM) is matches


def test_leaves_documents_out() -> None:
    assert not filter_from_proto(parse_filters([], ["f1"])).matches("f1", "film", FILM)


def test_reads_dates_in_ranges() -> None:
    (condition,) = filter_from_proto(parse_filters(["released=2010-01-31.."])).conditions
    assert condition.low == 1_264_896_000.0


def test_a_day_as_a_value_is_its_text_or_its_first_moment() -> None:
    filter = filter_from_proto(parse_filters(["released=2010-01-31"]))
    for value, matches in (
        ("2010-01-31", True),
        (datetime(2010, 1, 31, tzinfo=UTC), True),
        (datetime(2010, 1, 31, 12, tzinfo=UTC), False),
    ):
        assert filter.matches("f1", "film", {"released": (value,)}) is matches


@pytest.mark.parametrize("wanted", ["soon", "2010-13", "2010|2011", "2010-01-31..soon"])
def test_what_is_no_time_is_refused_of_an_attribute_that_is_one(wanted: str) -> None:
    with pytest.raises(InvalidArgument, match=r"is not a time \(2010, 2010-01, 2010-01-31 or 2010-01-31T18:30:00Z\)"):
        parse_filters([f"released={wanted}"], times={"released"})


@pytest.mark.parametrize("text", ["film", "=film", "genre=", "year=..", "year=new..old", "!=x", "genre!="])
def test_says_what_can_not_be_read(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--filter"):
        parse_filters([text])


def test_types_are_named_that_are_wanted() -> None:
    with pytest.raises(InvalidArgument, match=r"name the types that are wanted, type=film\|series"):
        parse_filters(["type!=person"])

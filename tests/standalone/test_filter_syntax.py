from __future__ import annotations

from datetime import UTC, datetime

import pytest

from honeyguide.documents import filter_from_proto
from honeyguide.errors import InvalidArgument
from honeyguide_standalone.filters import doubts, parse_filters

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


@pytest.mark.parametrize(
    ("filter", "quoted"),
    [
        ("price=a..b", "'a' in 'price=a..b'"),
        ("price=..2010-01-31", "'2010-01-31' in 'price=..2010-01-31'"),
        ("price=nan", "'nan' in 'price=nan'"),
        ("price=>5", "'>5' in 'price=>5'"),
        ("price!=5|six", "'six' in 'price!=5|six'"),
    ],
)
def test_what_is_no_number_is_refused_of_an_attribute_that_is_one(filter: str, quoted: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_filters([filter], numbers={"price"})
    assert refused.value.message == f"--filter: {quoted} is not a number"


def test_numbers_and_flags_are_taken_of_an_attribute_that_is_a_number() -> None:
    for filter in ("live=true", "live=1|0", "live=0..1"):
        wanted = filter_from_proto(parse_filters([filter], numbers={"live"}))
        assert wanted.matches("f1", "film", {"live": (1.0,)}) or wanted.matches("f1", "film", {"live": (True,)})


def test_of_an_attribute_that_is_not_known_a_bound_may_be_either() -> None:
    with pytest.raises(InvalidArgument, match=r"'a' in 'price=a\.\.b' is not a number or a time \(2010, "):
        parse_filters(["price=a..b"])


@pytest.mark.parametrize(
    ("filter", "found", "told"),
    [
        ("genres!=Horror", True, "names no attribute 'genres'; did you mean 'genre'?"),
        ("nope!=3", True, "names no attribute 'nope'"),
        ("nope=3", False, "names no attribute 'nope'"),
    ],
)
def test_names_that_the_catalogue_has_not_are_told(filter: str, found: bool, told: str) -> None:
    wanted = parse_filters([filter, "genre=Drama", "type=film"])
    assert list(doubts(wanted, {"genre", "year"}, found=found)) == [f"--filter: the catalogue's configuration {told}"]


def test_what_documents_passed_by_is_no_mistake() -> None:
    assert list(doubts(parse_filters(["studio=Ghibli"]), {"genre"}, found=True)) == []


@pytest.mark.parametrize(
    ("filter", "range"),
    [
        ("released!=2009", "2009-01-01..2009-12-31"),
        ("released!=2009-02", "2009-02-01..2009-02-28"),
        ("released!=soon|2009-02-03|2010", "2009-02-03..2009-02-03"),
    ],
)
def test_dates_that_exclude_need_a_catalogue_that_is_known(filter: str, range: str) -> None:
    (line,) = doubts(parse_filters([filter, "year!=2001"]), None, found=True)
    assert line.endswith(f"if 'released' is a time, 'released!={range}' works everywhere")
    excluded = filter_from_proto(parse_filters([f"released!={range}"]))
    assert not excluded.matches("f1", "film", {"released": (datetime(2009, 2, 3, 12, tzinfo=UTC),)})
    assert excluded.matches("f1", "film", {"released": (datetime(2010, 2, 3, 12, tzinfo=UTC),)})
    assert list(doubts(parse_filters([filter]), {"released"}, found=True)) == []


@pytest.mark.parametrize(
    "filter", ["released=2009", "genre!=Horror", "released!=2009-01-01..2009-12-31", "price!=20.5"]
)
def test_other_filters_say_what_they_do_without_a_catalogue(filter: str) -> None:
    assert list(doubts(parse_filters([filter]), None, found=False)) == []


@pytest.mark.parametrize("text", ["film", "=film", "genre=", "year=..", "year=new..old", "!=x", "genre!="])
def test_says_what_can_not_be_read(text: str) -> None:
    with pytest.raises(InvalidArgument, match="--filter"):
        parse_filters([text])


def test_types_are_named_that_are_wanted() -> None:
    with pytest.raises(InvalidArgument, match=r"name the types that are wanted, type=film\|series"):
        parse_filters(["type!=person"])

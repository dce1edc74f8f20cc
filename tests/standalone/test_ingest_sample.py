"""What is inferred from a file goes by its good lines."""

from pathlib import Path

import pytest

from honeyguide.documents import document_from_json
from honeyguide.errors import InvalidArgument
from honeyguide_standalone.catalog import infer_catalog
from honeyguide_standalone.ingest import EXAMPLE, sample_documents


def test_lines_that_would_be_refused_are_not_inferred_from(tmp_path: Path) -> None:
    file = tmp_path / "songs.jsonl"
    file.write_text(
        '{"id": "1", "type": "song", "attributes": {"year": 1975}}\n'
        "not json\n\n"
        '{"type": "song", "attributes": {"colour": "red"}}\n'
        '{"id": "2", "type": "Bad Type"}\n'
    )
    assert [document.id for document in sample_documents(file)] == ["1"]
    catalog = infer_catalog(sample_documents(file))
    assert [type.name for type in catalog.types] == ["song"]
    assert [attribute.name for attribute in catalog.attributes] == ["year"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "no document in it; one a line is wanted"),
        ("\n\n", "no document in it; one a line is wanted"),
        ("id,title\n" * 301, "no document in the first 301 lines; line 1: is not JSON"),
        ('\n{"type": "film"}\n', "no document in the first 2 lines; line 2: id: is missing or empty"),
        ('{"id": "f1", "title": "Heat"}\n', "line 1: type: is missing or empty"),
    ],
)
def test_a_file_without_a_document_is_refused(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "stray.csv"
    file.write_text(content)
    with pytest.raises(InvalidArgument, match=r"stray\.csv: ") as raised:
        sample_documents(file)
    assert told in raised.value.message
    assert raised.value.message.endswith(EXAMPLE)
    assert document_from_json(EXAMPLE).id == "f1"

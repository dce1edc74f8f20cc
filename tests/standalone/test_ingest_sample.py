"""What is inferred from a file goes by its good lines."""

from pathlib import Path

from honeyguide_standalone.catalog import infer_catalog
from honeyguide_standalone.ingest import sample_documents


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

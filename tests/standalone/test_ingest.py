from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.api.search.v1 import catalog_pb2
from honeyguide.errors import Unavailable
from honeyguide_standalone import ingest
from honeyguide_standalone.ingest import Bookmark, Progress, Refusal


class Catalogue:
    """What a catalogue does on the wire: takes documents, refuses those without a title, fails when told to."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.ids: list[str] = []
        self._fail_after = fail_after

    async def upsert(
        self, requests: AsyncIterator[catalog_pb2.UpsertDocumentsRequest]
    ) -> AsyncIterator[catalog_pb2.UpsertDocumentsResponse]:
        async for request in requests:
            if self._fail_after is not None and len(self.ids) >= self._fail_after:
                raise Unavailable("gone")
            response = catalog_pb2.UpsertDocumentsResponse()
            for index, document in enumerate(request.documents):
                if document.title:
                    self.ids.append(document.id)
                else:
                    error = indexing_pb2.DocumentError(index=index, document_id=document.id, field="title")
                    response.errors.append(error)
            yield response


class Told:
    """What `ingest` told of its progress."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []
        self.lines: list[int] = []

    def __call__(self, progress: Progress, refusals: Sequence[Refusal]) -> None:
        self.lines.append(progress.lines)
        self.refusals.extend(refusals)


def line(number: int, title: str = "t") -> str:
    return f'{{"id": "d{number}", "type": "film", "title": "{title}"}}\n'


async def test_every_line_is_indexed_or_named(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    rows = [line(1), "not json\n", "\n", line(4, title=""), '{"id": 5}\n', line(6)]
    path.write_bytes("".join(rows).encode() + b'{"id": "\xff"}\n' + line(8).rstrip().encode())
    catalogue, told, progress = Catalogue(), Told(), Progress()
    await ingest.ingest(path, catalogue.upsert, progress, told)
    assert catalogue.ids == ["d1", "d6", "d8"]
    assert [(refusal.line, refusal.field) for refusal in told.refusals] == [
        (2, "line"),
        (4, "title"),
        (5, "id"),
        (7, "line"),
    ]
    assert (progress.lines, progress.indexed, progress.refused) == (8, 3, 4)
    assert progress.offset == path.stat().st_size


async def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text(line(1) + line(2), encoding="utf-8-sig")
    assert [document.id for document in ingest.sample_documents(path)] == ["d1", "d2"]
    catalogue, told = Catalogue(), Told()
    await ingest.ingest(path, catalogue.upsert, Progress(), told)
    assert (catalogue.ids, told.refusals) == (["d1", "d2"], [])


async def test_a_number_written_as_text_is_read_and_what_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    prices = ["12.99", 5, "on request", ["7", None, " "], "1,299", True]
    rows = [
        {"id": f"d{i}", "type": "film", "title": "t", "attributes": {"price": price}} for i, price in enumerate(prices)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    catalogue, told = Catalogue(), Told()
    await ingest.ingest(path, catalogue.upsert, Progress(), told, numbers={"price"})
    assert catalogue.ids == ["d0", "d1", "d3", "d5"]
    assert told.refusals == [
        Refusal(3, "attributes.price", "'on request' is not a number, such as 12.99"),
        Refusal(5, "attributes.price", "'1,299' is not a number, such as 12.99"),
    ]


def test_a_bookmark_goes_by_what_was_read_as_numbers(tmp_path: Path) -> None:
    Bookmark(tmp_path, "content", "local").write(Progress(lines=1))
    assert Bookmark(tmp_path, "content", "local", [], ["price"]).read() == Progress()
    assert Bookmark(tmp_path, "content", "local", ["price"]).read() == Progress()


async def test_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "BATCH_DOCUMENTS_MAX", 10)
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(line(number) for number in range(100)), encoding="utf-8")
    bookmark = Bookmark(tmp_path / "index", ingest.content_hash(path), "local")
    first = Catalogue(fail_after=40)
    with pytest.raises(Unavailable):
        await ingest.ingest(path, first.upsert, bookmark.read(), lambda progress, _: bookmark.write(progress))
    settled = bookmark.read()
    assert settled.lines == settled.indexed == len(first.ids) == 40

    second = Catalogue()
    await ingest.ingest(path, second.upsert, bookmark.read(), lambda progress, _: bookmark.write(progress))
    assert first.ids + second.ids == [f"d{number}" for number in range(100)]
    assert bookmark.read().indexed == 100

    third = Catalogue()
    await ingest.ingest(path, third.upsert, bookmark.read(), Told())
    assert third.ids == []
    bookmark.forget()
    assert bookmark.read() == Progress()


async def test_a_changed_file_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text(line(1), encoding="utf-8")
    Bookmark(tmp_path, ingest.content_hash(path), "local").write(Progress(lines=1, offset=50, indexed=1))
    path.write_text(line(2), encoding="utf-8")
    assert Bookmark(tmp_path, ingest.content_hash(path), "local").read() == Progress()
    path.write_text(line(1), encoding="utf-8")
    assert Bookmark(tmp_path, ingest.content_hash(path), "elsewhere:1").read() == Progress()


async def test_a_file_of_refusals_only_is_settled(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text("x\n" * 1_234, encoding="utf-8")
    told, progress = Told(), Progress()
    await ingest.ingest(path, Catalogue().upsert, progress, told)
    assert [refusal.line for refusal in told.refusals] == list(range(1, 1_235))
    assert progress.refused == progress.lines == 1_234


async def test_a_line_beyond_every_bound_is_refused_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LINE_BYTES_MAX", 1_000)
    path = tmp_path / "documents.jsonl"
    path.write_text(line(1, title="t" * 5_000) + line(2), encoding="utf-8")
    catalogue, told, progress = Catalogue(), Told(), Progress()
    await ingest.ingest(path, catalogue.upsert, progress, told)
    assert catalogue.ids == ["d2"]
    assert [refusal.line for refusal in told.refusals] == [1]
    assert progress.offset == path.stat().st_size

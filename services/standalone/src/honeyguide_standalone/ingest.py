"""Bringing a JSON Lines file into a catalogue: batched, bounded, resumable, every bad line named."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.api.search.v1 import catalog_pb2
from honeyguide.documents import document_from_json, document_from_proto
from honeyguide.errors import HoneyguideError, InvalidArgument

BATCH_DOCUMENTS_MAX = 500
BATCH_BYTES_MAX = 2 * 2**20
DOCUMENT_BYTES_MAX = 3 * 2**20
LINE_BYTES_MAX = 16 * 2**20
UNACKNOWLEDGED_MAX = 3
SAMPLE_DOCUMENTS = 1_000
EXAMPLE = '{"id": "f1", "type": "film", "title": "Heat"}'


@dataclass(slots=True)
class Progress:
    """How far a file has come: its first `lines` lines are settled, which end at byte `offset`."""

    lines: int = 0
    offset: int = 0
    indexed: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that was not taken: its number, from 1, the field at fault and what was wrong."""

    line: int
    field: str
    description: str


@dataclass(slots=True)
class _Batch:
    documents: list[document_pb2.Document] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    size_bytes: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    lines_end: int = 0
    offset_end: int = 0


class Bookmark:
    """Remembers, in a folder, which lines of a file are settled.

    It goes by the file's content, its destination, and which attributes were read as times and as numbers: read
    otherwise, they are other documents.
    """

    def __init__(
        self,
        folder: Path,
        content: str,
        destination: str,
        times: Collection[str] = (),
        numbers: Collection[str] = (),
    ) -> None:
        read_as = "".join(
            [*(f" {name!r}" for name in sorted(times)), *(f" number {name!r}" for name in sorted(numbers))]
        )
        key = hashlib.sha256(f"{content} {destination}{read_as}".encode()).hexdigest()[:24]
        self._path = folder / f"{key}.json"

    def read(self) -> Progress:
        """Where to go on; the beginning if nothing is remembered."""
        try:
            return Progress(**json.loads(self._path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return Progress()

    def write(self, progress: Progress) -> None:
        """Remembers atomically."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        record = {name: getattr(progress, name) for name in ("lines", "offset", "indexed", "refused")}
        partial.write_text(json.dumps(record), encoding="utf-8")
        partial.replace(self._path)

    def forget(self) -> None:
        """Starts over next time."""
        self._path.unlink(missing_ok=True)


def content_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sample_documents(path: Path) -> list[document_pb2.Document]:
    """The first documents of a file, leaving out lines that are wrong.

    Raises:
        InvalidArgument: there is none; with what is wrong with the first line that is not empty.
    """
    documents: list[document_pb2.Document] = []
    first_wrong = ""
    with path.open("rb") as file:
        for number, (raw, _) in enumerate(islice(_lines(file), SAMPLE_DOCUMENTS), start=1):
            if raw.strip():
                try:
                    message = _read_line(raw)
                    document_from_proto(message)
                    documents.append(message)
                except InvalidArgument as error:
                    first_wrong = first_wrong or f"; line {number}: {error.message.removeprefix('line: ')}"
    if not documents:
        where = f"in the first {number:,} lines" if first_wrong else "in it"
        raise InvalidArgument(str(path), f"no document {where}{first_wrong}; one a line is wanted, such as {EXAMPLE}")
    return documents


async def ingest(
    path: Path,
    upsert: Callable[
        [AsyncIterator[catalog_pb2.UpsertDocumentsRequest]], AsyncIterator[catalog_pb2.UpsertDocumentsResponse]
    ],
    progress: Progress,
    acknowledged: Callable[[Progress, Sequence[Refusal]], None],
    times: Collection[str] = (),
    numbers: Collection[str] = (),
) -> None:
    """Sends a file through `upsert` (the catalogue's stream) from where `progress` stands.

    `acknowledged` is called whenever further lines are settled, with those of them that were refused. `times` and
    `numbers` name the attributes that are such.

    Raises:
        HoneyguideError: the catalogue service failed; what was acknowledged until then stays settled.
    """
    waiting: deque[_Batch] = deque()
    room = asyncio.Semaphore(UNACKNOWLEDGED_MAX)

    async def requests() -> AsyncIterator[catalog_pb2.UpsertDocumentsRequest]:
        for batch in _batches(path, progress.lines, progress.offset, times, numbers):
            await room.acquire()
            if batch.documents:
                waiting.append(batch)
                yield catalog_pb2.UpsertDocumentsRequest(documents=batch.documents)
            elif waiting:
                _join(waiting[-1], batch)
                room.release()
            else:
                settle(batch, [])
                room.release()

    def settle(batch: _Batch, errors: Sequence[Refusal]) -> None:
        refusals = sorted([*batch.refusals, *errors], key=lambda refusal: refusal.line)
        progress.lines, progress.offset = batch.lines_end, batch.offset_end
        progress.indexed += len(batch.documents) - len(errors)
        progress.refused += len(refusals)
        acknowledged(progress, refusals)

    async for response in upsert(requests()):
        if not waiting:
            raise HoneyguideError("the catalogue service answered more requests than it was sent")
        batch = waiting.popleft()
        room.release()
        settle(batch, [Refusal(batch.lines[error.index], error.field, error.description) for error in response.errors])
    if waiting:
        raise HoneyguideError(f"the catalogue service left {len(waiting)} requests without an answer")


def _join(batch: _Batch, rest: _Batch) -> None:
    batch.refusals.extend(rest.refusals)
    batch.lines_end, batch.offset_end = rest.lines_end, rest.offset_end


def _batches(path: Path, lines: int, offset: int, times: Collection[str], numbers: Collection[str]) -> Iterator[_Batch]:
    batch = _Batch(lines_end=lines, offset_end=offset)
    with path.open("rb") as file:
        file.seek(offset)
        for number, (raw, raw_bytes) in enumerate(_lines(file), start=lines + 1):
            document = None
            if raw.strip():
                try:
                    document = _read_line(raw, times, numbers)
                except InvalidArgument as error:
                    first = error.violations[0]
                    batch.refusals.append(Refusal(number, first.field, first.description))
            size_bytes = document.ByteSize() if document is not None else 0
            full = len(batch.documents) >= BATCH_DOCUMENTS_MAX or batch.size_bytes + size_bytes > BATCH_BYTES_MAX
            if document is not None and full and batch.documents:
                yield batch
                batch = _Batch(lines_end=batch.lines_end, offset_end=batch.offset_end)
            if document is not None:
                batch.documents.append(document)
                batch.lines.append(number)
                batch.size_bytes += size_bytes
            batch.lines_end = number
            batch.offset_end += raw_bytes
            if len(batch.refusals) >= BATCH_DOCUMENTS_MAX:
                yield batch
                batch = _Batch(lines_end=batch.lines_end, offset_end=batch.offset_end)
    if batch.lines_end > lines:
        yield batch


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Each line with its length in bytes; of one beyond the bound only the beginning, so that memory stays bounded."""
    while raw := file.readline(LINE_BYTES_MAX + 1):
        length = len(raw)
        while length > LINE_BYTES_MAX and not raw.endswith(b"\n"):
            rest = file.readline(LINE_BYTES_MAX)
            if not rest:
                break
            length += len(rest)
            if rest.endswith(b"\n"):
                break
        yield raw, length


def _read_line(raw: bytes, times: Collection[str] = (), numbers: Collection[str] = ()) -> document_pb2.Document:
    if len(raw) > LINE_BYTES_MAX:
        raise InvalidArgument("line", "is longer than 16 MiB; a document may have 3 MiB")
    try:
        line = raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InvalidArgument("line", f"is not UTF-8: {error.reason} at byte {error.start}") from None
    document = document_from_json(line, times, numbers)
    for key in ("id", "type"):
        if not getattr(document, key):
            raise InvalidArgument(key, "is missing or empty")
    if document.ByteSize() > DOCUMENT_BYTES_MAX:
        raise InvalidArgument("line", f"makes a document of {document.ByteSize():,} bytes; at most 3 MiB are allowed")
    return document

"""The catalogue's documents as they are handed out: from the journal, those fetched last from memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import cut_popularity
from honeyguide.journal import Change, Journal
from honeyguide_lexical.snippets import ReadText, Snippets

MESSAGE_SHARE = 3
"""Memory that a message takes, by its bytes on the wire."""
READ_BYTES_A_CHAR = 3
"""Memory that a read text takes: the text, and for each word its place and stem, 8 bytes."""


class Shelved:
    """A document, and its text as it was last read for snippets. Nobody may change the document."""

    __slots__ = ("_read", "document", "size_bytes")

    def __init__(self, payload: bytes) -> None:
        self.document = cut_popularity(document_pb2.Document.FromString(payload))
        self.size_bytes = MESSAGE_SHARE * len(payload) + READ_BYTES_A_CHAR * len(self.document.text)
        self._read: tuple[Snippets, ReadText] | None = None

    def is_read(self, snippets: Snippets) -> bool:
        """True if these snippets read the text last."""
        return self._read is not None and self._read[0] is snippets

    def text(self, snippets: Snippets) -> ReadText:
        """The document's text as these snippets read it."""
        if self._read is not None and self._read[0] is snippets:
            return self._read[1]
        read = snippets.read(self.document.text)
        self._read = (snippets, read)
        return read


class Shelf:
    """Documents by id, never older than what was written last. Safe to call from several threads.

    All writing to the journal goes through here. At most about `bytes_max` stay in memory; the coldest leave.
    """

    def __init__(self, journal: Journal, bytes_max: int) -> None:
        self._journal = journal
        self._bytes_max = bytes_max
        self._kept: OrderedDict[str, Shelved] = OrderedDict()
        self._kept_bytes = 0
        self._writes = 0
        self._lock = threading.Lock()

    def write(self, changes: Sequence[tuple[str, bytes | None]]) -> int:
        """Journals documents (None = deleted); returns the journal's newest number."""
        with self._writing(id for id, _ in changes):
            return self._journal.write(changes)

    def copy(self, journal_id: str, beginnings: Mapping[str, int], changes: Sequence[Change], newest: int) -> int:
        """Takes over changes of another journal, see `Journal.copy`."""
        with self._writing(change.document_id for change in changes):
            return self._journal.copy(journal_id, beginnings, changes, newest)

    @contextmanager
    def _writing(self, document_ids: Iterable[str]) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                self._writes += 1
                for id in document_ids:
                    self._drop(id)

    def kept(self, document_ids: Iterable[str]) -> dict[str, Shelved]:
        """Those of the documents that are in memory."""
        found = {}
        with self._lock:
            for id in document_ids:
                shelved = self._kept.get(id)
                if shelved is not None:
                    self._kept.move_to_end(id)
                    found[id] = shelved
        return found

    def fetch(self, document_ids: Iterable[str]) -> dict[str, Shelved]:
        """Those of the documents that there are."""
        ids = list(dict.fromkeys(document_ids))
        writes = self._writes
        found = self.kept(ids)
        missing = [id for id in ids if id not in found]
        if missing:
            read = {id: Shelved(payload) for id, payload in self._journal.fetch(missing).items()}
            self._keep(read, writes)
            found.update(read)
        return found

    def _keep(self, documents: Mapping[str, Shelved], writes: int) -> None:
        """Keeps what was read after so many writes, unless there were more since: then it may be of before."""
        with self._lock:
            if self._writes != writes:
                return
            for id, shelved in documents.items():
                self._drop(id)
                if shelved.size_bytes <= self._bytes_max:
                    self._kept[id] = shelved
                    self._kept_bytes += shelved.size_bytes
            while self._kept_bytes > self._bytes_max:
                self._drop(next(iter(self._kept)))

    def _drop(self, id: str) -> None:
        shelved = self._kept.pop(id, None)
        if shelved is not None:
            self._kept_bytes -= shelved.size_bytes

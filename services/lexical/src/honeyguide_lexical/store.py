"""Everything on disk, kept together: journal, full-text index and lexicon, and how the latter two catch up."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2
from honeyguide.documents import Document, cut_popularity, document_from_proto
from honeyguide.folder import lock_folder, size_bytes
from honeyguide.journal import Change, Journal
from honeyguide_lexical.fulltext import FullText
from honeyguide_lexical.layout import Layout, layout_from
from honeyguide_lexical.lexicon import Lexicon
from honeyguide_lexical.shelf import Shelf

log = structlog.get_logger("honeyguide.lexical")

CONFIGURATION, INDEX_STATE = "configuration", "index"
REBUILD_BATCH, REBUILD_BYTES = 2_000, 32 * 2**20


class Store:
    """The journal is the truth; index and lexicon each remember the journal's number that they hold.

    The index's folder, layout and number are one setting of the journal, written after each commit. A death between
    the two only means that some changes are applied again, which changes nothing. Writing is for one thread at a time.
    """

    def __init__(self, data_dir: Path, writer_bytes: int, writer_threads: int, document_cache_bytes: int) -> None:
        self._lock = lock_folder(data_dir)
        self._data_dir = data_dir
        self._writer_bytes = writer_bytes
        self._writer_threads = writer_threads
        self._put: dict[str, Document | None] = {}
        self._lost = False
        try:
            self.journal = Journal(data_dir / "journal.sqlite3")
            self.shelf = Shelf(self.journal, document_cache_bytes)
            self._layout = layout_from(self.configuration)
            self.index, self._index_sequence = self._open_index()
            self._catch_up()
            self.lexicon_path = data_dir / "lexicon.sqlite3"
            self._lexicon = self._open_lexicon()
        except BaseException:
            self._lock.close()
            raise

    @property
    def configuration(self) -> indexing_pb2.CatalogConfiguration:
        """The catalogue's configuration as it was set last."""
        stored = self.journal.setting(CONFIGURATION)
        return indexing_pb2.CatalogConfiguration.FromString(stored or b"")

    def put(self, changes: Mapping[str, Document | None]) -> None:
        """Takes changes in, to be found after `commit`."""
        with self._whole():
            self.index.apply(changes)
            self._put.update(changes)

    def commit(self, sequence: int) -> None:
        """Makes all that was put, up to that number of the journal, durable and found, and what it names known.

        Tantivy's own thread still indexes while the names go into SQLite: all of them in one transaction, as every one
        writes half of the lexicon's pages again.
        """
        with self._whole():
            self._lexicon.apply(self._put, sequence, self._layout)
            self._put = {}
            self._commit_index(sequence)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """For changes: with one that fails (a full disk, say) the index loses what was put since its last commit. Then
        all of that is applied again, from the journal, before the next."""
        if self._lost:
            self.index.discard()
            self._catch_up()
            self._lost = False
        try:
            yield
        except BaseException:
            self._lost = True
            raise

    def configure(self, configuration: indexing_pb2.CatalogConfiguration) -> None:
        """Stores a configuration and, if it changes what is on disk, rebuilds that from the journal.

        Searches see the index before until the new one is complete. What fails half-way goes on when it is configured
        again, or at the next start.

        Raises:
            InvalidArgument: if the configuration is wrong.
        """
        layout = layout_from(configuration)
        self.journal.store_setting(CONFIGURATION, configuration.SerializeToString(deterministic=True))
        if self.index.layout.fingerprint == layout.fingerprint:
            self.index.layout = layout
        else:
            old = self.index
            self.index, self._index_sequence = self._build_index(layout)
            old.close()
            shutil.rmtree(old.folder, ignore_errors=True)
        if self._lexicon.fingerprint != layout.fingerprint:
            self._lexicon.rebuild(self._batches(0), layout)
        self._layout = layout

    def documents_by_type(self) -> dict[str, int]:
        """How many documents there are of each type, as far as applied."""
        return self._lexicon.documents_by_type()

    def figures(self) -> dict[str, float]:
        """What is held, for people to read."""
        return {"segments": float(self.index.searcher.num_segments), **self._lexicon.figures()}

    def size_bytes(self) -> int:
        """Bytes on disk."""
        return size_bytes(self._data_dir)

    def close(self) -> None:
        """Closes everything and lets the folder go."""
        self.index.close()
        self._lexicon.close()
        self.journal.close()
        self._lock.close()

    def _open_index(self) -> tuple[FullText, int]:
        state = json.loads(self.journal.setting(INDEX_STATE) or b"{}")
        for folder in self._data_dir.glob("index-*"):
            if folder.name != state.get("folder"):
                shutil.rmtree(folder, ignore_errors=True)
        if state.get("fingerprint") == self._layout.fingerprint and FullText.exists(self._data_dir / state["folder"]):
            try:
                return self._full_text(self._data_dir / state["folder"], self._layout), state["sequence"]
            except (ValueError, OSError) as error:
                log.warning("index cannot be opened", folder=state["folder"], error=str(error))
        return self._build_index(self._layout)

    def _build_index(self, layout: Layout) -> tuple[FullText, int]:
        """A new index of all the journal has, in a folder of its own, that is then the one."""
        taken = [int(path.name.removeprefix("index-")) for path in self._data_dir.glob("index-*")]
        index = self._full_text(self._data_dir / f"index-{max(taken, default=0) + 1:06d}", layout)
        with ExitStack() as failing:
            failing.callback(shutil.rmtree, index.folder, ignore_errors=True)
            failing.callback(index.close)
            sequence = 0
            for changes, newest in self._batches(0):
                sequence = newest
                index.apply(changes)  # deletions too: the document may have come with a batch before
            index.commit()
            self._remember(index, sequence)
            failing.pop_all()
        if sequence:
            log.info("index built", folder=index.folder.name, documents=index.searcher.num_docs)
        return index, sequence

    def _full_text(self, folder: Path, layout: Layout) -> FullText:
        return FullText(folder, layout, self._writer_bytes, self._writer_threads)

    def _catch_up(self) -> None:
        for changes, sequence in self._batches(self._index_sequence):
            self.index.apply(changes)
            self._commit_index(sequence)

    def _open_lexicon(self) -> Lexicon:
        """The lexicon, as the journal has it; one that is damaged is built anew."""
        try:
            return self._current_lexicon()
        except sqlite3.OperationalError:  # no damage: a full disk, say
            raise
        except sqlite3.DatabaseError as error:
            log.warning("lexicon is damaged and built anew", error=str(error))
        for path in self._data_dir.glob(f"{self.lexicon_path.name}*"):
            path.unlink()
        return self._current_lexicon()

    def _current_lexicon(self) -> Lexicon:
        lexicon = Lexicon(self.lexicon_path)
        try:
            if lexicon.fingerprint != self._layout.fingerprint:
                lexicon.rebuild(self._batches(0), self._layout)
            for changes, sequence in self._batches(lexicon.sequence):
                lexicon.apply(changes, sequence, self._layout)
        except BaseException:
            lexicon.close()
            raise
        return lexicon

    def _commit_index(self, sequence: int) -> None:
        self.index.commit()
        self._index_sequence = sequence
        self._remember(self.index, sequence)

    def _remember(self, index: FullText, sequence: int) -> None:
        state = {
            "folder": index.folder.name,
            "fingerprint": index.layout.fingerprint,
            "sequence": sequence,
        }
        self.journal.store_setting(INDEX_STATE, json.dumps(state).encode())

    def _batches(self, sequence: int) -> Iterator[tuple[dict[str, Document | None], int]]:
        batch: list[Change] = []
        size = 0
        for change in self.journal.since(sequence):
            batch.append(change)
            size += len(change.payload or b"")
            if len(batch) == REBUILD_BATCH or size >= REBUILD_BYTES:
                yield dict(read_changes(batch)), change.sequence
                batch, size = [], 0
        if batch:
            yield dict(read_changes(batch)), batch[-1].sequence


def read_changes(changes: Iterable[Change]) -> Iterator[tuple[str, Document | None]]:
    """The documents of a journal's changes by id, None = deleted."""
    for change in changes:
        if change.payload is None:
            yield change.document_id, None
        else:
            message = cut_popularity(document_pb2.Document.FromString(change.payload))
            yield change.document_id, document_from_proto(message)

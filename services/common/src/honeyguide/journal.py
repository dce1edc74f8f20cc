"""A durable journal of the catalogue, one row a document: what an index is rebuilt and caught up from.

A write is durable when it returns: it survives the death of the process and, since every transaction is synced to disk
(`synchronous=FULL`, one sync a batch), that of the machine. Every change takes the next sequence number, so that an
index which remembers the number it was saved at reads only what came after.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

ROWS_A_STATEMENT = 250
"""A statement a row would hand Python's lock over at every single one, to threads that keep it for milliseconds."""

_IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class Change:
    """One document's last change: its number, its id, and what it is now (None = deleted)."""

    sequence: int
    document_id: str
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Which journal it is, and what of it.

    Attributes:
        id: tells the journal, and its copies, from all others.
        beginnings: journals that this one continues, and the number of the last change that they have in common.
        is_copy: the journal goes on elsewhere.
        level: of a copy: it had all there was when it took its last change over. Else what was changed again since is
            in it nowhere, as every document has one row, that of its last change.
        whole: of a copy: it was level once.
    """

    id: str
    beginnings: Mapping[str, int] = field(default_factory=dict)
    is_copy: bool = False
    level: bool = True
    whole: bool = True


class Journal:
    """The journal in one SQLite file. Safe to call from several threads; one process owns a file at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        # In the order of the changes: written at the end, and read in one piece. Journals of versions before are in the
        # order of ids, with an index by sequence; they are read and written by the same statements.
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS documents (id TEXT NOT NULL UNIQUE, sequence INTEGER PRIMARY KEY, payload BLOB)"
        )
        self._database.execute("CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        row = self._database.execute("SELECT max(sequence) FROM documents").fetchone()
        self._sequence: int = row[0] or 0
        stored = self.setting(_IDENTITY)
        self._identity = Identity(**json.loads(stored)) if stored else Identity(uuid.uuid4().hex)
        if not stored:
            self.store_setting(_IDENTITY, _packed(self._identity))

    @property
    def identity(self) -> Identity:
        """Which journal it is."""
        return self._identity

    @property
    def sequence(self) -> int:
        """Number of the newest change; 0 = none yet."""
        return self._sequence

    def write(self, changes: Iterable[tuple[str, bytes | None]]) -> int:
        """Writes documents (or None for a deletion) in one transaction; returns the newest number.

        A copy that is written to is one no more: it is a journal of its own then, which continues the one that it was
        a copy of, if it was level.
        """
        with self._lock:
            numbered = [(id, self._sequence + 1 + i, payload) for i, (id, payload) in enumerate(changes)]
            own = self._identity
            if own.is_copy and numbered:
                beginnings = {**own.beginnings, own.id: self._sequence} if own.level else {}
                own = Identity(uuid.uuid4().hex, beginnings)
            return self._insert(numbered, own)

    def copy(self, journal_id: str, beginnings: Mapping[str, int], changes: Sequence[Change], newest: int) -> int:
        """Takes over changes of a journal that `continues` this one in one transaction, under their numbers; returns
        the newest number. From then on this one is a copy.

        Args:
            journal_id: that journal.
            beginnings: the journals that it continues.
            changes: all that it has after the newest number of this one, or the first of them.
            newest: number of its newest change.
        """
        with self._lock:
            level = (changes[-1].sequence if changes else self._sequence) >= newest
            whole = level or (self._identity.whole and self._sequence > 0)
            numbered = [(change.document_id, change.sequence, change.payload) for change in changes]
            return self._insert(numbered, Identity(journal_id, dict(beginnings), True, level, whole))

    def continues(self, journal_id: str, sequence: int, level: bool) -> bool:
        """Whether a copy of that journal, up to that number, is the beginning of this one; an empty one always is.

        A copy that was not level lacks what was changed again since, which only the journal that it copies has under
        numbers above its own.
        """
        if sequence == 0:
            return True
        if journal_id == self._identity.id:
            return sequence <= self._sequence
        return level and sequence <= self._identity.beginnings.get(journal_id, 0)

    def _insert(self, numbered: Sequence[tuple[str, int, bytes | None]], identity: Identity) -> int:
        if not numbered and identity == self._identity:
            return self._sequence
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for begin in range(0, len(numbered), ROWS_A_STATEMENT):
                rows = numbered[begin : begin + ROWS_A_STATEMENT]
                self._database.execute(
                    f"INSERT INTO documents VALUES {','.join(['(?,?,?)'] * len(rows))}"
                    " ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, payload = excluded.payload",
                    list(chain.from_iterable(rows)),
                )
            if identity != self._identity:
                self._store(_IDENTITY, _packed(identity))
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # a full disk makes SQLite roll back by itself
                self._database.execute("ROLLBACK")
            raise
        self._identity = identity
        if numbered:
            self._sequence = numbered[-1][1]
        return self._sequence

    def _store(self, name: str, value: bytes) -> None:
        self._database.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def fetch(self, document_ids: Sequence[str]) -> dict[str, bytes]:
        """Payloads of those documents that there are."""
        found: dict[str, bytes] = {}
        with self._lock:
            for begin in range(0, len(document_ids), 500):
                ids = document_ids[begin : begin + 500]
                marks = ",".join("?" * len(ids))
                found.update(
                    self._database.execute(
                        f"SELECT id, payload FROM documents WHERE id IN ({marks}) AND payload IS NOT NULL", ids
                    )
                )
        return found

    def since(self, sequence: int, batch: int = 100) -> Iterator[Change]:
        """Changes after a number, in their order. Deleted documents come too."""
        while True:
            with self._lock:
                rows = self._database.execute(
                    "SELECT sequence, id, payload FROM documents WHERE sequence > ? ORDER BY sequence LIMIT ?",
                    (sequence, batch),
                ).fetchall()
            if not rows:
                return
            for row in rows:
                yield Change(*row)
            sequence = rows[-1][0]

    def setting(self, name: str) -> bytes | None:
        """A stored setting, or None."""
        with self._lock:
            row = self._database.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def store_setting(self, name: str, value: bytes) -> None:
        """Stores a setting durably."""
        with self._lock:
            self._store(name, value)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._database.close()


def _packed(identity: Identity) -> bytes:
    return json.dumps(asdict(identity)).encode()

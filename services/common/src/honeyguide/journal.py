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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
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
class _Identity:
    """Which journal it is.

    is_copy: of the journal of that id, which goes on elsewhere. continued, continued_to: the journal that this one was
    a copy of before it went on by itself, and the number up to which they are the same.
    """

    id: str
    is_copy: bool = False
    continued: str = ""
    continued_to: int = 0


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
        identity = self.setting(_IDENTITY)
        self._identity = _Identity(**json.loads(identity)) if identity else self._become(_Identity(uuid.uuid4().hex))

    @property
    def id(self) -> str:
        """Tells this journal, and its copies, from all others."""
        return self._identity.id

    @property
    def sequence(self) -> int:
        """Number of the newest change; 0 = none yet."""
        return self._sequence

    def write(self, changes: Iterable[tuple[str, bytes | None]]) -> int:
        """Writes documents (or None for a deletion) in one transaction; returns the newest number."""
        with self._lock:
            return self._insert([(id, self._sequence + 1 + i, payload) for i, (id, payload) in enumerate(changes)])

    def copy(self, journal_id: str, changes: Iterable[Change]) -> int:
        """Takes over changes of a journal that `continues` this one in one transaction, under their numbers; returns
        the newest number. From then on this one is a copy."""
        wanted = _Identity(journal_id, is_copy=True)
        if self._identity != wanted:
            self._identity = self._become(wanted)
        with self._lock:
            return self._insert([(change.document_id, change.sequence, change.payload) for change in changes])

    def lead(self) -> None:
        """Goes on by itself: what was a copy is a journal of its own, which continues the one that it was a copy of."""
        if self._identity.is_copy:
            self._identity = self._become(
                _Identity(uuid.uuid4().hex, continued=self._identity.id, continued_to=self._sequence)
            )

    def continues(self, journal_id: str, sequence: int) -> bool:
        """Whether a copy of that journal, up to that number, is the beginning of this one; an empty one always is."""
        if journal_id == self._identity.continued:
            return sequence <= self._identity.continued_to
        return sequence == 0 or (journal_id == self.id and sequence <= self._sequence)

    def _become(self, identity: _Identity) -> _Identity:
        self.store_setting(_IDENTITY, json.dumps(asdict(identity)).encode())
        return identity

    def _insert(self, numbered: Sequence[tuple[str, int, bytes | None]]) -> int:
        if not numbered:
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
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # a full disk makes SQLite roll back by itself
                self._database.execute("ROLLBACK")
            raise
        self._sequence = numbered[-1][1]
        return self._sequence

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
            self._database.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._database.close()

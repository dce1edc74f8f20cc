"""Embeddings of document texts by what they were made from, so that no text is encoded twice by one encoder."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import structlog

from honeyguide_vector.encoder import Vectors

log = structlog.get_logger("honeyguide.vector.embedding_cache")

KEY_BYTES = 16


def key_of(identity: str, text: str) -> bytes:
    """The key of a text's embedding by an encoder of this identity: 16 bytes."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=KEY_BYTES, key=_salt(identity)).digest()


def _salt(identity: str) -> bytes:
    return hashlib.blake2b(identity.encode(), digest_size=32).digest()


class EmbeddingCache:
    """Embeddings in one SQLite file, which several processes may share. Losing it costs time and nothing else: a
    damaged file is made anew, whenever that is found.

    When more than `entries_max` are kept, the oldest leave.
    """

    def __init__(self, path: Path, entries_max: int) -> None:
        self._path = path
        self._entries_max = entries_max
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = self._connected()
        with self._mending():
            self._prepare()

    def fetch(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        """Those of the embeddings that are kept."""
        found: dict[bytes, Vectors] = {}
        with self._lock, self._mending():
            for begin in range(0, len(keys), 500):
                some = keys[begin : begin + 500]
                marks = ",".join("?" * len(some))
                for key, vector in self._database.execute(
                    f"SELECT key, vector FROM embeddings WHERE key IN ({marks})", some
                ):
                    found[key] = np.frombuffer(vector, "<f4")
        return found

    def store(self, vectors: Mapping[bytes, Vectors]) -> None:
        """Keeps embeddings."""
        if not self._entries_max or not vectors:
            return
        rows = [(key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()]
        with self._lock, self._mending():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany("INSERT OR IGNORE INTO embeddings (key, vector) VALUES (?, ?)", rows)
                self._database.execute(
                    "DELETE FROM embeddings WHERE number <= (SELECT max(number) FROM embeddings) - ?",
                    (self._entries_max,),
                )
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # a damaged file makes SQLite roll back by itself
                    self._database.execute("ROLLBACK")
                raise

    def __len__(self) -> int:
        with self._lock, self._mending():
            count: int = self._database.execute("SELECT count(*) FROM embeddings").fetchone()[0]
            return count
        return 0

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._database.close()

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=30)

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS embeddings (number INTEGER PRIMARY KEY, key BLOB UNIQUE NOT NULL, vector BLOB)"
        )

    @contextmanager
    def _mending(self) -> Iterator[None]:
        """Ends what fails without an error: whoever asks does without the cache. A damaged file is made anew."""
        try:
            yield
        except sqlite3.OperationalError as error:  # a full disk, a file in use
            log.warning("embedding cache cannot be used", path=str(self._path), error=str(error))
        except sqlite3.DatabaseError as error:
            log.warning("embedding cache is damaged and is made anew", path=str(self._path), error=str(error))
            self._database.close()
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            self._database = self._connected()
            self._prepare()

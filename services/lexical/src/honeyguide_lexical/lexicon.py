"""What queries may name: titles, aliases, attribute values and type names, by their normalised form.

Kept in SQLite beside the journal. A batch of changes is one transaction that also stores the journal's number, so the
lexicon holds exactly what the journal held at that number, whatever happens. Every name counts the documents that
carry it and goes with the last of them.

Tables: `documents` (with the numbers of their readings, those of titles negative), `readings` (a name as a title of a
type, or as a value of an attribute; "Sci-Fi" and "Sci Fi" are two of one name, since filters tell them apart),
`mentions` (which documents have a title, most popular first; those that have a value are what a filter finds), `words`
(the words of names, by how many readings have them) and `deletions` (see `spelling`).
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from honeyguide.documents import Document
from honeyguide_lexical.analysis import Analysis
from honeyguide_lexical.layout import Layout
from honeyguide_lexical.spelling import deletion_keys
from honeyguide_lexical.text_values import name_of

_TABLES = {
    "documents": """(
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, unpopularity REAL NOT NULL,
        readings BLOB NOT NULL)""",
    "readings": """(
        number INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, attribute TEXT NOT NULL,
        spelling TEXT NOT NULL, value TEXT NOT NULL, document_count INTEGER NOT NULL,
        UNIQUE (name, type, attribute, spelling))""",
    "mentions": """(
        reading INTEGER NOT NULL, unpopularity REAL NOT NULL, document INTEGER NOT NULL,
        PRIMARY KEY (reading, unpopularity, document)) WITHOUT ROWID""",
    "words": "(word TEXT PRIMARY KEY, reading_count INTEGER NOT NULL) WITHOUT ROWID",
    "deletions": "(key INTEGER NOT NULL, word TEXT NOT NULL, PRIMARY KEY (key, word)) WITHOUT ROWID",
    "settings": "(name TEXT PRIMARY KEY, value) WITHOUT ROWID",
}
# Many rows go into one statement each: a statement a row would hand Python's lock over at every single one, and the
# threads that take documents in keep it for milliseconds.
_CHUNK = 500
_CHUNK_OR = 250
# Documents: what SQLite is handed as one JSON text takes Python's lock while it is written.
_APPLIED_AT_ONCE = 500
TYPE_NAME, TYPE_STEM = "type", "type stem"
"""In a reading's attribute, together with a type: the name is the type's own, or the stem of it, so that "companies"
names the type company."""

Key = tuple[str, str, str, str]
"""Name, type, attribute, and of a value its spelling (see `TextValue`): what tells readings apart."""


class Lexicon:
    """The lexicon in one SQLite file. `apply` and `reset` are for one thread at a time; reading for any."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, cached_statements=256)
        self._by_type: Counter[str] | None = None
        self._gained: Counter[str] = Counter()
        try:
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute("PRAGMA cache_size=-32768")
            self._create_tables()
        except BaseException:
            self._database.close()
            raise

    @property
    def sequence(self) -> int:
        """Number of the journal's change up to which the lexicon is current."""
        return int(self._setting("sequence", 0))

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the layout it was built with."""
        return str(self._setting("fingerprint", ""))

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def rebuild(self, batches: Iterable[tuple[Mapping[str, Document | None], int]], layout: Layout) -> None:
        """Replaces everything by batches of changes and the number each ends at; readers see the old until the end."""
        self._by_type = None
        with self._transaction():
            for table in _TABLES:  # dropped, not emptied: they may be those of an older layout
                self._database.execute(f"DROP TABLE {table}")
            self._create_tables()
            self._store("fingerprint", layout.fingerprint)
            for changes, sequence in batches:
                self._apply_all(changes, layout)
                self._store("sequence", sequence)

    def apply(self, changes: Mapping[str, Document | None], sequence: int, layout: Layout) -> None:
        """Brings documents (None = deleted) up to date and moves on to a number, all or nothing."""
        with self._transaction():
            self._apply_all(changes, layout)
            self._store("sequence", sequence)

    def documents_by_type(self) -> dict[str, int]:
        """How many documents there are of each type; counted once, as that takes the longer the more there are."""
        if self._by_type is None:
            self._by_type = Counter(dict(self._database.execute("SELECT type, count(*) FROM documents GROUP BY type")))
        return {type: count for type, count in self._by_type.items() if count}

    def figures(self) -> dict[str, float]:
        """Names and words held, for people to read."""
        names, words = self._database.execute(
            "SELECT (SELECT count(*) FROM readings), (SELECT count(*) FROM words)"
        ).fetchone()
        return {"names": float(names), "words": float(words)}

    def _create_tables(self) -> None:
        for table, columns in _TABLES.items():
            self._database.execute(f"CREATE TABLE IF NOT EXISTS {table} {columns}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        self._gained.clear()
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        if self._by_type is not None:
            self._by_type.update(self._gained)

    def _store(self, name: str, value: object) -> None:
        self._database.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def _setting(self, name: str, default: Any) -> Any:
        row = self._database.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return row[0] if row else default

    def _apply_all(self, changes: Mapping[str, Document | None], layout: Layout) -> None:
        each = iter(changes.items())
        while some := dict(islice(each, _APPLIED_AT_ONCE)):
            self._apply(some, layout)

    def _apply(self, changes: Mapping[str, Document | None], layout: Layout) -> None:
        deltas: Counter[int] = Counter()
        self._forget(changes, deltas)
        written = [document for document in changes.values() if document is not None]
        if written:
            self._learn(written, layout, deltas)
        moved = {number: delta for number, delta in deltas.items() if delta}
        self._database.execute(
            "UPDATE readings SET document_count = document_count + moved.value FROM json_each(?) AS moved"
            " WHERE number = moved.key",
            (json.dumps(moved),),
        )
        self._drop_unused([number for number, delta in moved.items() if delta < 0])

    def _forget(self, ids: Iterable[str], deltas: Counter[int]) -> None:
        known = self._rows("SELECT number, type, unpopularity, readings FROM documents WHERE id IN ({})", list(ids))
        mentions: list[tuple[int, float, int]] = []
        for number, type, unpopularity, packed in known:
            self._gained[type] -= 1
            readings = array("q", packed)
            deltas.subtract(map(abs, readings))
            mentions.extend((-reading, unpopularity, number) for reading in readings if reading < 0)
        for begin in range(0, len(mentions), _CHUNK_OR):
            some = mentions[begin : begin + _CHUNK_OR]
            where = " OR ".join(["(reading = ? AND unpopularity = ? AND document = ?)"] * len(some))
            self._database.execute(f"DELETE FROM mentions WHERE {where}", list(chain.from_iterable(some)))
        self._rows("DELETE FROM documents WHERE number IN ({})", [number for number, *_ in known])

    def _learn(self, documents: Sequence[Document], layout: Layout, deltas: Counter[int]) -> None:
        first = (self._database.execute("SELECT max(number) FROM documents").fetchone()[0] or 0) + 1
        keys = [_keys(document, layout) for document in documents]
        values: dict[Key, str] = {}
        for found in reversed(keys):  # so that the first to write a name is who says how it is written
            values.update(found)
        numbers = self._numbers(values, Counter(chain.from_iterable(keys)), deltas)
        for key, number in numbers.items():
            if _is_title(key):
                numbers[key] = -number
        rows: list[tuple[int, str, str, float, bytes]] = []
        mentions: list[tuple[int, float, int]] = []
        for number, (document, found) in enumerate(zip(documents, keys, strict=True), first):
            self._gained[document.type] += 1
            readings = array("q", map(numbers.__getitem__, found))
            rows.append((number, document.id, document.type, -document.popularity, readings.tobytes()))
            mentions.extend((-reading, -document.popularity, number) for reading in readings if reading < 0)
        self._insert("documents", rows)
        self._insert("mentions", sorted(mentions))

    def _numbers(self, values: Mapping[Key, str], counts: Mapping[Key, int], deltas: Counter[int]) -> dict[Key, int]:
        """The readings' numbers. New ones begin with their counts; by how much the others grow is put into `deltas`."""
        names = list(dict.fromkeys(name for name, *_ in values))
        rows = self._rows("SELECT name, type, attribute, spelling, number FROM readings WHERE name IN ({})", names)
        known = {(name, type, attribute, spelling): number for name, type, attribute, spelling, number in rows}
        numbers = {key: known[key] for key in values if key in known}
        for key, number in numbers.items():
            deltas[number] += counts[key]
        new = sorted(values.keys() - numbers.keys())
        if new:
            first = (self._database.execute("SELECT max(number) FROM readings").fetchone()[0] or 0) + 1
            self._insert("readings", [(first + i, *key, values[key], counts[key]) for i, key in enumerate(new)])
            numbers.update((key, first + i) for i, key in enumerate(new))
            self._count_words(_words(new))
        return numbers

    def _count_words(self, gained: Counter[str]) -> None:
        known = {row[0] for row in self._rows("SELECT word FROM words WHERE word IN ({})", list(gained))}
        self._database.execute(
            "INSERT INTO words SELECT key, value FROM json_each(?) WHERE true ON CONFLICT (word) DO UPDATE SET"
            " reading_count = reading_count + excluded.reading_count",
            (json.dumps(gained),),
        )
        keys = {word: list(deletion_keys(word)) for word in gained if word not in known}
        self._database.execute(
            "INSERT OR IGNORE INTO deletions SELECT keys.value, words.key"
            " FROM json_each(?) AS words, json_each(words.value) AS keys ORDER BY 1, 2",
            (json.dumps(keys),),
        )

    def _drop_unused(self, numbers: Sequence[int]) -> None:
        gone = self._rows(
            "SELECT number, name, type, attribute, spelling FROM readings WHERE document_count = 0 AND number IN ({})",
            numbers,
        )
        if not gone:
            return
        self._rows("DELETE FROM readings WHERE number IN ({})", [number for number, *_ in gone])
        lost = _words((name, type, attribute, spelling) for _, name, type, attribute, spelling in gone)
        self._database.execute(
            "UPDATE words SET reading_count = reading_count - lost.value FROM json_each(?) AS lost"
            " WHERE word = lost.key",
            (json.dumps(lost),),
        )
        unused = self._rows("SELECT word FROM words WHERE reading_count = 0 AND word IN ({})", list(lost))
        words = [row[0] for row in unused]
        self._rows("DELETE FROM words WHERE word IN ({})", words)
        self._database.execute(
            "DELETE FROM deletions WHERE (key, word) IN"
            " (SELECT keys.value, words.key FROM json_each(?) AS words, json_each(words.value) AS keys)",
            (json.dumps({word: list(deletion_keys(word)) for word in words}),),
        )

    def _insert(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        for begin in range(0, len(rows), _CHUNK):
            some = rows[begin : begin + _CHUNK]
            row = f"({','.join('?' * len(some[0]))})"
            self._database.execute(
                f"INSERT INTO {table} VALUES {','.join([row] * len(some))}", list(chain.from_iterable(some))
            )

    def _rows(self, statement: str, values: Sequence[str | int]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for begin in range(0, len(values), _CHUNK):
            chunk = values[begin : begin + _CHUNK]
            rows.extend(self._database.execute(statement.format(",".join("?" * len(chunk))), chunk))
        return rows


def _is_title(key: Key) -> bool:
    _, type, attribute, _ = key
    return type != "" and attribute == ""


def _words(keys: Iterable[Key]) -> Counter[str]:
    """In how many names each word is; a stem is not a word."""
    return Counter(word for name, _, attribute, _ in keys if attribute != TYPE_STEM for word in set(name.split(" ")))


@lru_cache(maxsize=1_024)
def _type_keys(type: str, language: str) -> tuple[Key, ...]:
    name = name_of(type)
    stem = Analysis(language).stem(name)
    return (
        ((name, type, TYPE_NAME, ""),)
        if stem == name or " " in name
        else ((name, type, TYPE_NAME, ""), (stem, type, TYPE_STEM, ""))
    )


def _keys(document: Document, layout: Layout) -> dict[Key, str]:
    """What a document can be named by: key to the value as the catalogue writes it."""
    keys = dict.fromkeys(_type_keys(document.type, layout.language), document.type)
    for title in layout.names(document):
        if name := name_of(title):
            keys.setdefault((name, document.type, "", ""), title)
    for attribute, value, read in layout.labels(document):
        keys.setdefault((read.name, "", attribute, read.spelling), value)
    return keys

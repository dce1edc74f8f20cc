"""Finding what a query names: its word runs looked up in the lexicon, misspelt words corrected first."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import tantivy

from honeyguide.query import Span, SpanReading
from honeyguide_lexical.analysis import Analysis
from honeyguide_lexical.fulltext import PLAIN
from honeyguide_lexical.lexicon import TYPE_NAME, TYPE_STEM
from honeyguide_lexical.spelling import deletion_keys, edits_allowed, nearest
from honeyguide_lexical.text_values import NAME_WORDS_MAX

QUERY_WORDS_MAX = 24
READINGS_A_SPAN_MAX = 16
DOCUMENTS_A_READING_MAX = 5
NEAR_WORDS_MAX = 2_000


Row = tuple[int, str, str, str, int]
"""A reading: number, type, attribute, value, how many documents."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """The spans of a query, its words with misspelt ones corrected, and the words' inverse document frequencies."""

    spans: tuple[Span, ...]
    corrected_words: tuple[str, ...]
    idfs: tuple[float, ...]


class Recognizer:
    """Reads the lexicon over connections of its own, one a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []

    def recognize(self, normalized_query: str, searcher: tantivy.Searcher, analysis: Analysis) -> Recognition:
        """What the first QUERY_WORDS_MAX words of a normalised query name.

        A word that the catalogue does not have is replaced by the nearest word of any name, if one is near enough.
        The inverse document frequency is ln((N - df + .5) / (df + .5) + 1), as BM25 has it; 0 for unknown words.
        """
        words = normalized_query.split()[:QUERY_WORDS_MAX]
        frequencies = [_frequency(searcher, analysis, word) for word in words]
        database = self._database()
        known = self._known(database, words)
        edits = [0] * len(words)
        corrected = list(words)
        for i, word in enumerate(words):
            if frequencies[i] == 0 and word not in known:
                near = self._nearest(database, word)
                if near is not None:
                    corrected[i], edits[i] = near
                    known.add(near[0])
                    frequencies[i] = _frequency(searcher, analysis, near[0])
        stems = [analysis.stem(word) for word in corrected]
        spans = self._spans(database, corrected, edits, known, stems)
        count = max([searcher.num_docs, *frequencies])  # documents that are gone count in df until a merge
        idfs = tuple(math.log((count - df + 0.5) / (df + 0.5) + 1.0) if df > 0 else 0.0 for df in frequencies)
        return Recognition(spans, tuple(corrected), idfs)

    def close(self) -> None:
        """Closes all connections; no thread may be reading."""
        for connection in self._connections:
            connection.close()

    def _database(self) -> sqlite3.Connection:
        database: sqlite3.Connection | None = getattr(self._local, "database", None)
        if database is None:
            database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, cached_statements=64)
            database.execute("PRAGMA query_only=ON")
            self._local.database = database
            self._connections.append(database)
        return database

    def _known(self, database: sqlite3.Connection, words: Sequence[str]) -> set[str]:
        marks = ",".join("?" * len(words))
        return {row[0] for row in database.execute(f"SELECT word FROM words WHERE word IN ({marks})", words)}

    def _nearest(self, database: sqlite3.Connection, word: str) -> tuple[str, int] | None:
        keys = list(deletion_keys(word)) if edits_allowed(word) else []
        if not keys:
            return None
        marks = ",".join("?" * len(keys))
        rows = database.execute(
            "SELECT DISTINCT word, reading_count FROM deletions JOIN words USING (word)"
            f" WHERE key IN ({marks}) LIMIT ?",
            (*keys, NEAR_WORDS_MAX),
        )
        return nearest(word, rows)

    def _spans(
        self,
        database: sqlite3.Connection,
        words: Sequence[str],
        edits: Sequence[int],
        known: set[str],
        stems: Sequence[str],
    ) -> tuple[Span, ...]:
        runs: dict[tuple[int, int], str] = {}
        for begin in range(len(words)):
            for end in range(begin + 1, min(begin + NAME_WORDS_MAX, len(words)) + 1):
                if words[end - 1] not in known:
                    break
                runs[begin, end] = " ".join(words[begin:end])
        rows = self._rows(database, {*runs.values(), *stems})
        spans = []
        for begin in range(len(words)):
            for end in range(begin + 1, min(begin + NAME_WORDS_MAX, len(words)) + 1):
                found = [row for row in rows.get(runs.get((begin, end), ""), ()) if row[2] != TYPE_STEM]
                if end == begin + 1 and stems[begin] != words[begin]:
                    named = {row[1] for row in found if row[2] == TYPE_NAME}
                    found += [row for row in rows.get(stems[begin], ()) if row[1] not in named and _of_type(row)]
                if found:
                    spans.append(Span(begin, end, self._readings(database, found, sum(edits[begin:end]))))
        return tuple(spans)

    def _rows(self, database: sqlite3.Connection, names: set[str]) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        if names:
            marks = ",".join("?" * len(names))
            for name, *reading in database.execute(
                f"SELECT name, number, type, attribute, value, document_count FROM readings WHERE name IN ({marks})",
                list(names),
            ):
                found.setdefault(name, []).append(cast(Row, tuple(reading)))
        return found

    def _readings(self, database: sqlite3.Connection, rows: list[Row], edits: int) -> tuple[SpanReading, ...]:
        rows.sort(key=lambda row: -row[4])
        readings = []
        for number, type, attribute, value, count in rows[:READINGS_A_SPAN_MAX]:
            if attribute:  # with a type, it only tells how the name is the type's
                readings.append(SpanReading(value, type, "" if type else attribute, edits, count))
                continue
            top = database.execute(
                "SELECT id, mentions.unpopularity FROM mentions JOIN documents ON documents.number = mentions.document"
                " WHERE reading = ? ORDER BY mentions.unpopularity LIMIT ?",
                (number, DOCUMENTS_A_READING_MAX),
            ).fetchall()
            if top:
                ids = tuple(id for id, _ in top)
                readings.append(SpanReading(value, type, "", edits, count, -top[0][1], ids))
        return tuple(readings)


def _of_type(row: Row) -> bool:
    return row[2] in (TYPE_NAME, TYPE_STEM) and row[1] != ""


def _frequency(searcher: tantivy.Searcher, analysis: Analysis, word: str) -> int:
    terms = analysis.plain(word)
    return min((searcher.doc_freq(PLAIN, term) for term in terms), default=0)

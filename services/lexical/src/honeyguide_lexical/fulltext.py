"""The Tantivy index in one folder: what is in it, how documents get in and out, and how hits come back."""

from __future__ import annotations

import itertools
import math
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import tantivy

from honeyguide.candidates import CREATED_DAY, NO_CANDIDATES, POPULARITY, Candidates
from honeyguide.documents import Document
from honeyguide_lexical.analysis import Analysis, compounds, folded
from honeyguide_lexical.facts import FACTS, facts_of
from honeyguide_lexical.layout import Layout, text_of

ID, TYPE, TITLE, BODY, PLAIN, NAMES, LABELS = "id", "type", "title", "body", "plain", "names", "labels"
COMPOUNDS, PREFIXES, FAME, CAPTION, WHOLE = "compounds", "prefixes", "fame", "caption", "whole"
TITLE_WORDS_COMPLETED_MAX = 16

ENTRIES_MAX = 50_000
"""Documents of a commit whose stored fields stay in memory, about 300 bytes each."""

Hits = Sequence[tuple[float, tantivy.DocAddress]]


class Entry(NamedTuple):
    """What the index itself stores of a document."""

    id: str
    type: str
    popularity: float
    created_day: float


class Commit:
    """The index as one commit left it. Later ones change neither documents nor their addresses in it, so what was read
    once holds. Safe to use from several threads. No two of a process have the same `number`."""

    _numbers = itertools.count()

    def __init__(self, searcher: tantivy.Searcher) -> None:
        self.searcher = searcher
        self.number = next(self._numbers)
        self._entries: dict[tuple[int, int], Entry] = {}

    def entries(self, hits: Hits) -> list[Entry]:
        """The stored fields of hits."""
        places = [(address.segment_ord, address.doc) for _, address in hits]
        found = list(map(self._entries.get, places))
        missing = [i for i, entry in enumerate(found) if entry is None]
        for i, entry in zip(missing, self._read([hits[i][1] for i in missing]), strict=True):
            found[i] = self._entries[places[i]] = entry
        if len(self._entries) > ENTRIES_MAX:
            self._entries = {}
        return cast(list[Entry], found)

    def candidates(self, hits: Hits, total_matched: int) -> Candidates:
        """Hits, best first, as candidates with their columns."""
        if not hits:
            return NO_CANDIDATES
        ids, types, popularity, created_day = zip(*self.entries(hits), strict=True)
        return Candidates(
            document_ids=ids,
            scores=np.array([score for score, _ in hits], np.float32),
            types=types,
            features={POPULARITY: np.array(popularity, np.float32), CREATED_DAY: np.array(created_day, np.float32)},
            total_matched=total_matched,
        )

    def _read(self, addresses: list[tantivy.DocAddress]) -> Iterator[Entry]:
        if addresses:
            columns = [self.searcher.fast_field_values(name, addresses) for name in (POPULARITY, CREATED_DAY)]
            for address, popularity, created_day in zip(addresses, *columns, strict=True):
                stored = self.searcher.doc(address)
                yield Entry(
                    stored[ID][0], sys.intern(stored[TYPE][0]), cast(float, popularity), cast(float, created_day)
                )


class FullText:
    """One Tantivy index. Writing is for one thread at a time; searching for any number.

    Fields: `title` (with aliases) and `body` (title and text) stemmed; `extra<i>` for searchable attributes, stemmed;
    `plain` holds all of these unstemmed, for document frequencies; `names` (title, aliases) and `labels` (recognized
    attribute values) unstemmed for misspellings; `compounds` and `prefixes` of names, and names as a `whole`, of the
    same unstemmed words; `facts` for filters; fast columns `popularity`, `created_day` and `fame` = ln(1 + popularity).
    """

    def __init__(self, folder: Path, layout: Layout, writer_bytes: int, writer_threads: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.layout = layout
        self.analysis = Analysis(layout.language)
        self.schema = _schema(layout)
        self._index = tantivy.Index(self.schema, path=str(folder))
        self.analysis.register(self._index)
        self._index.config_reader(reload_policy="manual")
        self._writer_bytes = writer_bytes
        self._writer_threads = writer_threads
        self._writer: tantivy.IndexWriter | None = None
        self._writing = threading.Lock()
        self._newest = Commit(self._index.searcher())

    @staticmethod
    def exists(folder: Path) -> bool:
        """True if there is an index in the folder."""
        return folder.is_dir() and bool(tantivy.Index.exists(str(folder)))

    @property
    def newest(self) -> Commit:
        """What was committed last."""
        return self._newest

    @property
    def searcher(self) -> tantivy.Searcher:
        """The same, for those who want nothing of what is stored."""
        return self._newest.searcher

    def put(self, document: Document) -> None:
        """Inserts or replaces a document; found after the next commit."""
        with self._writing:
            writer = self._open_writer()
            writer.delete_documents_by_term(ID, document.id)
            writer.add_document(tantivy.Document.from_dict(_entry(document, self.layout, self.analysis), self.schema))

    def remove(self, document_id: str) -> None:
        """Removes a document; gone after the next commit."""
        with self._writing:
            self._open_writer().delete_documents_by_term(ID, document_id)

    def apply(self, changes: Mapping[str, Document | None]) -> None:
        """Puts documents and removes others (None), by id."""
        for id, document in changes.items():
            if document is None:
                self.remove(id)
            else:
                self.put(document)

    def commit(self) -> None:
        """Makes everything put and removed durable and searchable."""
        with self._writing:
            self._open_writer().commit()
            self._index.reload()
            self._newest = Commit(self._index.searcher())

    def discard(self) -> None:
        """Drops what was put and removed since the last commit, and the writer, which may have failed with it."""
        with self._writing:
            self._writer = None

    def close(self) -> None:
        """Waits for merges and lets the folder go; what was not committed is lost."""
        with self._writing:
            if self._writer is not None:
                self._writer.rollback()
                self._writer.wait_merging_threads()
                self._writer = None

    def _open_writer(self) -> tantivy.IndexWriter:
        if self._writer is None:
            self._writer = self._index.writer(self._writer_bytes, self._writer_threads)
        return self._writer


def find(
    searcher: tantivy.Searcher,
    query: tantivy.Query,
    depth: int,
    *,
    count: bool = True,
    order_by_field: str | None = None,
    weight_by_field: str | None = None,
) -> tuple[Hits, int]:
    """The best hits, with their scores (or the field they are ordered by), and how many matched if counted, else 0."""
    result: Any = searcher.search(
        query, depth, count=count, order_by_field=order_by_field, weight_by_field=weight_by_field
    )
    return result.hits, result.count or 0


def _schema(layout: Layout) -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for name in (ID, TYPE):
        builder.add_text_field(name, stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field(TITLE, tokenizer_name="stemmed", index_option="position")
    builder.add_text_field(BODY, tokenizer_name="stemmed", index_option="position")
    for i in range(len(layout.extra_boosts)):
        builder.add_text_field(f"extra{i}", tokenizer_name="stemmed", index_option="freq")
    builder.add_text_field(PLAIN, tokenizer_name="plain", index_option="freq")
    builder.add_text_field(CAPTION, stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field(NAMES, tokenizer_name="plain", index_option="freq")
    builder.add_text_field(LABELS, tokenizer_name="plain", index_option="freq")
    builder.add_text_field(WHOLE, tokenizer_name="raw", index_option="basic")
    builder.add_text_field(COMPOUNDS, tokenizer_name="raw", index_option="basic")
    builder.add_text_field(PREFIXES, tokenizer_name="prefixes", index_option="basic")
    builder.add_text_field(FACTS, tokenizer_name="raw", index_option="basic")
    for name in (POPULARITY, FAME, CREATED_DAY):
        builder.add_float_field(name, fast=True)
    return builder.build()


def _entry(document: Document, layout: Layout, analysis: Analysis) -> dict[str, object]:
    names = list(layout.names(document))
    folded_names = [folded(name) for name in names]
    name_words = [analysis.plain(name) for name in names]
    # One value, not two: terms of a title and of a text count in one length, as in BM25 over the whole document.
    body = " ".join([*folded_names, folded(document.text)])
    plain = [body]
    entry: dict[str, object] = {
        ID: document.id,
        TYPE: document.type,
        CAPTION: document.title[:256],
        TITLE: folded_names,
        BODY: body,
        PLAIN: plain,
        NAMES: folded_names,
        LABELS: [value.text for _, _, value in layout.labels(document)],
        WHOLE: [" ".join(parts) for parts in name_words if len(parts) <= TITLE_WORDS_COMPLETED_MAX],
        COMPOUNDS: compounds(name_words),
        PREFIXES: [word for parts in name_words for word in parts[:TITLE_WORDS_COMPLETED_MAX]],
        FACTS: facts_of(document),
        POPULARITY: document.popularity,
        FAME: math.log1p(document.popularity),
        CREATED_DAY: document.created_day,
    }
    for attribute, field in (layout.extra_fields or {}).items():
        texts = [text for text in map(text_of, document.attributes.get(attribute, ())) if text]
        if texts:
            values = entry.setdefault(field, [])
            if isinstance(values, list):
                values.extend(texts)
            plain.extend(texts)
    return entry

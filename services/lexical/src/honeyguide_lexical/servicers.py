"""Puts what the lexical service offers beside its strategies on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc

from honeyguide.api.lexical.v1 import lexical_pb2, lexical_pb2_grpc
from honeyguide.documents import check_text, filter_from_proto
from honeyguide.errors import InvalidArgument
from honeyguide.query import span_to_proto
from honeyguide.server import Registration
from honeyguide.threads import WarmThreads
from honeyguide_lexical.completion import complete
from honeyguide_lexical.fulltext import BODY
from honeyguide_lexical.recognition import Recognizer
from honeyguide_lexical.shelf import Shelved
from honeyguide_lexical.snippets import Snippets, codes_of
from honeyguide_lexical.store import Store

FETCHED_MAX = 1_000
COMPLETIONS_MAX = 50
QUERY_CHARS_MAX = 10_000
PREFIX_CHARS_MAX = 200
QUICK_BYTES_MAX = 2**19
"""Documents in memory up to this size, all in all, go out without a thread: that would cost more than they do."""

BYTES_A_CHAR_MAX = 4
"""In UTF-8."""

COMMON_SHARE = 0.5
"""Share of the catalogue from which on a word is too common to be worth a mark ("the", and "film" among films)."""


class LexicalServicer(lexical_pb2_grpc.LexicalServiceServicer):
    """Documents, recognition and completion; the work runs on threads."""

    def __init__(self, store: Store, recognizer: Recognizer, searching: WarmThreads) -> None:
        self._store = store
        self._recognizer = recognizer
        self._searching = searching
        self._snippets = Snippets(store.index.analysis)

    def registration(self) -> Registration:
        """This servicer, ready for a server."""
        return Registration(
            "honeyguide.lexical.v1.LexicalService", lexical_pb2_grpc.add_LexicalServiceServicer_to_server, self
        )

    async def FetchDocuments(
        self, request: lexical_pb2.FetchDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> lexical_pb2.FetchDocumentsResponse:
        if len(request.document_ids) > FETCHED_MAX:
            raise InvalidArgument("document_ids", f"{len(request.document_ids):,}; at most {FETCHED_MAX:,} are allowed")
        check_text("query", request.query, QUERY_CHARS_MAX)
        ids, snippets, limit = list(request.document_ids), self._current_snippets(), request.text_bytes_max
        shelved = self._store.shelf.kept(ids)
        if len(shelved) == len(ids) and _is_quick(shelved.values(), snippets, request.query):
            return _fetched(ids, shelved, snippets, self._marked(snippets, request.query), limit)
        marked = self._marked(snippets, request.query)
        return await self._searching.run(lambda: _fetched(ids, self._store.shelf.fetch(ids), snippets, marked, limit))

    async def RecognizeSpans(
        self, request: lexical_pb2.RecognizeSpansRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> lexical_pb2.RecognizeSpansResponse:
        query = request.normalized_query
        check_text("normalized_query", query, QUERY_CHARS_MAX)
        return await self._searching.run(self._recognize, query)

    async def CompleteTitles(
        self, request: lexical_pb2.CompleteTitlesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> lexical_pb2.CompleteTitlesResponse:
        if not 1 <= request.limit <= COMPLETIONS_MAX:
            raise InvalidArgument("limit", f"{request.limit} is not from 1 to {COMPLETIONS_MAX}")
        check_text("prefix", request.prefix, PREFIX_CHARS_MAX)
        filter = filter_from_proto(request.filter)
        index = self._store.index
        completions = await self._searching.run(complete, index, request.prefix, filter, request.limit)
        return lexical_pb2.CompleteTitlesResponse(
            completions=[
                lexical_pb2.TitleCompletion(document_id=c.document_id, title=c.title, type=c.type, score=c.score)
                for c in completions
            ]
        )

    def _recognize(self, query: str) -> lexical_pb2.RecognizeSpansResponse:
        index = self._store.index
        recognition = self._recognizer.recognize(query, index.searcher, index.analysis)
        return lexical_pb2.RecognizeSpansResponse(
            spans=[span_to_proto(span) for span in recognition.spans],
            corrected_words=recognition.corrected_words,
            idfs=recognition.idfs,
        )

    def _marked(self, snippets: Snippets, query: str) -> frozenset[str]:
        """The query's terms that snippets show: without those of every second document, unless there are no others."""
        terms = snippets.terms(query)
        searcher = self._store.index.searcher
        common = COMMON_SHARE * searcher.num_docs
        return frozenset(term for term in terms if searcher.doc_freq(BODY, term) <= common) or terms

    def _current_snippets(self) -> Snippets:
        """Snippets in the language that is configured now."""
        if self._snippets.analysis is not self._store.index.analysis:
            self._snippets = Snippets(self._store.index.analysis)
        return self._snippets


def _is_quick(documents: Iterable[Shelved], snippets: Snippets, query: str) -> bool:
    """True if documents from memory can go out between two turns of the event loop."""
    size_bytes = 0
    for shelved in documents:
        size_bytes += shelved.size_bytes
        if query and not shelved.is_read(snippets):
            return False
    return size_bytes <= QUICK_BYTES_MAX


def _fetched(
    ids: Sequence[str],
    documents: Mapping[str, Shelved],
    snippets: Snippets,
    terms: frozenset[str],
    text_bytes_max: int,
) -> lexical_pb2.FetchDocumentsResponse:
    response = lexical_pb2.FetchDocumentsResponse()
    codes = codes_of(terms)
    for id in ids:
        shelved = documents.get(id)
        if shelved is not None:
            snippet = snippets.snippet(shelved.text(snippets), codes) if terms else ""
            fetched = response.documents.add(document=shelved.document, snippet=snippet)
            if text_bytes_max and len(fetched.document.text) * BYTES_A_CHAR_MAX > text_bytes_max:
                _cut_text(fetched, text_bytes_max)
    return response


def _cut_text(fetched: lexical_pb2.FetchedDocument, bytes_max: int) -> None:
    text = fetched.document.text.encode()
    if len(text) > bytes_max:
        fetched.document.text = text[:bytes_max].decode(errors="ignore")
        fetched.text_cut = True

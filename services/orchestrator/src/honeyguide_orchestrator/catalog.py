"""The catalogue: takes documents in, once checked, and hands them to every service; tells what it holds.

Nothing is kept here between requests. A write that not all services took is an error that names the ones that did not,
and the client sends it again: writes are idempotent, so that brings all of them level.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from honeyguide.api.lexical.v1 import lexical_pb2
from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2
from honeyguide.documents import Document, check_id, document_from_proto
from honeyguide.errors import DeadlineExceeded, FieldViolation, HoneyguideError, InvalidArgument, NotFound, Unavailable
from honeyguide.retriever import DocumentError
from honeyguide_orchestrator.catalog_configuration import check_configuration
from honeyguide_orchestrator.catalog_facts import observe_numeric
from honeyguide_orchestrator.catalog_store import CatalogStore

DOCUMENTS_MAX = 1_000
DOCUMENT_BYTES_MAX = 3 * 2**20
DELETIONS_MAX = 10_000

Answer = TypeVar("Answer")


class IndexingStub(Protocol):
    """`honeyguide.retrieval.v1.IndexingService`, remote or in process."""

    def Configure(
        self, request: indexing_pb2.ConfigureRequest, timeout: float
    ) -> Awaitable[indexing_pb2.ConfigureResponse]:
        """Sets the configuration."""
        ...

    def IndexDocuments(
        self, request: indexing_pb2.IndexDocumentsRequest, timeout: float
    ) -> Awaitable[indexing_pb2.IndexDocumentsResponse]:
        """Inserts or replaces documents."""
        ...

    def DeleteDocuments(
        self, request: indexing_pb2.DeleteDocumentsRequest, timeout: float
    ) -> Awaitable[indexing_pb2.DeleteDocumentsResponse]:
        """Removes documents."""
        ...

    def GetStats(
        self, request: indexing_pb2.GetStatsRequest, timeout: float
    ) -> Awaitable[indexing_pb2.GetStatsResponse]:
        """Tells what is held."""
        ...


class DocumentStub(Protocol):
    """The part of `honeyguide.lexical.v1.LexicalService` that is used here."""

    def FetchDocuments(
        self, request: lexical_pb2.FetchDocumentsRequest, timeout: float
    ) -> Awaitable[lexical_pb2.FetchDocumentsResponse]:
        """Fetches documents by id."""
        ...


@dataclass(frozen=True, slots=True)
class Upserted:
    """What became of a batch: how many documents are durable on all services, and what was wrong with the others."""

    count: int
    errors: tuple[DocumentError, ...] = ()


class Catalog:
    """The catalogue over all services.

    Args:
        services: who takes documents in, by service name; the first is asked how many documents there are.
        lexical: who gives documents back.
        store: where the configuration is kept.
        without_embedding: names of the services that have no use for embeddings supplied with documents.
        write_timeout_s: how long one service may take over one request; encoding a thousand long
            texts takes minutes on a slow machine.
        read_timeout_s: the same for what only reads.
    """

    def __init__(
        self,
        services: Mapping[str, IndexingStub],
        lexical: DocumentStub,
        store: CatalogStore,
        without_embedding: frozenset[str] = frozenset({"lexical", "memory"}),
        write_timeout_s: float = 600.0,
        read_timeout_s: float = 5.0,
    ) -> None:
        self._services = dict(services)
        self._lexical = lexical
        self._store = store
        self._without_embedding = without_embedding
        self._write_timeout_s = write_timeout_s
        self._read_timeout_s = read_timeout_s

    async def configure(self, configuration: indexing_pb2.CatalogConfiguration) -> None:
        """Replaces the configuration, here and on all services.

        Raises:
            InvalidArgument: naming the field that is wrong; nothing was changed then.
            Unavailable: naming the services, or Redis, that did not take it.
        """
        check_configuration(configuration)
        await self._store.set_configuration(configuration)
        request = indexing_pb2.ConfigureRequest(configuration=configuration)
        await self._ask_all(lambda name, stub: stub.Configure(request, timeout=self._write_timeout_s))

    async def upsert(self, documents: Sequence[document_pb2.Document]) -> Upserted:
        """Inserts or replaces documents; those with an error are left out, the others are durable everywhere.

        Of several documents with one id the last valid one counts.

        Raises:
            InvalidArgument: for none or more than 1,000 documents, or more than 3 MiB.
            Unavailable: naming the services that did not answer; send the batch again.
        """
        if not 1 <= len(documents) <= DOCUMENTS_MAX:
            raise InvalidArgument("documents", f"{len(documents):,} of them; 1 to {DOCUMENTS_MAX:,} are allowed")
        size = sum(document.ByteSize() for document in documents)
        if size > DOCUMENT_BYTES_MAX:
            raise InvalidArgument("documents", f"{size:,} bytes; at most {DOCUMENT_BYTES_MAX:,} (3 MiB) are allowed")
        valid, errors = _check(documents)
        if not valid:
            return Upserted(0, tuple(errors[i] for i in sorted(errors)))
        refused: dict[int, DocumentError] = {}
        for names in self._rounds(documents):
            positions = [i for i in sorted(valid) if i not in refused]
            if positions:
                await self._index(names, documents, positions, refused)
        positions = sorted(valid)
        await self._store.widen_numeric(observe_numeric(valid[i] for i in positions if i not in refused))
        errors.update(refused)
        return Upserted(len(positions) - len(refused), tuple(errors[i] for i in sorted(errors)))

    def _rounds(self, documents: Sequence[document_pb2.Document]) -> list[list[str]]:
        """Who is asked together. An embedding can be refused, by who uses it, and then the others must not take it."""
        if not any(document.embedding for document in documents):
            return [list(self._services)]
        return [
            [name for name in self._services if name not in self._without_embedding],
            [name for name in self._services if name in self._without_embedding],
        ]

    async def _index(
        self,
        names: Sequence[str],
        documents: Sequence[document_pb2.Document],
        positions: Sequence[int],
        refused: dict[int, DocumentError],
    ) -> None:
        """Hands the documents at these positions to these services; adds those that one of them did not take."""
        whole = indexing_pb2.IndexDocumentsRequest(documents=[documents[i] for i in positions])
        slim = _without_embeddings(whole)
        responses = await self._ask(
            names,
            lambda name, stub: stub.IndexDocuments(
                slim if name in self._without_embedding else whole, timeout=self._write_timeout_s
            ),
        )
        for name, response in responses.items():
            for error in response.errors:
                if error.index >= len(positions):
                    raise HoneyguideError(f"{name}: refused document {error.index} of {len(positions)}")
                position = positions[error.index]
                description = f"{name}: {error.description}"
                if position in refused:
                    description = f"{refused[position].description}; {description}"
                refused[position] = DocumentError(position, documents[position].id, error.field, description)

    async def delete(self, document_ids: Sequence[str]) -> int:
        """Removes documents; returns how many of the ids any service held.

        Raises:
            InvalidArgument: for none or more than 10,000 ids, or one that can't be an id.
            Unavailable: naming the services that did not answer; send the ids again.
        """
        if not 1 <= len(document_ids) <= DELETIONS_MAX:
            raise InvalidArgument("document_ids", f"{len(document_ids):,} of them; 1 to {DELETIONS_MAX:,} are allowed")
        for i, document_id in enumerate(document_ids):
            check_id(f"document_ids[{i}]", document_id)
        request = indexing_pb2.DeleteDocumentsRequest(document_ids=dict.fromkeys(document_ids))
        responses = await self._ask_all(lambda name, stub: stub.DeleteDocuments(request, timeout=self._write_timeout_s))
        return max((response.deleted for response in responses.values()), default=0)

    async def get_document(self, document_id: str) -> document_pb2.Document:
        """One document, without its embedding.

        Raises:
            InvalidArgument: if this can't be an id.
            NotFound: if there is no such document.
        """
        check_id("document_id", document_id)
        request = lexical_pb2.FetchDocumentsRequest(document_ids=[document_id])
        response = await self._lexical.FetchDocuments(request, timeout=self._read_timeout_s)
        for fetched in response.documents:
            if fetched.document.id == document_id:
                return fetched.document
        raise NotFound(f"there is no document {document_id!r}")

    async def stats(self) -> dict[str, indexing_pb2.GetStatsResponse]:
        """What every service holds, by service name.

        Raises:
            Unavailable: naming the services that did not answer.
        """
        request = indexing_pb2.GetStatsRequest()
        return await self._ask_all(lambda name, stub: stub.GetStats(request, timeout=self._read_timeout_s))

    async def count_documents(self) -> int:
        """How many documents there are, 0 = no service to ask."""
        for stub in self._services.values():
            response = await stub.GetStats(indexing_pb2.GetStatsRequest(), timeout=self._read_timeout_s)
            return int(response.document_count)
        return 0

    async def _ask_all(self, ask: Callable[[str, IndexingStub], Awaitable[Answer]]) -> dict[str, Answer]:
        return await self._ask(list(self._services), ask)

    async def _ask(
        self, names: Sequence[str], ask: Callable[[str, IndexingStub], Awaitable[Answer]]
    ) -> dict[str, Answer]:
        # All are waited for, also when one fails: what a failed call leaves behind is then known, not still moving.
        outcomes = await asyncio.gather(*(ask(name, self._services[name]) for name in names), return_exceptions=True)
        answers: dict[str, Answer] = {}
        failures: dict[str, HoneyguideError] = {}
        for name, outcome in zip(names, outcomes, strict=True):
            if isinstance(outcome, HoneyguideError):
                failures[name] = outcome
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                answers[name] = outcome
        if failures:
            raise _joined(failures)
        return answers


def _check(documents: Sequence[document_pb2.Document]) -> tuple[dict[int, Document], dict[int, DocumentError]]:
    valid: dict[int, Document] = {}
    errors: dict[int, DocumentError] = {}
    last: dict[str, int] = {}
    for i, message in enumerate(documents):
        try:
            valid[i] = document_from_proto(message)
        except InvalidArgument as error:
            violation = error.violations[0]
            errors[i] = DocumentError(i, message.id[:512], violation.field, violation.description)
            continue
        if message.id in last:
            del valid[last[message.id]]
        last[message.id] = i
    return valid, errors


def _without_embeddings(request: indexing_pb2.IndexDocumentsRequest) -> indexing_pb2.IndexDocumentsRequest:
    if not any(document.embedding for document in request.documents):
        return request
    slim = indexing_pb2.IndexDocumentsRequest()
    slim.CopyFrom(request)
    for document in slim.documents:
        document.ClearField("embedding")
    return slim


def _joined(failures: Mapping[str, HoneyguideError]) -> HoneyguideError:
    """One error that names every service that failed; unreachable ones first, for then trying again helps."""
    message = "; ".join(f"{name}: {error.message}" for name, error in failures.items())
    if any(isinstance(error, Unavailable | DeadlineExceeded) for error in failures.values()):
        return Unavailable(message)
    violations = [
        FieldViolation(violation.field, f"{name}: {violation.description}")
        for name, error in failures.items()
        if isinstance(error, InvalidArgument)
        for violation in error.violations
    ]
    if violations:
        first, *more = violations
        return InvalidArgument(first.field, first.description, *more)
    return type(next(iter(failures.values())))(message)

"""The catalogue: takes documents in, once checked, and hands them to every service; tells what it holds.

Nothing is kept here between requests. A write that not all services took is an error that names the ones that did not,
and the client sends it again: writes are idempotent, so that brings all of them level.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from honeyguide.api.lexical.v1 import lexical_pb2
from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2
from honeyguide.documents import (
    ATTRIBUTE_NAME_CHARS_MAX,
    TYPE_PATTERN,
    Document,
    check_id,
    check_text,
    document_from_proto,
)
from honeyguide.errors import DeadlineExceeded, FieldViolation, HoneyguideError, InvalidArgument, NotFound, Unavailable
from honeyguide.retriever import DocumentError
from honeyguide_orchestrator.catalog_facts import CatalogFacts, gather_facts, observe_numeric
from honeyguide_orchestrator.catalog_store import CatalogStore

log = structlog.get_logger("honeyguide.orchestrator.catalog")

DOCUMENTS_MAX = 1_000
DOCUMENT_BYTES_MAX = 3 * 2**20
DELETIONS_MAX = 10_000
TYPES_MAX = 1_000
ATTRIBUTES_MAX = 10_000
CONFIGURATION_EVERY_S = 1.0
FACTS_EVERY_S = 5.0
LOG_EVERY_S = 30.0

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
        clock: seconds; only differences matter.
        without_embedding: names of the services that have no use for embeddings supplied with documents.
        write_timeout_s: how long one service may take over one request; encoding a thousand texts takes its time.
        read_timeout_s: the same for what only reads.
    """

    def __init__(
        self,
        services: Mapping[str, IndexingStub],
        lexical: DocumentStub,
        store: CatalogStore,
        clock: Callable[[], float],
        without_embedding: frozenset[str] = frozenset({"lexical", "memory"}),
        write_timeout_s: float = 120.0,
        read_timeout_s: float = 5.0,
    ) -> None:
        self._services = dict(services)
        self._lexical = lexical
        self._store = store
        self._clock = clock
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
        positions = sorted(valid)
        whole = indexing_pb2.IndexDocumentsRequest(documents=[documents[i] for i in positions])
        slim = _without_embeddings(whole)
        responses = await self._ask_all(
            lambda name, stub: stub.IndexDocuments(
                slim if name in self._without_embedding else whole, timeout=self._write_timeout_s
            )
        )
        refused: dict[int, DocumentError] = {}
        for name, response in responses.items():
            for error in response.errors:
                if error.index >= len(positions):
                    raise HoneyguideError(f"{name}: refused document {error.index} of {len(positions)}")
                position = positions[error.index]
                description = f"{name}: {error.description}"
                if position in refused:
                    description = f"{refused[position].description}; {description}"
                refused[position] = DocumentError(position, documents[position].id, error.field, description)
        await self._store.widen_numeric(observe_numeric(valid[i] for i in positions if i not in refused))
        errors.update(refused)
        return Upserted(len(positions) - len(refused), tuple(errors[i] for i in sorted(errors)))

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
        # All are waited for, also when one fails: what a failed call leaves behind is then known, not still moving.
        outcomes = await asyncio.gather(
            *(ask(name, stub) for name, stub in self._services.items()), return_exceptions=True
        )
        answers: dict[str, Answer] = {}
        failures: dict[str, HoneyguideError] = {}
        for name, outcome in zip(self._services, outcomes, strict=True):
            if isinstance(outcome, HoneyguideError):
                failures[name] = outcome
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                answers[name] = outcome
        if failures:
            raise _joined(failures)
        return answers


class CatalogWatch:
    """The catalogue's configuration and facts as of a moment ago, at no cost to the search that asks.

    What is too old is fetched again in the background (other replicas change it too): the configuration after a
    second, the facts after five. When that fails, what is known stays. Await `refresh` once before serving.
    """

    def __init__(self, catalog: Catalog, store: CatalogStore, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock
        self._configuration = indexing_pb2.CatalogConfiguration()
        self._facts = CatalogFacts()
        self._configuration_at_s = -math.inf
        self._facts_at_s = -math.inf
        self._logged_at_s = -math.inf
        self._refreshing: asyncio.Task[None] | None = None

    def configuration(self) -> indexing_pb2.CatalogConfiguration:
        """The configuration; must not be changed."""
        self._refresh_if_old()
        return self._configuration

    def facts(self) -> CatalogFacts:
        """Numeric attributes and size of the catalogue."""
        self._refresh_if_old()
        return self._facts

    async def refresh(self) -> None:
        """Fetches what is too old now."""
        now_s = self._clock()
        changed = False
        try:
            if now_s - self._configuration_at_s >= CONFIGURATION_EVERY_S:
                self._configuration_at_s = now_s
                configuration = await self._store.configuration()
                changed = configuration != self._configuration
                self._configuration = configuration
            if changed or now_s - self._facts_at_s >= FACTS_EVERY_S:
                self._facts_at_s = now_s
                numeric = await self._store.numeric()
                # Without the count, conditions are still found, only weighed less well.
                document_count = self._facts.document_count
                self._facts = gather_facts(self._configuration, numeric, document_count)
                document_count = await self._catalog.count_documents()
                self._facts = gather_facts(self._configuration, numeric, document_count)
        except HoneyguideError as error:
            if now_s - self._logged_at_s >= LOG_EVERY_S:
                self._logged_at_s = now_s
                log.warning("the catalogue's configuration and facts are not up to date", error=error.message)

    async def close(self) -> None:
        """Ends a refresh that is running."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
            self._refreshing = None

    def _refresh_if_old(self) -> None:
        if self._clock() - self._configuration_at_s < CONFIGURATION_EVERY_S:
            return
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self.refresh())


def check_configuration(configuration: indexing_pb2.CatalogConfiguration) -> None:
    """Raises InvalidArgument, naming the first field that is wrong."""
    if len(configuration.types) > TYPES_MAX:
        raise InvalidArgument("types", f"{len(configuration.types):,} of them; at most {TYPES_MAX:,} are allowed")
    if len(configuration.attributes) > ATTRIBUTES_MAX:
        count = len(configuration.attributes)
        raise InvalidArgument("attributes", f"{count:,} of them; at most {ATTRIBUTES_MAX:,} are allowed")
    names: set[str] = set()
    for i, type in enumerate(configuration.types):
        if not TYPE_PATTERN.fullmatch(type.name):
            raise InvalidArgument(
                f"types[{i}].name", f"{type.name[:80]!r} is not 1 to 64 characters of a-z, 0-9, _ and -"
            )
        if type.name in names:
            raise InvalidArgument(f"types[{i}].name", f"{type.name} is there twice")
        names.add(type.name)
        for name in type.embedded_attributes:
            _check_attribute_name(f"types[{i}].embedded_attributes", name)
    names.clear()
    for i, attribute in enumerate(configuration.attributes):
        _check_attribute_name(f"attributes[{i}].name", attribute.name)
        if attribute.name in names:
            raise InvalidArgument(f"attributes[{i}].name", f"{attribute.name!r} is there twice")
        names.add(attribute.name)
        if attribute.kind not in indexing_pb2.AttributeKind.values():
            known = ", ".join(indexing_pb2.AttributeKind.keys())
            raise InvalidArgument(f"attributes[{i}].kind", f"{attribute.kind} is not one of {known}")
        _check_boost(f"attributes[{i}].boost", attribute.boost)
    _check_boost("title_boost", configuration.title_boost)
    language = configuration.language
    if language and not (len(language) == 2 and language.isascii() and language.isalpha() and language.islower()):
        raise InvalidArgument("language", f"{language[:20]!r} is not an ISO 639-1 code, like en")


def _check_attribute_name(path: str, name: str) -> None:
    if not 1 <= len(name) <= ATTRIBUTE_NAME_CHARS_MAX:
        raise InvalidArgument(path, f"{name[:80]!r} is not a name of 1 to {ATTRIBUTE_NAME_CHARS_MAX} characters")
    check_text(path, name, ATTRIBUTE_NAME_CHARS_MAX)


def _check_boost(path: str, boost: float) -> None:
    if not math.isfinite(boost) or boost < 0:
        raise InvalidArgument(path, f"{boost} is not a finite number of 0 or more")


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

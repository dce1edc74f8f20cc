"""The public API as plain async methods, over any connection: gRPC to a running system, or this very process."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2
from honeyguide.api.search.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    feedback_pb2,
    feedback_pb2_grpc,
    learning_pb2,
    learning_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
)
from honeyguide.client import Connection
from honeyguide.documents import Document, document_to_proto, time_to_proto

SEARCH_S = 10.0
CALL_S = 60.0
BATCH_DOCUMENTS = 500
BATCH_EVENTS = 1_000
BATCH_IDS = 1_000


class Api:
    """What frontends and operators can ask of Honeyguide. Every method raises `HoneyguideError`."""

    def __init__(self, connection: Connection) -> None:
        # The stubs' methods are plain async functions here, see honeyguide.client: not what the generated types say.
        self._search: Any = connection.stub(search_pb2_grpc.SearchServiceStub)
        self._feedback: Any = connection.stub(feedback_pb2_grpc.FeedbackServiceStub)
        self._catalog: Any = connection.stub(catalog_pb2_grpc.CatalogServiceStub)
        self._learning: Any = connection.stub(learning_pb2_grpc.LearningServiceStub)

    async def search(
        self,
        query: str,
        *,
        context: document_pb2.Context | None = None,
        filter: document_pb2.Filter | None = None,
        page_size: int = 10,
        page_token: str = "",
        explain: bool = False,
        ids_only: bool = False,
        policy: str = "",
        ranker: str = "",
        untracked: bool = False,
        timeout_s: float = SEARCH_S,
    ) -> search_pb2.SearchResponse:
        """Searches; an empty query asks for recommendations.

        `explain` asks for provenance and the decision, `ids_only` (which goes without) for nothing of the documents but
        id and type; nothing is learned from an `untracked` search. Strategies that have not answered after four fifths
        of `timeout_s` are done without.
        """
        view = search_pb2.SEARCH_VIEW_FULL if explain else search_pb2.SEARCH_VIEW_BASIC
        if ids_only:
            view = search_pb2.SEARCH_VIEW_IDS
        request = search_pb2.SearchRequest(
            query=query,
            context=context,
            filter=filter,
            page_size=page_size,
            page_token=page_token,
            view=view,
            policy=policy,
            ranker=ranker,
            untracked=untracked,
        )
        response: search_pb2.SearchResponse = await self._search.Search(request, timeout=timeout_s)
        return response

    async def suggest(
        self, prefix: str, *, context: document_pb2.Context | None = None, limit: int = 8
    ) -> Sequence[search_pb2.Suggestion]:
        """Completions of what is being typed, best first."""
        request = search_pb2.SuggestRequest(prefix=prefix, context=context, limit=limit)
        response: search_pb2.SuggestResponse = await self._search.Suggest(request, timeout=SEARCH_S)
        return response.suggestions

    async def feedback(
        self, events: Iterable[feedback_pb2.FeedbackEvent]
    ) -> Sequence[feedback_pb2.EventAcknowledgement]:
        """Sends events and waits until each is durable or rejected; one acknowledgement each, in order."""
        pending = list(events)
        requests = [
            feedback_pb2.StreamFeedbackRequest(events=pending[begin : begin + BATCH_EVENTS])
            for begin in range(0, len(pending), BATCH_EVENTS)
        ]
        acknowledgements: list[feedback_pb2.EventAcknowledgement] = []
        async for response in self.stream_feedback(_stream(requests)):
            acknowledgements.extend(response.acknowledgements)
        return acknowledgements

    def stream_feedback(
        self, requests: AsyncIterator[feedback_pb2.StreamFeedbackRequest]
    ) -> AsyncIterator[feedback_pb2.StreamFeedbackResponse]:
        """The feedback stream itself: each request is answered once its events are durable."""
        responses: AsyncIterator[feedback_pb2.StreamFeedbackResponse] = self._feedback.StreamFeedback(requests)
        return responses

    async def configure(self, configuration: indexing_pb2.CatalogConfiguration) -> None:
        """Sets the catalogue's configuration on all services."""
        request = catalog_pb2.ConfigureCatalogRequest(configuration=configuration)
        await self._catalog.ConfigureCatalog(request, timeout=CALL_S)

    async def index(
        self, documents: Iterable[Document | document_pb2.Document]
    ) -> Sequence[indexing_pb2.DocumentError]:
        """Inserts or replaces documents; returns those not taken, `index` counting over all of them."""
        requests = []
        batch: list[document_pb2.Document] = []
        for document in documents:
            batch.append(document_to_proto(document) if isinstance(document, Document) else document)
            if len(batch) == BATCH_DOCUMENTS:
                requests.append(catalog_pb2.UpsertDocumentsRequest(documents=batch))
                batch = []
        if batch:
            requests.append(catalog_pb2.UpsertDocumentsRequest(documents=batch))
        errors: list[indexing_pb2.DocumentError] = []
        answered = 0
        async for response in self.upsert(_stream(requests)):
            for error in response.errors:
                error.index += answered * BATCH_DOCUMENTS
                errors.append(error)
            answered += 1
        return errors

    def upsert(
        self, requests: AsyncIterator[catalog_pb2.UpsertDocumentsRequest]
    ) -> AsyncIterator[catalog_pb2.UpsertDocumentsResponse]:
        """The catalogue's stream itself: each request is answered once it is durable everywhere."""
        responses: AsyncIterator[catalog_pb2.UpsertDocumentsResponse] = self._catalog.UpsertDocuments(requests)
        return responses

    async def delete(self, document_ids: Sequence[str]) -> int:
        """Removes documents from all services; returns how many there were."""
        requests = [
            catalog_pb2.DeleteDocumentsRequest(document_ids=document_ids[begin : begin + BATCH_IDS])
            for begin in range(0, len(document_ids), BATCH_IDS)
        ]
        deleted = 0
        async for response in self._catalog.DeleteDocuments(_stream(requests)):
            deleted += response.deleted
        return deleted

    async def get_document(self, document_id: str) -> document_pb2.Document:
        """One document. Raises NotFound."""
        request = catalog_pb2.GetDocumentRequest(document_id=document_id)
        response: catalog_pb2.GetDocumentResponse = await self._catalog.GetDocument(request, timeout=CALL_S)
        return response.document

    async def stats(self) -> catalog_pb2.GetCatalogStatsResponse:
        """What every service holds."""
        response: catalog_pb2.GetCatalogStatsResponse = await self._catalog.GetCatalogStats(
            catalog_pb2.GetCatalogStatsRequest(), timeout=CALL_S
        )
        return response

    async def policy(self) -> learning_pb2.GetPolicyResponse:
        """The policy in readable form."""
        response: learning_pb2.GetPolicyResponse = await self._learning.GetPolicy(
            learning_pb2.GetPolicyRequest(), timeout=CALL_S
        )
        return response

    async def ranker(self) -> learning_pb2.GetRankerResponse:
        """The ranker in readable form."""
        response: learning_pb2.GetRankerResponse = await self._learning.GetRanker(
            learning_pb2.GetRankerRequest(), timeout=CALL_S
        )
        return response

    async def evidence(self) -> learning_pb2.GetEvidenceResponse:
        """What experiments, policies in shadow and exploration have shown so far."""
        response: learning_pb2.GetEvidenceResponse = await self._learning.GetEvidence(
            learning_pb2.GetEvidenceRequest(), timeout=CALL_S
        )
        return response

    async def progress(self, points: int = 0) -> learning_pb2.GetProgressResponse:
        """Reward, calls and cost over time."""
        request = learning_pb2.GetProgressRequest(points=points)
        response: learning_pb2.GetProgressResponse = await self._learning.GetProgress(request, timeout=CALL_S)
        return response

    async def decisions(
        self,
        *,
        format: learning_pb2.DecisionFormat.ValueType = learning_pb2.DECISION_FORMAT_JSON,
        since_s: float | None = None,
        limit: int = 0,
        newest: bool = False,
    ) -> AsyncIterator[str]:
        """The decision log, one line a decision, oldest first; `limit` 0 = all, else the oldest or the newest."""
        since = None if since_s is None else time_to_proto(since_s)
        request = learning_pb2.ExportDecisionsRequest(format=format, since=since, limit=limit, newest=newest)
        async for response in self._learning.ExportDecisions(request):
            for line in response.lines:
                yield line


def new_event_id() -> str:
    """An id that no other event has."""
    return uuid.uuid4().hex


async def _stream(requests: Iterable[Any]) -> AsyncIterator[Any]:
    for request in requests:
        yield request

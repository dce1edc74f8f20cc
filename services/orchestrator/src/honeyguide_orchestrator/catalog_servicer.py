"""Puts the `Catalog` on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.api.search.v1 import catalog_pb2, catalog_pb2_grpc
from honeyguide.server import Registration
from honeyguide_orchestrator.catalog import Catalog
from honeyguide_orchestrator.ordered_pipeline import ordered_pipeline

IN_FLIGHT_MAX = 4

_ServicerContext = grpc.aio.ServicerContext[Any, Any]


def register_catalog(catalog: Catalog) -> Registration:
    """The catalogue, ready for a server."""
    return Registration(
        "honeyguide.search.v1.CatalogService",
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server,
        CatalogServicer(catalog),
    )


class CatalogServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """The methods are described in `honeyguide/search/v1/catalog.proto`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def ConfigureCatalog(
        self, request: catalog_pb2.ConfigureCatalogRequest, context: _ServicerContext
    ) -> catalog_pb2.ConfigureCatalogResponse:
        await self._catalog.configure(request.configuration)
        return catalog_pb2.ConfigureCatalogResponse()

    async def UpsertDocuments(
        self, request_iterator: AsyncIterator[catalog_pb2.UpsertDocumentsRequest], context: _ServicerContext
    ) -> AsyncIterator[catalog_pb2.UpsertDocumentsResponse]:
        responses = ordered_pipeline(
            request_iterator,
            self._upsert,
            keys=lambda request: (document.id for document in request.documents),
            in_flight_max=IN_FLIGHT_MAX,
        )
        async with aclosing(responses):
            async for response in responses:
                yield response

    async def DeleteDocuments(
        self, request_iterator: AsyncIterator[catalog_pb2.DeleteDocumentsRequest], context: _ServicerContext
    ) -> AsyncIterator[catalog_pb2.DeleteDocumentsResponse]:
        responses = ordered_pipeline(
            request_iterator, self._delete, keys=lambda request: request.document_ids, in_flight_max=IN_FLIGHT_MAX
        )
        async with aclosing(responses):
            async for response in responses:
                yield response

    async def GetDocument(
        self, request: catalog_pb2.GetDocumentRequest, context: _ServicerContext
    ) -> catalog_pb2.GetDocumentResponse:
        return catalog_pb2.GetDocumentResponse(document=await self._catalog.get_document(request.document_id))

    async def GetCatalogStats(
        self, request: catalog_pb2.GetCatalogStatsRequest, context: _ServicerContext
    ) -> catalog_pb2.GetCatalogStatsResponse:
        return catalog_pb2.GetCatalogStatsResponse(services=await self._catalog.stats())

    async def _upsert(self, request: catalog_pb2.UpsertDocumentsRequest) -> catalog_pb2.UpsertDocumentsResponse:
        upserted = await self._catalog.upsert(request.documents)
        return catalog_pb2.UpsertDocumentsResponse(
            upserted=upserted.count,
            errors=[
                indexing_pb2.DocumentError(
                    index=error.index, document_id=error.document_id, field=error.field, description=error.description
                )
                for error in upserted.errors
            ],
        )

    async def _delete(self, request: catalog_pb2.DeleteDocumentsRequest) -> catalog_pb2.DeleteDocumentsResponse:
        return catalog_pb2.DeleteDocumentsResponse(deleted=await self._catalog.delete(request.document_ids))

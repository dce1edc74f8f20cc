"""A query's way over the wire, and the servicers that every retriever and index shares."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2
from honeyguide.api.retrieval.v1 import retriever_pb2 as pb
from honeyguide.api.retrieval.v1.indexing_pb2_grpc import IndexingServiceStub
from honeyguide.api.retrieval.v1.retriever_pb2_grpc import RetrieverServiceStub
from honeyguide.client import LocalConnection
from honeyguide.documents import Condition, Context, Document, Filter
from honeyguide.errors import InvalidArgument
from honeyguide.query import (
    Interpretation,
    RetrievalQuery,
    Span,
    SpanReading,
    Taste,
    Understanding,
    query_from_proto,
    query_to_proto,
)
from honeyguide.retriever import DocumentError, IndexStats
from honeyguide.servicers import register_index


def test_a_query_goes_there_and_back():
    condition = Condition("year", None, 1990, 1999)
    query = RetrievalQuery(
        "tayler love",
        Understanding(
            normalized_query="tayler love",
            corrected_query="taylor love",
            language="en",
            intent="title:track",
            confidence=0.5,
            spans=(Span(0, 1, (SpanReading("Taylor", "person", "", 1, 2, 3.5, ("p1", "p2")),)),),
            interpretations=(Interpretation(0.5, ("track",), (condition,), ("t1",), "love", "title:track"),),
            idf_max=4.5,
            coverage=0.75,
        ),
        Context(1_700_000_000.0, "u", "s"),
        Filter(frozenset(["track"]), (condition,), frozenset(["t9"])),
        Taste(("t1",), ("t2", "t3")),
    )
    wire = query_to_proto(query).SerializeToString()
    assert query_from_proto(pb.RetrieveRequest.FromString(wire), now_s=0) == query


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.RetrieveRequest(query="x" * 2_001), "query"),
        (pb.RetrieveRequest(query="a\0b"), "query"),
        (pb.RetrieveRequest(taste=pb.Taste(session_document_ids=["a"] * 51)), "taste.session_document_ids"),
        (pb.RetrieveRequest(taste=pb.Taste(user_document_ids=["a"] * 51)), "taste.user_document_ids"),
    ],
)
def test_a_bad_query_names_the_field(message, field):
    with pytest.raises(InvalidArgument) as caught:
        query_from_proto(message, now_s=0)
    assert caught.value.violations[0].field == field


def asked(*depths: tuple[str, int]) -> pb.RetrieveRequest:
    return pb.RetrieveRequest(query="plums", strategies=[pb.StrategyDepth(strategy=s, depth=d) for s, d in depths])


async def test_depths_are_cut_to_the_largest_and_checked(servicers):
    stub = LocalConnection(servicers).stub(RetrieverServiceStub)
    response = await stub.Retrieve(asked(("fruit.letters", 10**6)))
    assert len(response.results[0].document_ids) == 5
    for wrong in (
        asked(),
        asked(("fruit.letters", 0)),
        asked(("other", 1)),
        asked(*[("fruit.letters", 1)] * 2),
        asked(*[("fruit.letters", 1)] * 65),
    ):
        with pytest.raises(InvalidArgument, match="strategies"):
            await stub.Retrieve(wrong)


class Shelf:
    """Takes documents in, but for those of type `bitter`."""

    def __init__(self) -> None:
        self.held: dict[str, Document] = {}

    async def configure(self, configuration: indexing_pb2.CatalogConfiguration) -> None:
        pass

    async def upsert(self, documents: Sequence[Document]) -> Sequence[DocumentError]:
        refused = [DocumentError(i, d.id, "type", "is bitter") for i, d in enumerate(documents) if d.type == "bitter"]
        self.held.update((d.id, d) for d in documents if d.type != "bitter")
        return refused

    async def delete(self, document_ids: Sequence[str]) -> int:
        return sum(self.held.pop(id, None) is not None for id in document_ids)

    async def stats(self) -> IndexStats:
        return IndexStats({"film": len(self.held)}, 7, {"segments": 2.0})


async def test_an_index_says_which_documents_it_refused():
    shelf = Shelf()
    stub = LocalConnection([register_index(shelf)]).stub(IndexingServiceStub)
    wanted = [("a", "film"), ("", "film"), ("b", "bitter"), ("c", "Film"), ("d", "bitter"), ("e", "film")]
    documents = [document_pb2.Document(id=id, type=type) for id, type in wanted]
    response = await stub.IndexDocuments(indexing_pb2.IndexDocumentsRequest(documents=documents))
    assert [(e.index, e.document_id, e.field) for e in response.errors] == [
        (1, "", "id"),
        (2, "b", "type"),
        (3, "c", "type"),
        (4, "d", "type"),
    ]
    assert set(shelf.held) == {"a", "e"}
    stats = await stub.GetStats(indexing_pb2.GetStatsRequest())
    assert (stats.document_count, stats.size_bytes, stats.figures["segments"]) == (2, 7, 2.0)
    deletion = indexing_pb2.DeleteDocumentsRequest(document_ids=["a", "a", "zzz"])
    assert (await stub.DeleteDocuments(deletion)).deleted == 1


async def test_batches_are_bounded():
    stub = LocalConnection([register_index(Shelf())]).stub(IndexingServiceStub)
    with pytest.raises(InvalidArgument, match="documents"):
        await stub.IndexDocuments(indexing_pb2.IndexDocumentsRequest(documents=[document_pb2.Document()] * 1_001))
    with pytest.raises(InvalidArgument, match="document_ids"):
        await stub.DeleteDocuments(indexing_pb2.DeleteDocumentsRequest(document_ids=["a"] * 10_001))

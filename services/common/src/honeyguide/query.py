"""A query as it travels to the retrievers: what was typed, what was understood of it, who asks, what is allowed."""

from __future__ import annotations

from dataclasses import dataclass

from honeyguide.api.retrieval.v1 import document_pb2 as pb
from honeyguide.api.retrieval.v1 import retriever_pb2
from honeyguide.documents import (
    Condition,
    Context,
    Filter,
    check_text,
    condition_from_proto,
    condition_to_proto,
    context_from_proto,
    context_to_proto,
    filter_from_proto,
    filter_to_proto,
)
from honeyguide.errors import InvalidArgument

QUERY_CHARS_MAX = 2_000
TASTE_MAX = 50


@dataclass(frozen=True, slots=True)
class SpanReading:
    """What a span of words may name: a title of a document `type`, or a value of an `attribute`.

    A reading with both set empty never occurs; one with `type` set and `value` equal to the type's own name means the
    word for the type itself.
    """

    value: str
    type: str = ""
    attribute: str = ""
    edits: int = 0
    document_count: int = 0
    popularity: float = 0.0
    document_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """Words `begin` to `end` (exclusive, counted from 0) and what they may name, best first."""

    begin: int
    end: int
    readings: tuple[SpanReading, ...]


@dataclass(frozen=True, slots=True)
class Interpretation:
    """One way to read the whole query as constraints, with its likelihood in [0, 1]."""

    likelihood: float
    types: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    document_ids: tuple[str, ...] = ()
    rest: str = ""
    signature: str = "text"


@dataclass(frozen=True, slots=True)
class Understanding:
    """What was understood of a query; see `honeyguide.retrieval.v1.QueryUnderstanding`."""

    normalized_query: str = ""
    corrected_query: str = ""
    language: str = ""
    intent: str = "text"
    confidence: float = 0.0
    spans: tuple[Span, ...] = ()
    interpretations: tuple[Interpretation, ...] = ()
    idf_max: float = 0.0
    coverage: float = 0.0


@dataclass(frozen=True, slots=True)
class Taste:
    """Ids of documents acted on, newest first: in this session, and by this user in any session."""

    session_document_ids: tuple[str, ...] = ()
    user_document_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.session_document_ids or self.user_document_ids)


@dataclass(frozen=True, slots=True)
class RetrievalQuery:
    """Everything a strategy may look at."""

    query: str
    understanding: Understanding
    context: Context
    filter: Filter = Filter()
    taste: Taste = Taste()


def query_from_proto(message: retriever_pb2.RetrieveRequest, now_s: float) -> RetrievalQuery:
    """Reads and checks a retrieval request.

    Raises:
        InvalidArgument: naming the first field that is wrong.
    """
    check_text("query", message.query, QUERY_CHARS_MAX)
    return RetrievalQuery(
        query=message.query,
        understanding=understanding_from_proto(message.understanding),
        context=context_from_proto(message.context, now_s),
        filter=filter_from_proto(message.filter),
        taste=taste_from_proto(message.taste),
    )


def query_to_proto(query: RetrievalQuery) -> retriever_pb2.RetrieveRequest:
    """Writes a retrieval request, without the strategies asked."""
    return retriever_pb2.RetrieveRequest(
        query=query.query,
        understanding=understanding_to_proto(query.understanding),
        context=context_to_proto(query.context),
        filter=filter_to_proto(query.filter),
        taste=retriever_pb2.Taste(
            session_document_ids=query.taste.session_document_ids, user_document_ids=query.taste.user_document_ids
        ),
    )


def taste_from_proto(message: retriever_pb2.Taste) -> Taste:
    """Reads what was acted on.

    Raises:
        InvalidArgument: more than TASTE_MAX documents on one side.
    """
    for name in ("session_document_ids", "user_document_ids"):
        count = len(getattr(message, name))
        if count > TASTE_MAX:
            raise InvalidArgument(f"taste.{name}", f"{count:,} ids; at most {TASTE_MAX} are allowed")
    return Taste(tuple(message.session_document_ids), tuple(message.user_document_ids))


def span_from_proto(message: pb.Span) -> Span:
    """Reads a span."""
    return Span(
        message.begin,
        message.end,
        tuple(
            SpanReading(
                value=reading.value,
                type=reading.type,
                attribute=reading.attribute,
                edits=reading.edits,
                document_count=reading.document_count,
                popularity=reading.popularity,
                document_ids=tuple(reading.document_ids),
            )
            for reading in message.readings
        ),
    )


def span_to_proto(span: Span) -> pb.Span:
    """Writes a span."""
    message = pb.Span(begin=span.begin, end=span.end)
    for reading in span.readings:
        message.readings.add(
            type=reading.type,
            attribute=reading.attribute,
            value=reading.value,
            edits=reading.edits,
            document_count=reading.document_count,
            popularity=reading.popularity,
            document_ids=reading.document_ids,
        )
    return message


def understanding_from_proto(message: pb.QueryUnderstanding) -> Understanding:
    """Reads what was understood.

    Raises:
        InvalidArgument: if a condition is wrong.
    """
    return Understanding(
        normalized_query=message.normalized_query,
        corrected_query=message.corrected_query or message.normalized_query,
        language=message.language,
        intent=message.intent or "text",
        confidence=message.confidence,
        spans=tuple(span_from_proto(span) for span in message.spans),
        interpretations=tuple(
            Interpretation(
                likelihood=interpretation.likelihood,
                types=tuple(interpretation.types),
                conditions=tuple(
                    condition_from_proto(c, f"understanding.interpretations[{i}].conditions")
                    for c in interpretation.conditions
                ),
                document_ids=tuple(interpretation.document_ids),
                rest=interpretation.rest,
                signature=interpretation.signature,
            )
            for i, interpretation in enumerate(message.interpretations)
        ),
        idf_max=message.idf_max,
        coverage=message.coverage,
    )


def understanding_to_proto(understanding: Understanding) -> pb.QueryUnderstanding:
    """Writes what was understood."""
    return pb.QueryUnderstanding(
        normalized_query=understanding.normalized_query,
        corrected_query=understanding.corrected_query,
        language=understanding.language,
        intent=understanding.intent,
        confidence=understanding.confidence,
        spans=[span_to_proto(span) for span in understanding.spans],
        interpretations=[
            pb.Interpretation(
                likelihood=interpretation.likelihood,
                types=interpretation.types,
                conditions=[condition_to_proto(c) for c in interpretation.conditions],
                document_ids=interpretation.document_ids,
                rest=interpretation.rest,
                signature=interpretation.signature,
            )
            for interpretation in understanding.interpretations
        ],
        idf_max=understanding.idf_max,
        coverage=understanding.coverage,
    )

"""What the journal holds of a document: the document itself, with its embedding, and where that came from."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

import structlog

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import Document, cut_popularity, document_from_proto, document_to_proto
from honeyguide.errors import InvalidArgument
from honeyguide_vector.embedding_cache import KEY_BYTES

log = structlog.get_logger("honeyguide.vector.record")

_VERSION = 1
_HEADER = struct.Struct(f"<BB{KEY_BYTES}s")


class Source(IntEnum):
    """Where a document's embedding comes from."""

    NONE = 0  # its type is not embedded, or it has no text
    ENCODED = 1
    SUPPLIED = 2  # with the document


@dataclass(frozen=True, slots=True)
class Record:
    """A document as the journal holds it.

    `key` is the embedding cache's key of the encoded text, zeros unless it was encoded. The document's embedding is of
    unit length, None for `Source.NONE` and where what was journalled is of no use.
    """

    source: Source
    key: bytes
    document: Document

    def to_bytes(self) -> bytes:
        """The journal's payload."""
        return _HEADER.pack(_VERSION, self.source, self.key) + document_to_proto(self.document).SerializeToString()


def source_of(payload: bytes) -> Source:
    """Where the embedding comes from, without reading the document."""
    return Source(payload[1])


def record_from_bytes(payload: bytes) -> Record:
    """Reads a payload of the journal. An embedding that is of no use is left out, whatever the source says."""
    _, source, key = _HEADER.unpack_from(payload)
    message = cut_popularity(document_pb2.Document.FromString(payload[_HEADER.size :]))
    try:
        document = document_from_proto(message)
    except InvalidArgument as error:  # what was taken once must not keep the service from starting
        log.warning("journalled embedding is of no use and is left out", document=message.id, error=str(error))
        message.ClearField("embedding")
        document = document_from_proto(message)
    return Record(Source(source), key, document)

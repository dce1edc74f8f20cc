"""What the vector service offers beside retrieval and indexing, on the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np

from honeyguide.api.vector.v1 import vector_pb2, vector_pb2_grpc
from honeyguide.errors import InvalidArgument
from honeyguide.server import Registration
from honeyguide_vector.query_encoding import QueryEncoding

TEXTS_PER_CALL_MAX = 256
TEXT_BYTES_MAX = 32 * 2**10


def register_vector(encoding: QueryEncoding) -> Registration:
    """The encoder, ready for a server."""
    return Registration(
        "honeyguide.vector.v1.VectorService",
        vector_pb2_grpc.add_VectorServiceServicer_to_server,
        VectorServicer(encoding),
    )


class VectorServicer(vector_pb2_grpc.VectorServiceServicer):
    """Puts the query encoder on the wire."""

    def __init__(self, encoding: QueryEncoding) -> None:
        self._encoding = encoding

    async def EncodeTexts(
        self, request: vector_pb2.EncodeTextsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> vector_pb2.EncodeTextsResponse:
        if len(request.texts) > TEXTS_PER_CALL_MAX:
            raise InvalidArgument("texts", f"{len(request.texts):,}; at most {TEXTS_PER_CALL_MAX} are allowed")
        for i, text in enumerate(request.texts):
            if len(text) * 4 > TEXT_BYTES_MAX and (size := len(text.encode())) > TEXT_BYTES_MAX:
                raise InvalidArgument(f"texts[{i}]", f"is {size:,} bytes long; at most {TEXT_BYTES_MAX:,} are allowed")
        vectors = await asyncio.gather(*(self._encoding.encode(text) for text in request.texts))
        return vector_pb2.EncodeTextsResponse(
            dimension=self._encoding.dimension,
            embeddings=np.stack(vectors).astype("<f4").tobytes() if vectors else b"",
        )

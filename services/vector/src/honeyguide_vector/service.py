"""The vector service, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from honeyguide.config import CommonSettings
from honeyguide.replication import open_replicated
from honeyguide.server import Registration
from honeyguide.servicers import register_retriever
from honeyguide_vector.embedding_cache import EmbeddingCache
from honeyguide_vector.encoders import Encoders, open_encoders
from honeyguide_vector.index import GraphSettings, VectorIndex
from honeyguide_vector.query_encoding import QueryEncoding
from honeyguide_vector.retriever import VectorRetriever
from honeyguide_vector.servicers import register_vector
from honeyguide_vector.settings import VectorSettings
from honeyguide_vector.strategies import Dense, Personal, Searching, Similar


@asynccontextmanager
async def open_service(
    settings: VectorSettings, common: CommonSettings | None = None, encoders: Encoders | None = None
) -> AsyncIterator[Sequence[Registration]]:
    """Opens the service's parts and closes them again, saving what is held.

    Args:
        settings: where and how.
        common: how to call the primary, if `settings` name one; None = as the environment says.
        encoders: used instead of what the settings name.

    Raises:
        FailedPrecondition: the encoder cannot be opened or is not the primary's, another process holds the data folder,
            or it is no copy of the primary's.
    """
    cache_dir = settings.cache_dir or settings.data_dir / "cache"
    if encoders is None:
        encoders = await asyncio.to_thread(open_encoders, settings, cache_dir)
    async with AsyncExitStack() as stack:
        cache = EmbeddingCache(cache_dir / "embeddings.sqlite", settings.embedding_cache_max)
        stack.callback(cache.close)
        index = VectorIndex(
            settings.data_dir,
            encoders.documents,
            cache,
            GraphSettings(
                m=settings.m,
                ef_construction=settings.ef_construction,
                segment_rows=settings.segment_documents,
                ef_search=settings.ef_search,
                threads=settings.threads,
                save_interval_s=settings.save_interval_s,
            ),
            is_copy=settings.followed is not None,
        )
        await index.open()
        stack.push_async_callback(index.close)
        encoding = QueryEncoding(
            encoders.queries,
            cache_max=settings.query_cache_max,
            batch_max=settings.query_batch_max,
            queue_max=settings.query_queue_max,
            threads=settings.threads,
        )
        stack.push_async_callback(encoding.close)
        searching = Searching(index.collection, settings.threads)
        stack.callback(searching.close)
        retriever = VectorRetriever(
            [
                Dense(encoding, searching, settings.candidate_cache_max),
                Personal(encoding, searching, settings.personal_weight, settings.taste_decay),
                Similar(searching, settings.similar_documents_max, settings.taste_decay),
            ]
        )
        indexing = await stack.enter_async_context(
            open_replicated("vector", index, encoders.documents.identity, settings, common or CommonSettings())
        )
        yield [register_retriever(retriever), register_vector(encoding), *indexing]

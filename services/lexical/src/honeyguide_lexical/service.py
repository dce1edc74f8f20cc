"""The lexical service, put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager

from honeyguide.config import CommonSettings
from honeyguide.replication import open_replicated
from honeyguide.server import Registration
from honeyguide.servicers import register_retriever
from honeyguide.threads import WarmThreads
from honeyguide_lexical.catalogue import Catalogue
from honeyguide_lexical.recognition import Recognizer
from honeyguide_lexical.retriever import LexicalRetriever
from honeyguide_lexical.servicers import LexicalServicer
from honeyguide_lexical.settings import LexicalSettings
from honeyguide_lexical.store import Store


@asynccontextmanager
async def open_service(
    settings: LexicalSettings, common: CommonSettings | None = None
) -> AsyncIterator[Sequence[Registration]]:
    """Opens the service over its folder; on leaving, what was acknowledged is applied and all is closed.

    Args:
        settings: where and how.
        common: how to call the primary, if `settings` name one; None = as the environment says.

    Raises:
        FailedPrecondition: another lexical service has the folder open, or it is no copy of the primary's.
    """
    with ExitStack() as stack:
        writing = stack.enter_context(ThreadPoolExecutor(1, "lexical-journal"))
        applying = stack.enter_context(ThreadPoolExecutor(1, "lexical-apply"))
        searching = WarmThreads(settings.search_threads, "lexical-search")
        store = await asyncio.get_running_loop().run_in_executor(
            applying,
            Store,
            settings.data_dir,
            settings.writer_bytes,
            settings.writer_threads,
            settings.document_cache_bytes,
        )
        stack.callback(store.close)
        recognizer = Recognizer(store.lexicon_path)
        stack.callback(recognizer.close)
        catalogue = Catalogue(
            store,
            writing,
            applying,
            settings.commit_interval_s,
            settings.backlog_max,
            settings.backlog_bytes_max,
        )
        catalogue.start()
        try:
            async with open_replicated("lexical", catalogue, "", settings, common or CommonSettings()) as indexing:
                yield [
                    register_retriever(LexicalRetriever(lambda: store.index, searching, settings.candidate_cache_max)),
                    LexicalServicer(store, recognizer, searching).registration(),
                    *indexing,
                ]
        finally:
            await catalogue.close()
            searching.close()
            for executor in (writing, applying):
                executor.shutdown()

"""The catalogue's configuration and facts as of a moment ago, for searches."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import structlog

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.errors import HoneyguideError
from honeyguide_orchestrator.catalog import Catalog
from honeyguide_orchestrator.catalog_facts import CatalogFacts, gather_facts
from honeyguide_orchestrator.catalog_store import CatalogStore

log = structlog.get_logger("honeyguide.orchestrator.catalog_watch")

CONFIGURATION_EVERY_S = 1.0
FACTS_EVERY_S = 5.0
LOG_EVERY_S = 30.0


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

"""A strategy of one's own that never answers in time, listed and struck from a running system's configuration."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from honeyguide.candidates import NO_CANDIDATES, Candidates
from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.query import RetrievalQuery
from honeyguide.retriever import Answer, Need, Strategy, ask_each
from honeyguide.server import Server
from honeyguide.servicers import register_retriever
from honeyguide_standalone.api import Api

SERVICE, NAME = "slow", "slow.sleeping"
SLEEP_S = 5.0
LOOK_S = 0.1
KNOWN_WITHIN_S = 30.0


class Sleeping:
    """A retriever that finds nothing, and takes long for it."""

    strategies = (Strategy(NAME, "Finds nothing, late.", needs=(Need.QUERY,)),)

    async def retrieve(self, query: RetrievalQuery, depths: Mapping[str, int]) -> Mapping[str, Answer]:
        """See `Retriever`."""
        return await ask_each({NAME: self._sleep})

    async def _sleep(self) -> Candidates:
        await asyncio.sleep(SLEEP_S)
        return NO_CANDIDATES


class Listing:
    """The file that names a running system's retrievers, with and without the slow one."""

    def __init__(self, file: Path, target: str, api: Api) -> None:
        self._file = file
        self._without: dict[str, str] = yaml.safe_load(file.read_text())
        self._with = {**self._without, SERVICE: target}
        self._api = api

    async def list(self, slow: bool) -> None:
        """Lists the strategy or strikes it; returns when searches know."""
        self._file.write_text(yaml.safe_dump(self._with if slow else self._without))
        end = time.perf_counter() + KNOWN_WITHIN_S
        while await self._known() != slow:
            if time.perf_counter() > end:
                raise RuntimeError(f"the list of retrievers was not read again within {KNOWN_WITHIN_S:g} s")
            await asyncio.sleep(LOOK_S)

    async def _known(self) -> bool:
        found = await self._api.search("anything", policy="full_depth", explain=True, untracked=True)
        return any(one.strategy == NAME for one in found.explanation.strategies)


@asynccontextmanager
async def slow_strategy(file: Path, api: Api) -> AsyncIterator[Listing]:
    """The retriever served, not yet listed; struck again at the end."""
    server = Server(SERVICE, CommonSettings(), ServerSettings(), [register_retriever(Sleeping())])
    await server.start()
    listing = Listing(file, f"127.0.0.1:{server.port}", api)
    try:
        yield listing
    finally:
        await listing.list(False)
        await server.stop()

"""Honeyguide as a library: every service composed into this process, with no ports and no hops between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from honeyguide.client import Connection, LocalConnection
from honeyguide.config import ServerSettings
from honeyguide.errors import FailedPrecondition
from honeyguide.folder import lock_folder
from honeyguide.server import Registration
from honeyguide_lexical.service import open_service as open_lexical
from honeyguide_lexical.settings import LexicalSettings
from honeyguide_memory.service import open_service as open_memory
from honeyguide_memory.settings import MemorySettings
from honeyguide_orchestrator.service import open_service as open_orchestrator
from honeyguide_orchestrator.settings import OrchestratorSettings
from honeyguide_standalone.api import Api
from honeyguide_standalone.valkey import ValkeyServer
from honeyguide_vector.service import open_service as open_vector
from honeyguide_vector.settings import VectorSettings

S = TypeVar("S", bound=ServerSettings)


class Engine:
    """All of Honeyguide in one process, for a laptop, a test, a small shop. An async context manager:

        async with Engine(Path("data")) as engine:
            await engine.api.index(documents)
            response = await engine.api.search("tom hanks")

    Args:
        data_dir: where all data goes; one running system at a time has it.
        redis_url: a Redis that is there already; None = a Valkey server of our own, which ends with the engine.
        key_prefix: of everything in Redis; engines that share a Redis need different ones.
        learner: whether this engine learns; several may, one of them does at a time.
        intervals_s: pause between two looks for new events, and for new snapshots; None = as set.

    `connections` are to the retrieving services by name, for whoever wants to speak to them directly.

    Further settings come from the environment, as those of the services run by themselves do.

    Logging is the program's to configure: what the parts log goes through structlog, whose default is standard output.
    `honeyguide.telemetry.configure_logging(CommonSettings(), "shop")` sends it to standard error.

    Raises:
        FailedPrecondition: on entering, the folder is in use.
        Unavailable: on entering, Redis does not answer.
    """

    def __init__(
        self,
        data_dir: Path,
        redis_url: str | None = None,
        key_prefix: str = "hg",
        learner: bool = True,
        intervals_s: float | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._wanted_redis_url = redis_url
        self._key_prefix = key_prefix
        self._learner = learner
        names = ("learn_interval_s", "snapshot_interval_s", "refresh_interval_s")
        self._intervals = {} if intervals_s is None else dict.fromkeys(names, intervals_s)
        self._stack = AsyncExitStack()
        self._api: Api | None = None
        self.redis_url = redis_url or ""
        self.registrations: Sequence[Registration] = ()
        self.connections: Mapping[str, Connection] = {}

    @property
    def api(self) -> Api:
        """The public API. Raises FailedPrecondition outside of the `async with` block."""
        if self._api is None:
            raise FailedPrecondition("the engine is not open; use it inside `async with Engine(...) as engine:`")
        return self._api

    async def __aenter__(self) -> Engine:
        async with AsyncExitStack() as stack:
            stack.callback(lock_folder(self._data_dir).close)
            if self._wanted_redis_url is None:
                valkey = ValkeyServer(self._data_dir / "valkey")
                stack.callback(valkey.stop)
                self.redis_url = valkey.url
            self.connections = await self._open_retrievers(stack)
            settings = _settings(
                OrchestratorSettings,
                redis_url=self.redis_url,
                key_prefix=self._key_prefix,
                learner=self._learner,
                retrievers_file=None,
                **self._intervals,
            )
            self.registrations = await stack.enter_async_context(open_orchestrator(settings, self.connections))
            self._api = Api(LocalConnection(self.registrations))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._api = None
        await self._stack.aclose()

    async def _open_retrievers(self, stack: AsyncExitStack) -> dict[str, Connection]:
        lexical = _settings(LexicalSettings, data_dir=self._data_dir / "lexical", primary=None)
        vector = _settings(VectorSettings, data_dir=self._data_dir / "vector", primary=None)
        memory = _settings(MemorySettings, redis_url=self.redis_url, key_prefix=self._key_prefix)
        return {
            "lexical": LocalConnection(await stack.enter_async_context(open_lexical(lexical))),
            "vector": LocalConnection(await stack.enter_async_context(open_vector(vector))),
            "memory": LocalConnection(await stack.enter_async_context(open_memory(memory))),
        }


def _settings(type: type[S], **given: object) -> S:
    # pydantic-settings reads what is not given from the environment, which type checkers take for missing arguments.
    return type(**given)  # type: ignore[arg-type]

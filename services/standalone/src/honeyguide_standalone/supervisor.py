"""Everything on this machine: Valkey, the four services and the learner as processes, watched, restarted and ended in
order. The learner has a process of its own, since what it computes would hold up the searches of one that it shared."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml

from honeyguide.config import CommonSettings
from honeyguide.folder import lock_folder
from honeyguide_orchestrator.retriever_file import read_file
from honeyguide_standalone.ports import check_free
from honeyguide_standalone.process import ServiceProcess
from honeyguide_standalone.running import Running, forget_running
from honeyguide_standalone.valkey import ValkeyServer

RETRIEVERS = ("lexical", "vector", "memory")
ORCHESTRATOR = "orchestrator"
LEARNER = "learner"
RETRIEVERS_FILE = "retrievers.yaml"
RETRIEVERS_HEAD = "# service: gRPC target; lexical, vector and memory are written anew at each start, others stay\n"
START_S = 120.0
WATCH_S = 0.2
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 30.0
STEADY_S = 60.0


@dataclass(frozen=True, slots=True)
class Status:
    """One part of the system as it is now."""

    name: str
    state: str
    address: str
    pid: int
    restarts: int
    log_path: Path


class Supervisor:
    """A running system over one data folder; made by `supervise`."""

    def __init__(
        self,
        data_dir: Path,
        common: CommonSettings,
        valkey: ValkeyServer | None,
        services: dict[str, ServiceProcess],
        redis_url: str,
    ) -> None:
        self.data_dir = data_dir
        self.redis_url = redis_url
        self._common = common
        self._valkey = valkey
        self._services = services
        self._valkey_restarts = 0
        self._watcher: asyncio.Task[None] | None = None

    @property
    def target(self) -> str:
        """host:port of the public API."""
        return self._services[ORCHESTRATOR].address

    async def start(self, told: Callable[[str], None]) -> None:
        """Starts the retrievers, then the others, and watches them; `told` hears of every one that is ready.

        Raises:
            Unavailable: one did not come up; the end of its log is in the message.
        """
        for names in (RETRIEVERS, (ORCHESTRATOR, LEARNER)):
            for name in names:
                self._services[name].start()
            for name in names:
                await self._services[name].wait_serving(START_S)
                told(f"{name} serves on {self._services[name].address}")
        addresses = {name: service.address for name, service in self._services.items()}
        Running(os.getpid(), self.target, addresses, self.redis_url).write(self.data_dir)
        self._watcher = asyncio.create_task(self._watch())

    async def status(self) -> list[Status]:
        """Every part as it is now, Valkey first."""
        rows = []
        if self._valkey is not None:
            state = "running" if self._valkey.running else "ended"
            log = self.data_dir / "valkey" / "valkey.log"
            address = f"127.0.0.1:{self._valkey.port}"
            rows.append(Status("valkey", state, address, self._valkey.pid, self._valkey_restarts, log))
        for name, service in self._services.items():
            state = "serving" if await service.serving() else "starting" if service.running else "ended"
            rows.append(Status(name, state, service.address, service.pid, service.restarts, service.log_path))
        return rows

    async def stop(self) -> None:
        """Ends everything: the orchestrator drains first, Valkey writes its data last."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        forget_running(self.data_dir)
        await self._services[ORCHESTRATOR].stop()
        await self._services[LEARNER].stop()
        await asyncio.gather(*(self._services[name].stop() for name in RETRIEVERS))
        if self._valkey is not None:
            self._valkey.stop()

    async def _watch(self) -> None:
        """Starts again what ended, each time later: from half a second, doubling, up to half a minute.

        A service that then ran for a minute is forgiven.
        """
        retry_at: dict[str, float] = {}
        backoff_s: dict[str, float] = {}
        started_at: dict[str, float] = {}
        while True:
            await asyncio.sleep(WATCH_S)
            now = time.monotonic()
            for name in self._ended():
                if name not in retry_at:
                    steady = now - started_at.get(name, 0.0) > STEADY_S
                    backoff_s[name] = (
                        BACKOFF_FIRST_S if steady else min(BACKOFF_MAX_S, 2 * backoff_s.get(name, BACKOFF_FIRST_S))
                    )
                    retry_at[name] = now + backoff_s[name]
                elif now >= retry_at[name]:
                    del retry_at[name]
                    started_at[name] = now
                    self._restart(name)

    def _ended(self) -> list[str]:
        names = [name for name, service in self._services.items() if not service.running]
        if self._valkey is not None and not self._valkey.running:
            names.insert(0, "valkey")
        return names

    def _restart(self, name: str) -> None:
        if name != "valkey":
            self._services[name].restarts += 1
            self._services[name].start()
        elif self._valkey is not None:
            self._valkey_restarts += 1
            self._valkey.restart()


@contextlib.asynccontextmanager
async def supervise(
    data_dir: Path,
    common: CommonSettings,
    port: int = 0,
    redis_url: str | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> AsyncIterator[Supervisor]:
    """Everything running over a data folder, until the block ends.

    Args:
        data_dir: where all data, logs and ports.json go; made if need be.
        common: settings passed to every service besides the environment.
        port: of the public API; 0 = any free one.
        redis_url: a Redis that is there already; None = a Valkey server of our own.
        told: hears one line for every part that is ready.

    Raises:
        FailedPrecondition: the folder is in use, or can't be one.
        InvalidArgument: the port is taken, or the folder's retrievers.yaml can't be read; nothing was started.
        Unavailable: a part did not come up.
    """
    data_dir, lock = _take(data_dir)
    try:
        check_free(port)
        added = _added_retrievers(data_dir / RETRIEVERS_FILE)
        valkey = None if redis_url else ValkeyServer(data_dir / "valkey")
        url = redis_url or (valkey.url if valkey else "")
        if valkey is not None:
            told(f"valkey serves on 127.0.0.1:{valkey.port}")
        services = _services(data_dir, common, port, url)
        _write_retrievers(data_dir / RETRIEVERS_FILE, services, added)
        supervisor = Supervisor(data_dir, common, valkey, services, url)
        try:
            await supervisor.start(told)
            yield supervisor
        finally:
            await supervisor.stop()
    finally:
        lock.close()


def _take(data_dir: Path) -> tuple[Path, IO[str]]:
    lock = lock_folder(data_dir)
    return data_dir.resolve(), lock


def _services(data_dir: Path, common: CommonSettings, port: int, redis_url: str) -> dict[str, ServiceProcess]:
    orchestrator = {
        "HONEYGUIDE_ORCHESTRATOR_RETRIEVERS_FILE": str(data_dir / RETRIEVERS_FILE),
        "HONEYGUIDE_ORCHESTRATOR_LEARNER": "false",
    }
    environments = {
        "lexical": {"HONEYGUIDE_LEXICAL_DATA_DIR": str(data_dir / "lexical")},
        "vector": {"HONEYGUIDE_VECTOR_DATA_DIR": str(data_dir / "vector")},
        "memory": {},
        ORCHESTRATOR: orchestrator,
        LEARNER: orchestrator,
    }
    return {
        name: ServiceProcess(
            ORCHESTRATOR if name == LEARNER else name,
            {**environment, "HONEYGUIDE_REDIS_URL": redis_url},
            data_dir / "logs",
            common,
            port if name == ORCHESTRATOR else 0,
            LEARNER if name == LEARNER else "",
        )
        for name, environment in environments.items()
    }


def _added_retrievers(path: Path) -> dict[str, str]:
    """What people added to the file: it stays theirs from start to start."""
    retrievers = read_file(path) if path.exists() else {}
    return {name: target for name, target in retrievers.items() if name not in RETRIEVERS}


def _write_retrievers(path: Path, services: Mapping[str, ServiceProcess], added: Mapping[str, str]) -> None:
    retrievers = {name: services[name].address for name in RETRIEVERS} | dict(added)
    partial = path.with_suffix(".partial")
    partial.write_text(RETRIEVERS_HEAD + yaml.safe_dump(retrievers, sort_keys=False), encoding="utf-8")
    partial.replace(path)

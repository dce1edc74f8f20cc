"""Whole systems: the engine in this process, and services as processes of their own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from honeyguide_standalone.child import ends_with_parent

DEADLINE_S = 60.0
RUN = "HONEYGUIDE_TEST_RUN"

Answer = TypeVar("Answer")


async def _until(
    ask: Callable[[], Awaitable[Answer]], wanted: Callable[[Answer], Any], deadline_s: float = DEADLINE_S
) -> Answer:
    """Asks until the answer is the wanted one, and returns it; fails with the last answer when time is up."""
    end = time.monotonic() + deadline_s
    while True:
        answer = await ask()
        if wanted(answer):
            return answer
        if time.monotonic() > end:
            pytest.fail(f"not within {deadline_s:g} s; the last answer was {answer}")
        await asyncio.sleep(0.05)


class Processes:
    """Services started by hand, each `python -m honeyguide_<name>`, on free ports, with their logs in a folder."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._run = uuid.uuid4().hex
        self._environment = {**os.environ, **environment, RUN: self._run, "PYTHONUNBUFFERED": "1"}
        self.started: list[subprocess.Popen[str]] = []
        self._killed: set[int] = set()

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Starts `python COMMAND`; `port_of` waits until it serves."""
        log = self._folder / f"{len(self.started)}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                ends_with_parent([sys.executable, *command]),
                env={**self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        process.log = log  # type: ignore[attr-defined]
        self.started.append(process)
        return process

    def port_of(self, process: subprocess.Popen[str]) -> int:
        """The port that it says it listens on."""
        said = process.stdout.readline() if process.stdout else ""
        assert said.startswith("listening "), process.log.read_text()  # type: ignore[attr-defined]
        return int(said.removeprefix("listening "))

    def kill(self, process: subprocess.Popen[str]) -> None:
        """SIGKILL: it gets no chance to tidy up."""
        process.kill()
        process.wait()
        self._killed.add(process.pid)

    def stop(self, *processes: subprocess.Popen[str]) -> dict[str, int]:
        """SIGTERM to all, and their exit codes by command; those killed before are left out."""
        alive = [process for process in processes if process.pid not in self._killed]
        for process in alive:
            process.terminate()
        codes = {}
        for process in alive:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            codes[f"{' '.join(process.args[6:])} {process.pid}"] = process.returncode
        return codes

    def left(self) -> list[str]:
        """Command lines of processes that we started, or that they did, and that still run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{RUN}={self._run}".encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text())
            except OSError:
                continue
        return found


@pytest.fixture(scope="session")
def encoder_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all engines and processes: the encoder is quantised once."""
    return tmp_path_factory.mktemp("encoder")


@pytest.fixture(scope="module", autouse=True)
def _settings(encoder_cache: Path) -> Iterator[None]:
    """For each module, so that nothing of it reaches other folders. A busy machine makes no strategy late."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HONEYGUIDE_VECTOR_CACHE_DIR", str(encoder_cache))
        for stage in ("UNDERSTAND", "RETRIEVE", "LOG", "FETCH"):
            patch.setenv(f"HONEYGUIDE_ORCHESTRATOR_{stage}_TIMEOUT_S", "10")
        yield


@pytest.fixture(scope="session")
def until() -> Callable[..., Awaitable[Any]]:
    """`await until(ask, wanted)`: asks until `wanted(answer)` is true, and returns that answer; a minute at most."""
    return _until


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Processes]:
    """Starts services by hand; afterwards all must have ended by SIGTERM, and nothing may be left."""
    processes = Processes(tmp_path_factory.mktemp("processes"), {"HONEYGUIDE_REDIS_URL": redis_url})
    yield processes
    codes = processes.stop(*processes.started)
    assert set(codes.values()) <= {0}, codes
    assert processes.left() == []

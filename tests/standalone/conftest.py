"""What the tests of standalone share."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from honeyguide.config import CommonSettings, ServerSettings
from honeyguide.server import Server
from honeyguide_standalone import command
from honeyguide_standalone.engine import Engine
from honeyguide_standalone.running import Running

Ask = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture(scope="session")
def encoder_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all vector services: the encoder is quantised once."""
    return tmp_path_factory.mktemp("encoder")


@pytest.fixture(scope="module", autouse=True)
def settings(encoder_cache: Path) -> Iterator[None]:
    """For each module, so that nothing of it reaches other folders. No exploration: results are certain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HONEYGUIDE_VECTOR_CACHE_DIR", str(encoder_cache))
        patch.setenv("HONEYGUIDE_ORCHESTRATOR_EXPLORATION_SHARE", "0")
        patch.setenv("HONEYGUIDE_ORCHESTRATOR_EXPLORATION_SHARE_KNOWN", "0")
        patch.setenv("HONEYGUIDE_ORCHESTRATOR_SWAP_SHARE", "0")
        yield


@pytest.fixture
async def served(tmp_path: Path, redis_url: str, key_prefix: str) -> AsyncIterator[Engine]:
    """An engine over an empty catalogue, served as `honeyguide up --in-process` does; its logs go nowhere."""
    folder = tmp_path / "data"
    with capture_logs():
        async with Engine(folder, redis_url, key_prefix, intervals_s=0.02) as engine:
            listens = ServerSettings(host="127.0.0.1", port=0)
            server = Server("honeyguide", CommonSettings(), listens, engine.registrations)
            await server.start()
            Running(os.getpid(), f"127.0.0.1:{server.port}", redis_url=redis_url).write(folder)
            yield engine
            await server.stop()


@pytest.fixture
def ask(served: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs the command line against what is served: exit code, standard output and standard error."""

    def run(arguments: tuple[str, ...]) -> int:
        monkeypatch.setattr(sys, "argv", ["honeyguide", *arguments, "--data-dir", str(tmp_path / "data")])
        with pytest.raises(SystemExit) as ended:
            command.main()
        return int(str(ended.value.code))

    async def ask(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return ask

"""The file that names the retrievers, watched: each new mistake in it is logged once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from honeyguide.client import Connection
from honeyguide_orchestrator import retriever_file
from honeyguide_orchestrator.fanout import Retrievers


def no_connection(target: str) -> Connection:
    raise AssertionError(target)


async def until(check: Callable[[], bool]) -> None:
    for _ in range(200):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to pass")


async def test_every_new_mistake_is_logged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retriever_file, "LOOK_S", 0.01)
    path, looks = tmp_path / "retrievers.yaml", 0
    read_file = retriever_file.read_file

    def read(path: Path) -> dict[str, str]:
        nonlocal looks
        looks += 1
        return read_file(path)

    async def write(text: str) -> None:
        path.write_text(text)
        seen = looks
        await until(lambda: looks > seen + 3)

    monkeypatch.setattr(retriever_file, "read_file", read)
    path.write_text("{}")
    with capture_logs() as logs:
        watching = asyncio.create_task(retriever_file.watch_file(path, Retrievers(), frozenset(), no_connection))
        for text in ("- a list", "a: {", "{}", "a: {"):
            await write(text)
        watching.cancel()
    told = [entry["error"] for entry in logs if entry["event"] == "retrievers file ignored"]
    assert ["is not a mapping" in told[0], *("cannot be read" in error for error in told[1:])] == [True] * 3

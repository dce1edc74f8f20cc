"""`honeyguide decisions export --output`: a file that is there stays until all is written, and nothing else is left."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from honeyguide.errors import Unavailable
from honeyguide_standalone import command
from honeyguide_standalone.api import Api
from honeyguide_standalone.engine import Engine

Ask = Callable[..., Awaitable[tuple[int, str, str]]]
YESTERDAY = "of yesterday\n"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """An earlier export, in a folder of its own."""
    path = tmp_path / "exports" / "log.jsonl"
    path.parent.mkdir()
    path.write_text(YESTERDAY)
    return path


def untouched(kept: Path) -> bool:
    return kept.read_text() == YESTERDAY and os.listdir(kept.parent) == [kept.name]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("where", [["--data-dir", "nowhere"], ["--target", "127.0.0.1:1"]])
def test_without_a_system_the_file_stays(kept: Path, monkeypatch: pytest.MonkeyPatch, where: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["honeyguide", "decisions", "export", "--output", str(kept), *where])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert untouched(kept)


async def test_a_stream_that_breaks_off_leaves_the_file(ask: Ask, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaking(self: Api, **wanted: Any) -> AsyncIterator[str]:
        yield "{}"
        assert set(os.listdir(kept.parent)) == {kept.name, f"{kept.name}.part"}
        raise Unavailable("gone")

    monkeypatch.setattr(Api, "decisions", breaking)
    code, _, err = await ask("decisions", "export", "--output", str(kept))
    assert (code, err) == (2, "honeyguide: gone\n")
    assert untouched(kept)


async def test_a_whole_export_takes_its_place(served: Engine, ask: Ask, kept: Path) -> None:
    await served.api.search("lamp")
    link = kept.with_name("link")
    link.symlink_to(kept)
    for path in (kept, link):
        assert await ask("decisions", "export", "--output", str(path)) == (0, "", "")
        assert [line["query"] for line in lines_of(kept)] == ["lamp"]
        assert link.is_symlink()
        assert sorted(os.listdir(kept.parent)) == ["link", kept.name]
        os.truncate(kept, 0)


async def test_a_pipe_is_written_itself(served: Engine, ask: Ask, tmp_path: Path) -> None:
    await served.api.search("lamp")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (code, _, _), read = await asyncio.gather(
        ask("decisions", "export", "--output", str(pipe)), asyncio.to_thread(pipe.read_text)
    )
    assert code == 0
    assert json.loads(read)["query"] == "lamp"
    assert pipe.is_fifo()


async def test_what_can_not_be_written_is_named(ask: Ask, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "log.jsonl", tmp_path):
        code, _, err = await ask("decisions", "export", "--output", str(path))
        assert code == 2
        assert err.startswith(f"honeyguide: --output: {path}: ")
        assert ".part" not in err
        assert len(err.splitlines()) == 1

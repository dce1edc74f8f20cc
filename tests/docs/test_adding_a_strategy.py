"""The worked example of docs/adding-a-strategy.md is what it says, and does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.api.retrieval.v1 import retriever_pb2 as pb
from honeyguide.api.retrieval.v1.retriever_pb2_grpc import RetrieverServiceStub
from honeyguide.client import RemoteConnection
from honeyguide.config import CommonSettings

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "adding-a-strategy.md").read_text()


def quoted(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    environment = {"HONEYGUIDE_EDITORS_PICKS_FILE": str(DOCS / "examples/picks.json"), "HONEYGUIDE_EDITORS_PORT": "0"}
    command = [sys.executable, str(DOCS / "examples/editors.py")]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    yield int(process.stdout.readline().removeprefix("listening "))
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.fixture
async def stub(port):
    connection = RemoteConnection(f"127.0.0.1:{port}", CommonSettings())
    yield connection.stub(RetrieverServiceStub)
    await connection.close()


async def picked(stub, query: str, depth: int = 10, **filter) -> list[str]:
    asked = [pb.StrategyDepth(strategy="editors.picks", depth=depth)]
    request = pb.RetrieveRequest(query=query, strategies=asked, filter=document_pb2.Filter(**filter))
    result = (await stub.Retrieve(request, timeout=5)).results[0]
    assert result.status == pb.STRATEGY_STATUS_OK
    return list(result.document_ids)


def test_the_page_quotes_the_files():
    assert quoted("python")[0] == (DOCS / "examples/editors.py").read_text()
    assert quoted("json") == [(DOCS / "examples/picks.json").read_text()]


def test_the_files_the_page_links_to_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (DOCS / target).exists(), target


async def test_it_lists_its_strategy(stub):
    strategies = (await stub.ListStrategies(pb.ListStrategiesRequest(), timeout=5)).strategies
    assert [(strategy.name, list(strategy.needs)) for strategy in strategies] == [
        ("editors.picks", [pb.STRATEGY_NEED_QUERY])
    ]


async def test_it_answers(stub):
    assert await picked(stub, "Heist, in PARIS") == ["film:rififi", "film:heat", "film:amelie", "person:michael-mann"]
    assert await picked(stub, "heist", depth=1) == ["film:heat"]
    assert await picked(stub, "nothing chosen") == []


async def test_it_honours_the_filter(stub):
    assert await picked(stub, "heist", types=["person"]) == ["person:michael-mann"]
    assert await picked(stub, "heist", excluded_document_ids=["film:heat"]) == ["film:rififi", "person:michael-mann"]
    condition = document_pb2.AttributeCondition(attribute="year", equals=document_pb2.Value(number=1995))
    assert await picked(stub, "heist", attributes=[condition]) == []
    assert await picked(stub, "heist", excluded_attributes=[condition]) == []


def test_the_client_on_the_page_prints_what_the_page_says(port):
    program = quoted("python")[1].replace("50071", str(port))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    assert done.stdout == quoted("text")[0]

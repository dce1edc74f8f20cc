"""What `honeyguide search` says beside the results."""

from __future__ import annotations

import asyncio

import pytest
from tests.standalone.conftest import Ask

from honeyguide.api.search.v1 import search_pb2
from honeyguide.documents import Document
from honeyguide_standalone.commands.search import print_reading
from honeyguide_standalone.engine import Engine


@pytest.fixture(autouse=True)
def _always_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEYGUIDE_ORCHESTRATOR_SWAP_SHARE", "1")


async def found(engine: Engine, query: str) -> None:
    """Waits until the catalogue is searchable and its attributes are known; what is understood is kept for a while."""
    async with asyncio.timeout(20):
        while True:
            response = await engine.api.search(query, untracked=True, explain=True)
            if response.results and response.understanding.interpretations:
                return
            await asyncio.sleep(0.05)


async def test_ranges_are_written_as_they_were_meant_and_swaps_and_want_of_words_told(served: Engine, ask: Ask) -> None:
    soups = [
        Document(f"s{i}", "recipe", f"Soup {chr(97 + i)}", attributes={"minutes": (10.0 + 5 * i,)}) for i in range(20)
    ]
    assert not await served.api.index(soups)
    await found(served, "soup under 40 minutes")
    code, out, _ = await ask("search", "soup under 30 minutes", "--explain")
    assert code == 0
    assert "minutes < 30; words 'soup'" in out
    assert "are swapped, as on a small share of first pages" in " ".join(out.split())
    assert "no word of the query" not in out
    assert "minutes >= 30" in (await ask("search", "soup >= 30", "--explain"))[1]
    code, out, _ = await ask("search", "xyzzy", "--untracked")
    assert code == 0
    assert "no word of the query occurs in the catalogue" in out


async def test_a_misspelt_query_is_told_as_it_was_read(served: Engine, ask: Ask) -> None:
    keyboards = [Document(f"k{i}", "product", f"Logitech Keyboard {chr(97 + i)}") for i in range(5)]
    assert not await served.api.index([*keyboards, Document("m", "product", "Microsoft Mouse")])
    async with asyncio.timeout(20):
        out = ""
        while "lexical.bm25" not in out:
            _, out, _ = await ask("search", "logitech keyboard", "--untracked")
            await asyncio.sleep(0.05)
    assert "read as" not in out
    _, out, _ = await ask("search", "logitec keybord", "--untracked")
    assert "read as: logitech keyboard" in out
    assert "no word of the query" not in out


def test_words_found_unfinished_or_joined_do_occur(capsys: pytest.CaptureFixture[str]) -> None:
    for strategy, occur in (("lexical.fuzzy", True), ("vector.dense", False), ("memory.popular", False)):
        response = search_pb2.SearchResponse()
        response.understanding.normalized_query = response.understanding.corrected_query = "keyb"
        response.results.add().provenance.add(strategy=strategy)
        print_reading(response)
        assert ("no word of the query occurs" not in capsys.readouterr().out) == occur

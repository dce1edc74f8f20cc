"""`honeyguide stats`: counts in full, and the same order every time."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.api.search.v1 import catalog_pb2
from honeyguide_standalone.api import Api

Ask = Callable[..., Awaitable[tuple[int, str, str]]]

FIGURES = {"words": 19_570.0, "events": 7.0, "bytes_mean": 1234.5678, "share": 0.123456}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stats(self: Api) -> catalog_pb2.GetCatalogStatsResponse:
        held = indexing_pb2.GetStatsResponse(
            document_count=1, size_bytes=9, documents_by_type={"film": 1}, figures=FIGURES
        )
        return catalog_pb2.GetCatalogStatsResponse(services=dict.fromkeys(("vector", "lexical", "memory"), held))

    monkeypatch.setattr(Api, "stats", stats)


@pytest.mark.usefixtures("figures")
async def test_counts_are_in_full(ask: Ask) -> None:
    code, out, err = await ask("stats")
    assert (code, err) == (0, "")
    assert "bytes_mean 1,235, events 7, share 0.1235, words 19,570" in " ".join(out.splitlines()[1].split())


@pytest.mark.usefixtures("figures")
async def test_keys_of_the_json_are_in_order(ask: Ask) -> None:
    _, out, _ = await ask("stats", "--json")

    def ordered(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert [name for name, _ in pairs] == sorted(name for name, _ in pairs)
        return dict(pairs)

    told = json.loads(out, object_pairs_hook=ordered)
    assert set(told["catalog"]["services"]) == {"vector", "lexical", "memory"}

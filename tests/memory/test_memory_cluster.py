"""The same code on a Redis Cluster: no command or script may cross hash slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.documents import Document

NOW_S = 1_700_000_000.0
ALL = ["memory.query", "memory.near", "memory.user", "memory.popular", "memory.fresh"]


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

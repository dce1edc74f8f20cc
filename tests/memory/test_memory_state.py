"""What is kept in Redis: once per event, in any order, within bounds, the same twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis.asyncio as redis

from honeyguide.api.memory.v1 import memory_pb2
from honeyguide.api.retrieval.v1 import indexing_pb2, retriever_pb2
from honeyguide.candidates import Candidates
from honeyguide.documents import DAY_S, Condition, Document, Filter
from honeyguide.errors import FailedPrecondition, Unavailable
from honeyguide_memory.actions import ACTIONS_A_TRIP
from honeyguide_memory.budget import NAMES, SHARES, Budget
from honeyguide_memory.lists import LOOKED_UP_MAX
from honeyguide_memory.settings import MemorySettings
from honeyguide_standalone.valkey import ValkeyServer

Memory = Any
Opened = Callable[..., Any]
NOW_S = 1_700_000_000.0
ALL = ["memory.query", "memory.near", "memory.user", "memory.popular", "memory.fresh"]


def log_of(memory: Memory, count: int, seed: int = 1) -> list[memory_pb2.Action]:
    """Actions of a month, in the order of time."""
    chance = random.Random(seed)
    times = sorted(NOW_S - chance.random() * 30 * DAY_S for _ in range(count))
    return [
        memory.action(
            chance.choice(["halo", "halos", "glory", "love song", "song of love"]),
            chance.choice("abcdef"),
            time_s,
            chance.choice([1.0, 0.5, -0.75]),
            f"logged-{i}",
            user_id=chance.choice(["u1", "u2"]),
            session_id=chance.choice(["s1", "s2"]),
            segment="gb",
        )
        for i, time_s in enumerate(times)
    ]


async def everything(memory: Memory) -> list[Any]:
    """All that can be asked of these queries and users."""
    found: list[Any] = []
    for query in ("halo", "love song", "hallo", "unheard"):
        answers: dict[str, Candidates] = await memory.ask(ALL, query, user_id="u1", session_id="s1", segment="gb")
        for name, candidates in answers.items():
            found.append((name, list(candidates.document_ids), candidates.scores, dict(candidates.features)))
        known = await memory.recall(query, user_id="u1", session_id="s1")
        found.append((query, list(known.taste.user_document_ids), np.array([known.actions, known.entropy]), {}))
        found.append((query, list(known.taste.session_document_ids), np.array([known.near_similarity]), {}))
    return found


def assert_same(left: list[Any], right: list[Any], tolerance: float) -> None:
    for (name, ids, scores, features), (_, other_ids, other_scores, other_features) in zip(left, right, strict=True):
        assert ids == other_ids, name
        np.testing.assert_allclose(scores, other_scores, rtol=tolerance, atol=tolerance)
        for feature, column in features.items():
            np.testing.assert_allclose(column, other_features[feature], rtol=tolerance, atol=tolerance)


def documents() -> list[Document]:
    return [Document(id=id, type="film", title=f"title {id}", created_at_s=float(i)) for i, id in enumerate("abcdef")]


async def test_a_resent_event_changes_nothing(opened: Opened) -> None:
    async with opened() as memory:
        await memory.put(*documents())
        log = log_of(memory, 60)
        assert await memory.record(*log) == 60
        once = await everything(memory)
        assert await memory.record(*log) == 0
        assert await memory.record(log[-1], log[-1], memory.action("halo", "a", event="new", weight=0.0)) == 1
        assert_same(once, await everything(memory), 0.0)


async def test_a_page_told_again_changes_nothing(opened: Opened) -> None:
    async with opened() as memory:
        pages = [memory.page("halo", [f"d{i}", f"d{i + 1}"], NOW_S - i) for i in range(40)]
        assert await memory.show(*pages, *pages[:3]) == 40
        once = await memory.recall("halo")
        assert await memory.show(*pages) == 0
        assert await memory.recall("halo") == once
        assert once.pages == pytest.approx(40.0, rel=1e-4)


async def test_the_largest_pages_of_one_query_are_taken_in_and_their_documents_bounded(opened: Opened) -> None:
    async with opened(pairs_per_query_max=50) as memory:
        pages = [memory.page("halo", [f"d{i}-{k}" for k in range(100)]) for i in range(40)]
        assert await memory.show(*pages) == 40
        found = await memory.recall("halo")
        assert found.pages == pytest.approx(40.0, rel=1e-4)
        # The first of each page was looked at most.
        assert {f"d{i}-0" for i in range(40)} <= set(found.document_ids)
        assert len(found.document_ids) < 50


async def test_an_event_twice_in_one_batch_counts_once(opened: Opened) -> None:
    async with opened() as memory:
        action = memory.action("halo", "a")
        assert await memory.record(action, action) == 1
        assert (await memory.recall("halo")).actions == pytest.approx(1.0)


async def test_a_resend_is_known_whatever_came_between(opened: Opened) -> None:
    async with opened() as memory:
        first = memory.action("halo", "a", NOW_S)
        await memory.record(first)
        for day in range(1, 60):
            await memory.act("halo", "a", NOW_S + day * DAY_S)
        assert await memory.record(first) == 0


async def test_the_number_of_event_ids_is_bounded(opened: Opened, redis_url: str, key_prefix: str) -> None:
    budget = 2**20
    async with opened(partitions=4096, memory_bytes_max=budget) as memory, redis.from_url(redis_url) as client:
        # A set for each partition, of the least size: 4 ids in each of two generations.
        log = [memory.action("", "d", NOW_S) for _ in range(40)]
        await memory.record(*log)
        sizes = [
            await client.scard(key) async for key in client.scan_iter(match=f"{{{key_prefix}:d:*}}e*", count=9_999)
        ]
        assert sum(sizes) <= 8
        assert await memory.record(*log[-4:]) == 0


async def test_order_of_events_does_not_matter(opened: Opened) -> None:
    async with opened(key_prefix="ordered" + str(random.random())) as memory:
        await memory.put(*documents())
        log = log_of(memory, 120)
        await memory.record(*log)
        in_order = await everything(memory)
    random.Random(7).shuffle(log)
    async with opened() as memory:
        await memory.put(*documents())
        for begin in range(0, 120, 17):
            await memory.record(*log[begin : begin + 17])
        assert_same(in_order, await everything(memory), 1e-5)


async def test_actions_of_one_batch_add_up_as_one_by_one(opened: Opened) -> None:
    async with opened(key_prefix="single" + str(random.random())) as memory:
        await memory.put(*documents())
        log = log_of(memory, 80)
        for action in log:
            await memory.record(action)
        one_by_one = await everything(memory)
    async with opened() as memory:
        await memory.put(*documents())
        assert await memory.record(*log, *log[:5]) == 80
        assert_same(one_by_one, await everything(memory), 1e-6)


async def test_a_replay_gives_the_same_twice_even_at_the_bounds(opened: Opened) -> None:
    seen = []
    for run in range(2):
        async with opened(
            key_prefix=f"replay-{random.random()}-{run}", pairs_per_query_max=3, pairs_per_user_max=3, listed_max=16
        ) as memory:
            await memory.put(*documents())
            log = log_of(memory, 150)
            for begin in range(0, 150, 10):
                await memory.record(*log[begin : begin + 10])
            seen.append(await everything(memory))
    assert_same(seen[0], seen[1], 0.0)


async def test_the_least_valuable_pairs_of_a_query_leave_first(opened: Opened) -> None:
    async with opened(pairs_per_query_max=3) as memory:
        await memory.put(*documents())
        for document, count in {"a": 3, "b": 2, "c": 4}.items():
            for _ in range(count):
                await memory.act("halo", document)
        await memory.act("halo", "d", weight=0.5)
        assert await memory.ids("memory.query", "halo") == ["c", "a", "b"]
        # A newcomer with more behind it stays: the oldest evidence has faded by then.
        await memory.act("halo", "e", NOW_S + 90 * DAY_S)
        assert set(await memory.ids("memory.query", "halo", time_s=NOW_S + 90 * DAY_S)) == {"c", "a", "e"}


async def test_the_coldest_queries_leave_first_and_the_size_holds(
    opened: Opened, redis_url: str, key_prefix: str
) -> None:
    budget = 2**20
    async with opened(memory_bytes_max=budget, partitions=1) as memory, redis.from_url(redis_url) as client:
        for begin in range(0, 3_000, 500):
            batch = [
                memory.action(f"query number {i}", f"document-{i}", NOW_S + i, user_id=f"user-{i}", session_id=f"s{i}")
                for i in range(begin, begin + 500)
            ]
            await memory.record(*batch)
            await memory.show(
                *(memory.page(f"query number {i}", [f"d{i}", "d"], NOW_S + i) for i in range(begin, begin + 500))
            )
        assert (await memory.recall("query number 0", NOW_S + 6_000)).actions == 0.0
        assert (await memory.recall("query number 2999", NOW_S + 6_000)).actions > 0.9
        figures = (await memory.index.GetStats(indexing_pb2.GetStatsRequest())).figures
        assert 0 < figures["queries"] < 2_000
        assert 0 < figures["queries_shown"] < 2_000
        for kind, share in SHARES.items():
            assert figures[f"{NAMES[kind]}_bytes"] <= share * budget
        # What is estimated is true: owners, and the lists of them from coldest to warmest.
        estimated = sum(figures[f"{NAMES[kind]}_bytes"] for kind in SHARES)
        used = 0
        for pattern in ("o*", "z*"):
            async for key in client.scan_iter(match=f"{{{key_prefix}:a:0}}{pattern}", count=5_000):
                used += await client.memory_usage(key, samples=0)
        assert 0.5 * estimated <= used <= estimated


async def test_rested_sessions_are_forgotten(opened: Opened) -> None:
    async with opened(partitions=1) as memory:
        await memory.act("", "a", NOW_S, session_id="resting")
        await memory.act("", "b", NOW_S + DAY_S + 1, session_id="new")
        figures = (await memory.index.GetStats(indexing_pb2.GetStatsRequest())).figures
        assert figures["sessions"] == 1
        assert (await memory.recall("", NOW_S, session_id="resting")).taste.session_document_ids == []


async def test_redis_gone_at_run_time_is_unavailable(opened: Opened, tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path)
    try:
        async with opened(redis_url=server.url) as memory:
            await memory.act("halo", "a")
            server.stop()
            with pytest.raises(Unavailable):
                await memory.act("halo", "a")
            with pytest.raises(Unavailable):
                await memory.recall("halo")
            request = retriever_pb2.RetrieveRequest(strategies=[{"strategy": "memory.popular", "depth": 5}])
            (result,) = (await memory.retriever.Retrieve(request)).results
            assert result.status == retriever_pb2.STRATEGY_STATUS_FAILED
            assert "Redis" in result.message
    finally:
        server.stop()


async def test_many_callers_share_few_connections(opened: Opened) -> None:
    async with opened(connections_max=2) as memory:
        await asyncio.gather(*(memory.act("halo", f"d{i}") for i in range(50)))
        assert (await memory.recall("halo")).actions == pytest.approx(50.0, rel=1e-5)


async def test_predictions_are_bounded_and_observations_outlive_them(
    opened: Opened, redis_url: str, key_prefix: str
) -> None:
    budget = 2**21
    async with opened(memory_bytes_max=budget, partitions=1) as memory, redis.from_url(redis_url) as client:
        await memory.put(Document(id="seen", type="film", title="observed one"))
        await memory.act("my query", "seen")
        many = [
            Document(id=f"d{i}", type="film", title=f"title {i} of many", popularity=float(i), created_at_s=0.0)
            for i in range(4_000)
        ]
        await memory.put(*many)
        used = sum(
            [
                await client.memory_usage(key, samples=0)
                async for key in client.scan_iter(match=f"{{{key_prefix}:a:0}}p*", count=5_000)
            ]
        )
        assert used <= 0.12 * budget * 1.2
        # What nobody hopes for is gone, what is most wanted is still there, and so is what was seen.
        assert await memory.ids("memory.query", "title 3999 of many") == ["d3999"]
        kept = [bool(await memory.ids("memory.query", f"title {i} of many")) for i in range(0, 4_000, 100)]
        assert 0 < sum(kept) < 40
        assert await memory.ids("memory.query", "my query") == ["seen"]


async def test_pairs_predicted_for_one_query_are_bounded(opened: Opened) -> None:
    async with opened(predicted_per_query_max=2) as memory:
        await memory.put(*(Document(id=f"d{i}", type="film", title="Halo", popularity=float(i)) for i in range(5)))
        assert await memory.ids("memory.query", "halo") == ["d4", "d3"]


async def test_a_near_index_of_the_first_layout_is_brought_over(
    opened: Opened, redis_url: str, key_prefix: str
) -> None:
    async with opened() as memory:
        await memory.act("taylor love", "swift")
    async with redis.from_url(redis_url) as client:
        keys = [key async for key in client.scan_iter(match=f"{{{key_prefix}:n:*}}g*", count=9_999)]
        assert len(keys) == 12
        for key in keys:
            tag, _, slot = key.rpartition(b"g")
            posted = await client.getdel(key)
            await client.zadd(tag + slot, {posted: NOW_S})
        await client.set(f"{{{key_prefix}:meta}}layout", b"version 1, partitions 16")
        async with opened() as memory:
            assert (await memory.recall("tayler love")).near_similarity == pytest.approx(2 / 3)
        assert not [key async for key in client.scan_iter(match=f"{{{key_prefix}:n:*}}[0-9]*", count=9_999)]


async def test_the_newest_queries_of_a_gram_stay_and_their_number_is_bounded(
    opened: Opened, redis_url: str, key_prefix: str
) -> None:
    bounds = {"memory_bytes_max": 2**26}
    async with opened(**bounds) as memory, redis.from_url(redis_url) as client:
        for i in range(50):
            await memory.record(memory.action(f"love {i:04}", "x"))
        lengths = [
            await client.strlen(key) async for key in client.scan_iter(match=f"{{{key_prefix}:n:*}}g*", count=9_999)
        ]
        assert max(lengths) == 9 * Budget(MemorySettings(**bounds)).postings_max
        assert not any(length % 9 for length in lengths)
        assert (await memory.recall("love 0049 s")).near_similarity > (
            await memory.recall("love 0001 s")
        ).near_similarity


async def test_lists_are_bounded(opened: Opened) -> None:
    async with opened(partitions=1, listed_max=16) as memory:
        await memory.put(*(Document(id=f"d{i}", type="film", popularity=1.0 + i, created_at_s=i) for i in range(40)))
        top = [f"d{i}" for i in range(39, 23, -1)]
        assert await memory.ids("memory.popular", depth=100) == top
        assert await memory.ids("memory.fresh", depth=100) == top


async def test_lists_are_read_on_within_bounds_and_only_if_they_must(opened: Opened) -> None:
    async with opened(partitions=1) as memory:
        await memory.put(
            *(Document(id=f"d{i}", type="film", popularity=9_000.0 - i) for i in range(LOOKED_UP_MAX + 600)),
            Document(id="rare", type="film", attributes={"g": ("rare",)}, popularity=1.0),
        )
        store = memory.retriever._servicer._retriever._store

        async def ask(filter: Filter) -> tuple[list[str], int]:
            before = store.round_trips
            return await memory.ids("memory.popular", filter=filter, depth=20), store.round_trips - before

        def excluded(first: int, last: int) -> Filter:
            return Filter(excluded_ids=frozenset(f"d{i}" for i in range(first, last)))

        assert await ask(Filter()) == ([f"d{i}" for i in range(20)], 2)
        assert await ask(excluded(0, 500)) == ([f"d{i}" for i in range(500, 520)], 2)
        # Of the first 1,000 none is left to be looked up.
        assert await ask(excluded(0, 2_000)) == ([f"d{i}" for i in range(2_000, 2_020)], 3)
        # Nothing lies behind the end of a list.
        assert await ask(Filter(types=frozenset(["none"]))) == ([], 1)
        # The rare one is the last: at first 200 are looked at, then 2,000.
        rare = (Condition("g", frozenset(["rare"])),)
        assert await ask(Filter(conditions=rare)) == ([], 4)
        # What is excluded doesn't count.
        first = frozenset(f"d{i}" for i in range(1_000))
        assert await ask(Filter(conditions=rare, excluded_ids=first)) == (["rare"], 3)


async def test_all_strategies_take_three_round_trips_and_recall_one_to_three(opened: Opened) -> None:
    async with opened() as memory:
        await memory.put(*documents())
        await memory.record(*log_of(memory, 50))
        store = memory.retriever._servicer._retriever._store
        before = store.round_trips
        await memory.ask(ALL, "halo", user_id="u1", segment="gb")
        assert store.round_trips - before == 3
        await memory.recall("halo glory", user_id="u1", session_id="s1")
        assert store.round_trips - before == 5  # the second for near queries
        await memory.record(*log_of(memory, 50, seed=2))
        assert store.round_trips - before == 5 + 50 / ACTIONS_A_TRIP  # between which others are answered
        await memory.record(*(memory.action("halo", "a", NOW_S) for _ in range(2 * ACTIONS_A_TRIP)))
        before = store.round_trips
        await memory.recall("halo", user_id="u1", session_id="s1")
        assert store.round_trips - before == 1  # what is well known needs no near queries
        await memory.recall("halo", depth=10, user_id="u1", session_id="s1")
        assert store.round_trips - before == 3  # and the documents that were acted on
        await memory.ask("memory.query", "halo")
        assert store.round_trips - before == 4  # the rest was kept


async def test_scripts_come_back_after_the_server_forgot_them(opened: Opened, redis_url: str) -> None:
    async with opened() as memory, redis.from_url(redis_url) as client:
        await memory.act("halo", "a")
        await client.script_flush()
        assert await memory.act("halo", "a") == 1
        assert (await memory.recall("halo")).actions == pytest.approx(2.0)


async def test_near_queries_come_back_within_a_minute_after_redis_lost_its_data(opened: Opened, tmp_path: Path) -> None:
    now_s = NOW_S
    server = ValkeyServer(tmp_path)
    async with opened(clock=lambda: now_s, redis_url=server.url) as memory, redis.from_url(server.url) as client:
        await memory.act("taylor love", "a")
        assert (await memory.recall("tayler love")).near_similarity > 0
        await client.flushall()
        now_s += 60
        await memory.act("taylor love", "a")
        assert (await memory.recall("tayler love")).near_similarity > 0
    server.stop()


async def test_no_redis_is_said_clearly(settings: MemorySettings, opened: Opened) -> None:
    with pytest.raises(Unavailable, match="HONEYGUIDE_REDIS_URL"):
        async with opened(redis_url="redis://:secret@127.0.0.1:1/0", start_wait_s=0.0):
            pass
    with pytest.raises(FailedPrecondition, match="HONEYGUIDE_REDIS_URL"):
        async with opened(redis_url="http://nowhere"):
            pass


async def test_other_partitions_than_stored_are_refused(opened: Opened) -> None:
    async with opened(partitions=4):
        pass
    with pytest.raises(FailedPrecondition, match="partitions 4"):
        async with opened(partitions=8):
            pass


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEYGUIDE_REDIS_URL", "redis://shared:1/0")
    monkeypatch.setenv("HONEYGUIDE_MEMORY_PAIRS_PER_QUERY_MAX", "7")
    settings = MemorySettings()
    assert (settings.redis_url, settings.pairs_per_query_max) == ("redis://shared:1/0", 7)
    monkeypatch.setenv("HONEYGUIDE_MEMORY_REDIS_URL", "redis://own:1/0")
    assert MemorySettings().redis_url == "redis://own:1/0"
    assert not MemorySettings().cluster
    monkeypatch.setenv("HONEYGUIDE_REDIS_CLUSTER", "true")
    assert MemorySettings().cluster
    monkeypatch.setenv("HONEYGUIDE_MEMORY_CLUSTER", "false")
    assert not MemorySettings().cluster

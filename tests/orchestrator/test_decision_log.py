"""The decision log on a real Valkey, and what comes of it where Redis does not answer as it should."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from redis.exceptions import SlotNotCoveredError
from tests.orchestrator.decision_records import decision_record

from honeyguide.errors import Unavailable
from honeyguide.redis_store import RedisStore
from honeyguide.redis_transport import Command, Transport
from honeyguide_orchestrator.decision_log import UNTRACKED_KEEP_S, DecisionLog
from honeyguide_orchestrator.keys import Keys

DAY_S = 86_400.0


async def test_the_oldest_are_forgotten_with_their_rewards(store: RedisStore, key_prefix: str) -> None:
    log = DecisionLog(store, Keys(key_prefix), DAY_S, decisions_max=100)
    ids = [f"d{i}" for i in range(110)]
    for id in ids:
        await log.append(decision_record(id))
    await log.settle({id: {"x": 1.0} for id in ids})
    assert await log.forget() == 10
    assert list(await log.fetch(ids)) == ids[10:] == list(await log.rewards(ids))
    assert [id for _, id in await log.read("0", 200)] == ids[10:]
    assert await log.forget() == 0
    assert len(await store.ask("KEYS", f"{key_prefix}:*")) == 1 + 2 * 100


async def test_untracked_decisions_are_kept_for_paging_only(store: RedisStore, key_prefix: str) -> None:
    keys = Keys(key_prefix)
    log = DecisionLog(store, keys, DAY_S, decisions_max=100)
    await log.append(decision_record("unseen", tracked=False))
    assert list(await log.fetch(["unseen"])) == ["unseen"]
    assert 0 < await store.ask("TTL", keys.decision("unseen")) <= UNTRACKED_KEEP_S + 1
    assert await log.read("0", 10) == []


async def test_the_first_to_lengthen_a_decision_is_whom_others_follow(store: RedisStore, key_prefix: str) -> None:
    keys = Keys(key_prefix)
    log = DecisionLog(store, keys, DAY_S, decisions_max=100)
    await log.append(decision_record("d"))
    await store.ask("EXPIRE", keys.decision("d"), 60)
    short = (await log.fetch(["d"]))["d"]
    first, second = (decision_record("d", document_ids=("x", "y", id)) for id in "ab")
    longer = await asyncio.gather(log.lengthen(short, first), log.lengthen(short, second))
    kept = (await log.fetch(["d"]))["d"].document_ids
    assert kept in (first.document_ids, second.document_ids)
    assert [one.document_ids for one in longer] == [kept, kept]
    assert (await log.lengthen(short, first)).document_ids == kept
    assert 0 < await store.ask("TTL", keys.decision("d")) <= 60


async def test_a_decision_that_is_gone_is_not_logged_again(store: RedisStore, key_prefix: str) -> None:
    log = DecisionLog(store, Keys(key_prefix), DAY_S, decisions_max=100)
    longer = decision_record("d", document_ids=("x", "y", "z"))
    assert await log.lengthen(decision_record("d"), longer) is longer
    assert await log.fetch(["d"]) == {}


async def test_what_a_cluster_raises_is_that_redis_does_not_answer() -> None:
    class Uncovered:
        async def send(self, commands: Sequence[Command]) -> list[Any]:
            raise SlotNotCoveredError("half of the slots are nobody's")

    log = DecisionLog(RedisStore(cast(Transport, Uncovered()), ()), Keys("hg"), DAY_S, decisions_max=100)
    for call in (log.append(decision_record("d")), log.read("0", 10), log.forget(), log.settle({"d": {}})):
        with pytest.raises(Unavailable, match="nobody's"):
            await call

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


async def test_what_is_credited_to_open_decisions_is_told_apart(store: RedisStore, key_prefix: str) -> None:
    keys = Keys(key_prefix)
    log = DecisionLog(store, keys, DAY_S, decisions_max=100)
    await log.settle({"open": {"x": 1.0}, "closed": {"x": 0.5}, "passed over": {}}, open={"open"})
    await store.ask("SET", keys.rewards("earlier version"), '{"x":0.25}')
    ids = ["open", "closed", "passed over", "earlier version", "unknown"]
    closed = {"closed": {"x": 0.5}, "passed over": {}, "earlier version": {"x": 0.25}}
    assert await log.rewards(ids) == {"open": {"x": 1.0}} | closed
    assert await log.rewards(ids, closed_only=True) == closed
    await log.settle({"open": {"x": 1.0, "y": 0.5}})
    assert await log.rewards(["open"], closed_only=True) == {"open": {"x": 1.0, "y": 0.5}}


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


class Cluster:
    """A cluster that takes everything, or raises `error`; `sent`: the commands of each round trip."""

    keeps_order = False

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.sent: list[list[str]] = []

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        if self.error:
            raise self.error
        self.sent.append([name for name, *_ in commands])
        return [b"OK"] * len(commands)


async def test_on_a_cluster_an_id_is_in_the_stream_only_when_its_record_can_be_read() -> None:
    cluster = Cluster()
    log = DecisionLog(RedisStore(cast(Transport, cluster), ()), Keys("hg"), DAY_S, decisions_max=100)
    await log.append(decision_record("d"))
    assert cluster.sent == [["SET"], ["XADD"]]


async def test_what_a_cluster_raises_is_that_redis_does_not_answer() -> None:
    cluster = Cluster(SlotNotCoveredError("half of the slots are nobody's"))
    log = DecisionLog(RedisStore(cast(Transport, cluster), ()), Keys("hg"), DAY_S, decisions_max=100)
    for call in (log.append(decision_record("d")), log.read("0", 10), log.forget(), log.settle({"d": {}})):
        with pytest.raises(Unavailable, match="nobody's"):
            await call

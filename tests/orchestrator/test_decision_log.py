"""The decision log on a real Valkey, and what comes of it where Redis does not answer as it should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import redis.asyncio
from redis.exceptions import SlotNotCoveredError

from honeyguide.documents import Context
from honeyguide.errors import Unavailable
from honeyguide.query import Understanding
from honeyguide_orchestrator.decision_log import UNTRACKED_KEEP_S, DecisionLog, DecisionRecord
from honeyguide_orchestrator.redis_store import Keys

DAY_S = 86_400.0


def record(id: str) -> DecisionRecord:
    return DecisionRecord(
        id=id,
        query="halo",
        understanding=Understanding("halo", "halo"),
        context=Context(1_000.0),
        scope="",
        policy="greedy",
        snapshot_version=1,
        propensity=1.0,
        propensity_estimated=False,
        strategies=(),
        x=np.zeros(1, np.float32),
        ranker="gated",
        answered=(),
        document_ids=(),
        types=(),
        scores=np.zeros(0, np.float32),
        ranks=np.zeros((0, 0), np.int16),
        features=np.zeros((0, 0), np.float32),
        strategy_scores=np.zeros((0, 0), np.float32),
        page_size=10,
    )


async def test_the_oldest_are_forgotten_with_their_rewards(redis_url: str, key_prefix: str) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        log = DecisionLog(client, Keys(key_prefix), DAY_S, decisions_max=100)
        ids = [f"d{i}" for i in range(110)]
        for id in ids:
            await log.append(record(id))
        await log.settle({id: {"x": 1.0} for id in ids})
        assert await log.forget() == 10
        assert list(await log.fetch(ids)) == ids[10:] == list(await log.rewards(ids))
        assert [id for _, id in await log.read("0", 200)] == ids[10:]
        assert await log.forget() == 0
        assert len(await client.keys(f"{key_prefix}:*")) == 1 + 2 * 100


async def test_untracked_decisions_are_kept_for_paging_only(redis_url: str, key_prefix: str) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        keys = Keys(key_prefix)
        log = DecisionLog(client, keys, DAY_S, decisions_max=100)
        await log.append(replace(record("unseen"), tracked=False))
        assert list(await log.fetch(["unseen"])) == ["unseen"]
        assert 0 < await client.ttl(keys.decision("unseen")) <= UNTRACKED_KEEP_S + 1
        assert await log.read("0", 10) == []


async def test_what_a_cluster_raises_is_that_redis_does_not_answer() -> None:
    class Uncovered:
        def __getattr__(self, name: str) -> Any:
            raise SlotNotCoveredError("half of the slots are nobody's")

    log = DecisionLog(Uncovered(), Keys("hg"), DAY_S, decisions_max=100)
    for call in (log.append(record("d")), log.read("0", 10), log.forget(), log.settle({"d": {}})):
        with pytest.raises(Unavailable, match="nobody's"):
            await call

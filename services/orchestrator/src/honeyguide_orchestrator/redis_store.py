"""The connection to Redis, and the names of the keys that the orchestrator keeps there.

Keys that one script or transaction touches together share a hash tag, so that the same code runs on Redis Cluster.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisClusterException, RedisError

from honeyguide.errors import Unavailable
from honeyguide_orchestrator.settings import OrchestratorSettings

POOL_WAIT_S = 5.0
RETRIES, RETRY_BASE_S, RETRY_CAP_S = 2, 0.02, 0.2

REDIS_ERRORS = (RedisError, RedisClusterException)
"""What redis-py raises where Redis does not answer as it should: a cluster's errors are not among the others."""

_SET_EACH = "for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'EX', ARGV[1]) end"


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys."""

    prefix: str

    def decision(self, decision_id: str) -> str:
        """Hash: one decision's record."""
        return f"{self.prefix}:{{d:{decision_id}}}:decision"

    def rewards(self, decision_id: str) -> str:
        """String: what was credited to one decision."""
        return f"{self.prefix}:{{d:{decision_id}}}:rewards"

    @property
    def decisions(self) -> str:
        """Stream: ids of decisions in the order made."""
        return f"{self.prefix}:{{decisions}}:stream"

    def events(self, partition: int) -> str:
        """Stream: feedback events of one partition."""
        return f"{self.prefix}:{{events:{partition}}}:stream"

    def events_seen(self, partition: int) -> str:
        """Sorted set: ids of the events taken lately in one partition, by arrival."""
        return f"{self.prefix}:{{events:{partition}}}:seen"

    @property
    def snapshot(self) -> str:
        """Hash: version and content of the newest snapshot."""
        return f"{self.prefix}:{{learner}}:snapshot"

    @property
    def lease(self) -> str:
        """String: who learns now."""
        return f"{self.prefix}:{{learner}}:lease"

    @property
    def page_token_secret(self) -> str:
        """String: what signs page tokens."""
        return f"{self.prefix}:page-token-secret"


def partition_of(event_id: str, partitions: int) -> int:
    """The partition of the event stream that an event belongs to."""
    return zlib.crc32(event_id.encode()) % partitions


async def open_redis(settings: OrchestratorSettings) -> Any:
    """Connects to Redis or Redis Cluster.

    Raises:
        Unavailable: if it does not answer.
    """
    client: Any
    if settings.redis_cluster:
        client = RedisCluster.from_url(settings.redis_url, max_connections=settings.redis_connections_max)
    else:
        # A Redis that was restarted has closed every connection of the pool: each would fail one call.
        again = Retry(ExponentialBackoff(RETRY_CAP_S, RETRY_BASE_S), RETRIES, supported_errors=(NotConnected,))
        pool = BlockingConnectionPool.from_url(
            settings.redis_url, max_connections=settings.redis_connections_max, timeout=POOL_WAIT_S, retry=again
        )
        client = Redis.from_pool(pool)
    try:
        await client.ping()
    except REDIS_ERRORS as error:
        await client.aclose()
        raise Unavailable(f"Redis at {settings.redis_url} does not answer: {error}") from error
    return client


async def get_each(client: Any, keys: Sequence[str]) -> list[bytes | None]:
    """The values of keys, None for those that are not there.

    One command where one server has all keys: redis-py takes some 30 us of Python for every command of a pipeline.
    """
    if isinstance(client, RedisCluster):
        pipeline = client.pipeline()
        for key in keys:
            pipeline.get(key)
        found: list[bytes | None] = await pipeline.execute()
    else:
        found = await client.mget(keys)
    return found


async def set_each(client: Any, values: Mapping[str, bytes], expire_s: int) -> None:
    """Sets keys, to expire so many seconds later; as many commands as `get_each` takes."""
    if isinstance(client, RedisCluster):
        pipeline = client.pipeline()
        for key, value in values.items():
            pipeline.set(key, value, ex=expire_s)
        await pipeline.execute()
    else:
        await client.register_script(_SET_EACH)(keys=list(values), args=[expire_s, *values.values()])

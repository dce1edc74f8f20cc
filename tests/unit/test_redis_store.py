"""What goes wrong in Redis, told as what it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
import redis.asyncio as redis

from honeyguide.errors import FailedPrecondition, ResourceExhausted, Unavailable
from honeyguide.redis_store import RedisStore, Script, open_redis
from honeyguide.redis_transport import TRIES, ServerTransport
from honeyguide_standalone.valkey import ValkeyServer

WRITE = Script.of("return redis.call('SET', KEYS[1], ARGV[1])")

Opened = Callable[..., AbstractAsyncContextManager[RedisStore]]

opened: Opened = partial(open_redis, connections_max=4, timeout_s=5.0, wait_s=5.0, scripts=[WRITE])


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[tuple[str, redis.Redis]]:
    """A server whose configuration a test may change: its address and a client."""
    server = ValkeyServer(tmp_path)
    async with redis.from_url(server.url) as client:
        yield server.url, client
    server.stop()


@pytest.mark.parametrize("command", [("SET", "a", "1"), WRITE.on(["a"], "1")])
async def test_out_of_memory(own_server: tuple[str, redis.Redis], command: tuple[object, ...]) -> None:
    url, client = own_server
    async with opened(url, cluster=False) as store:
        await client.config_set("maxmemory", 1)
        with pytest.raises(ResourceExhausted, match="out of memory"):
            await store.run([command])


async def test_out_of_memory_on_a_cluster(cluster_url: str, nodes: list[tuple[int, int]]) -> None:
    async with opened(cluster_url, cluster=True) as store:
        for port, _ in nodes:
            async with redis.Redis(port=port) as client:
                await client.config_set("maxmemory", 1)
        with pytest.raises(ResourceExhausted, match="out of memory"):
            await store.run([("SET", "a", "1"), WRITE.on(["b"], "1")])


async def test_a_primary_that_became_a_replica_is_unavailable(own_server: tuple[str, redis.Redis]) -> None:
    url, client = own_server
    async with opened(url, cluster=False) as store:
        await client.execute_command("REPLICAOF", "127.0.0.1", 1)
        with pytest.raises(Unavailable):
            await store.run([("SET", "a", "1")])
        await client.config_set("replica-serve-stale-data", "no")
        with pytest.raises(Unavailable):
            await store.run([("GET", "a")])


async def test_a_cluster_that_was_not_said_to_be_one(cluster_url: str) -> None:
    async with opened(cluster_url, cluster=False) as store:
        with pytest.raises(FailedPrecondition, match="HONEYGUIDE_REDIS_CLUSTER=true"):
            await store.run([("GET", f"key-{i}") for i in range(20)])
        with pytest.raises(FailedPrecondition, match="HONEYGUIDE_REDIS_CLUSTER=true"):
            await store.run([WRITE.on(["a", "b"], "1")])


@pytest.mark.parametrize(("flushes", "enough"), [(TRIES - 2, True), (TRIES - 1, False)])
async def test_scripts_flushed_as_soon_as_they_are_loaded(redis_url: str, flushes: int, enough: bool) -> None:
    class Forgetful(ServerTransport):
        left = flushes

        async def load_script(self, source: str) -> None:
            await super().load_script(source)
            if self.left:
                self.left -= 1
                await self.send([("SCRIPT", "FLUSH")])

    transport = Forgetful(redis_url, connections_max=1, timeout_s=5.0)
    await transport.send([("SCRIPT", "FLUSH")])
    store = RedisStore(transport, [WRITE])
    if enough:
        assert await store.ask(*WRITE.on(["a"], "1")) == b"OK"
    else:
        with pytest.raises(Unavailable):
            await store.ask(*WRITE.on(["a"], "1"))
    await transport.close()

import asyncio
import os
import signal
import time
from pathlib import Path

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from tests.orchestrator.conftest import Opened

from honeyguide.documents import Context
from honeyguide.redis_store import RedisStore
from honeyguide_orchestrator.event_stream import Event, EventStream
from honeyguide_orchestrator.keys import Keys
from honeyguide_orchestrator.lease import Lease
from honeyguide_orchestrator.snapshot import SnapshotStore
from honeyguide_standalone.valkey import ValkeyServer


def event(id: str, **more: object) -> Event:
    return Event(id=id, decision_id="d1", document_id="x", action="click", time_s=5.0, **more)  # type: ignore[arg-type]


async def test_every_event_is_in_the_stream_once_whatever_is_sent_again(store: RedisStore, key_prefix: str) -> None:
    stream = EventStream(store, Keys(key_prefix), partitions=3, events_max=3_000)
    first = [event(f"e{i}", context=Context(5.0, user_id="u")) for i in range(20)]
    assert await stream.append(first, 5.0) == [True] * 20
    assert await stream.append([*first[:5], event("new"), event("new")], 6.0) == [False] * 5 + [True, False]
    read = await stream.read({}, 100)
    assert sorted(e.id for _, _, e in read) == sorted([*(e.id for e in first), "new"])
    assert next(e for _, _, e in read if e.id == "e3") == first[3]


async def test_reading_goes_on_after_a_position(store: RedisStore, key_prefix: str) -> None:
    stream = EventStream(store, Keys(key_prefix), partitions=1, events_max=1_000)
    await stream.append([event("a"), event("b"), event("c")], 5.0)
    (partition, at, first), *_ = await stream.read({}, 1)
    assert first.id == "a"
    assert [e.id for _, _, e in await stream.read({partition: at}, 10)] == ["b", "c"]


async def test_the_ids_remembered_are_bounded(store: RedisStore, key_prefix: str) -> None:
    keys = Keys(key_prefix)
    stream = EventStream(store, keys, partitions=1, events_max=50)
    for batch in range(10):
        await stream.append([event(f"{batch}-{i}") for i in range(50)], float(batch))
    assert await store.ask("ZCARD", keys.events_seen(0)) <= 100


async def test_one_holds_the_lease_and_only_who_holds_it_publishes(store: RedisStore, key_prefix: str) -> None:
    keys = Keys(key_prefix)
    ours, theirs = (Lease(store, keys.lease, 5.0) for _ in range(2))
    assert await ours.hold()
    assert await ours.hold()
    assert not await theirs.hold()
    snapshots = SnapshotStore(store, keys)
    assert await snapshots.publish({"a": 1}, ours.token, 7.0, 0) == 1
    assert await snapshots.publish({"a": 2}, theirs.token, 8.0, 1) == -1
    newest = await snapshots.fetch()
    assert newest is not None
    assert (newest.version, newest.time_s, newest.content) == (1, 7.0, {"a": 1})
    assert await snapshots.fetch(known_version=1) is None
    # Redis lost what it had: versions begin anew, and what they hold is news.
    lower = await snapshots.fetch(known_version=30)
    assert lower is not None
    assert lower.version == 1
    await theirs.release()
    assert await ours.hold()
    await ours.release()
    assert await theirs.hold()


async def test_who_had_the_lease_lapse_does_not_overwrite_what_another_learned_meanwhile(
    store: RedisStore, key_prefix: str
) -> None:
    keys = Keys(key_prefix)
    ours, theirs = (Lease(store, keys.lease, 5.0) for _ in range(2))
    snapshots = SnapshotStore(store, keys)
    assert await ours.hold()
    assert await snapshots.publish({"a": 1}, ours.token, 7.0, 0) == 1
    await store.ask("DEL", keys.lease)
    assert await theirs.hold()
    assert await snapshots.publish({"a": 2}, theirs.token, 8.0, 1) == 2
    await theirs.release()
    assert await ours.hold()
    assert await snapshots.publish({"a": 3}, ours.token, 9.0, 1) == -1
    assert await snapshots.publish({"a": 3}, ours.token, 9.0, 2) == 3
    # A Redis that lost everything gets it back from whoever learned it.
    await store.ask("DEL", keys.snapshot)
    assert await snapshots.publish({"a": 4}, ours.token, 9.0, 3) == 1


async def test_a_snapshot_of_another_format_is_learned_again(store: RedisStore, key_prefix: str) -> None:
    keys = Keys(key_prefix)
    lease, snapshots = Lease(store, keys.lease, 5.0), SnapshotStore(store, keys)
    await lease.hold()
    await snapshots.publish({"a": 1}, lease.token, 7.0, 0)
    await store.ask("HSET", keys.snapshot, "format", "0")
    newest = await snapshots.fetch()
    assert newest is not None
    assert (newest.version, newest.content) == (1, {})


async def test_after_redis_was_restarted_no_old_connection_fails_a_call(tmp_path: Path, opened_redis: Opened) -> None:
    valkey = ValkeyServer(tmp_path)
    try:
        async with opened_redis(valkey.url) as store:
            stream = EventStream(store, Keys("test"), partitions=1, events_max=1_000)
            before = [stream.append([event(f"before {i}")], 5.0) for i in range(10)]
            assert await asyncio.gather(*before) == [[True]] * 10
            _killed_and_back(valkey)
            after = [stream.append([event(f"after {i}")], 5.0) for i in range(10)]
            assert await asyncio.gather(*after) == [[True]] * 10
    finally:
        valkey.stop()


def _killed_and_back(valkey: ValkeyServer) -> None:
    os.kill(valkey.pid, signal.SIGKILL)
    while valkey.running:
        time.sleep(0.01)
    valkey.restart()
    with redis.Redis.from_url(valkey.url, retry=Retry(ConstantBackoff(0.01), 1_000)) as client:
        client.ping()

"""Snapshots of what was learned: published by the learner, picked up by every replica."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from honeyguide.errors import HoneyguideError
from honeyguide.redis_store import RedisStore, Script
from honeyguide_orchestrator.keys import Keys
from honeyguide_orchestrator.packing import packed, unpacked

log = structlog.get_logger("honeyguide.snapshot")

FORMAT = 6
"""Format of a snapshot's content; raise it when that changes. Of another one nothing is read: what it had learned is
learned again from the streams, as far as they reach back."""

# KEYS: snapshot, lease. ARGV: token, content, time, format, version gone on from. Only who holds the lease may publish:
# who lost it while it was learning must not overwrite what its successor learned, nor when that has let go of it since.
PUBLISH = Script.of("""
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return -1 end
if tonumber(redis.call('HGET', KEYS[1], 'version') or 0) > tonumber(ARGV[5]) then return -1 end
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[1], 'content', ARGV[2], 'time', ARGV[3], 'format', ARGV[4])
return version
""")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A version, when it was published (seconds since 1970-01-01), and everything learned as plain values."""

    version: int
    time_s: float
    content: Mapping[str, Any]


NO_SNAPSHOT = Snapshot(0, 0.0, {})


class SnapshotStore:
    """The newest snapshot, in Redis."""

    def __init__(self, redis: RedisStore, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def publish(self, content: Mapping[str, Any], lease_token: str, time_s: float, after_version: int) -> int:
        """Publishes what goes on from `after_version`; returns the new version, or -1 if the lease is another's or a
        newer version was published.

        A lower version does not matter: Redis has lost what it knew, and is to have it again.

        Raises:
            Unavailable: if Redis does not answer.
        """
        body = await asyncio.to_thread(packed, content)  # so that searches in this process get on
        keys = [self._keys.snapshot, self._keys.lease]
        version: int = await self._redis.ask(*PUBLISH.on(keys, lease_token, body, time_s, FORMAT, after_version))
        return version

    async def fetch(self, known_version: int = 0) -> Snapshot | None:
        """The newest snapshot, or None if it is of the version known.

        A lower version is news as well: Redis has lost what it knew, and counts anew.

        Raises:
            Unavailable: if Redis does not answer.
        """
        version = int(await self._redis.ask("HGET", self._keys.snapshot, "version") or 0)
        if version in {0, known_version}:
            return None
        raw = await self._redis.ask("HMGET", self._keys.snapshot, "version", "time", "format", "content")
        version, time_s = int(raw[0]), float(raw[1])
        if raw[2] is None or int(raw[2]) != FORMAT:
            log.warning("a snapshot of another format is left out", version=version)
            return Snapshot(version, time_s, {})
        return Snapshot(version, time_s, unpacked(raw[3]))


async def follow(store: SnapshotStore, interval_s: float, adopt: Callable[[Snapshot], None]) -> None:
    """Hands every new snapshot to `adopt`, until cancelled. What cannot be read is logged and tried again."""
    version = 0
    while True:
        try:
            snapshot = await store.fetch(version)
            if snapshot is not None:
                adopt(snapshot)
                version = snapshot.version
        except HoneyguideError as error:
            log.warning("no snapshot", error=error.message)
        await asyncio.sleep(interval_s)

"""The lease by which there is one learner, however many processes would be it."""

from __future__ import annotations

import secrets

from honeyguide.redis_store import RedisStore, Script

RENEW = Script.of("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
""")
RELEASE = Script.of("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")


class Lease:
    """Held by whoever set the key first, until it is released or not renewed in time."""

    def __init__(self, redis: RedisStore, key: str, duration_s: float) -> None:
        self.token = secrets.token_hex(16)
        self._redis = redis
        self._key = key
        self._duration_ms = int(duration_s * 1000)

    async def hold(self) -> bool:
        """Takes or renews the lease; False if it is another's.

        Raises:
            Unavailable: if Redis does not answer.
        """
        if await self._redis.ask("SET", self._key, self.token, "NX", "PX", self._duration_ms):
            return True
        return bool(await self._redis.ask(*RENEW.on([self._key], self.token, self._duration_ms)))

    async def release(self) -> None:
        """Gives it up, if it is held.

        Raises:
            Unavailable: if Redis does not answer.
        """
        await self._redis.ask(*RELEASE.on([self._key], self.token))

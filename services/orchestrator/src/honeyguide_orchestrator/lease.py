"""The lease by which there is one learner, however many processes would be it."""

from __future__ import annotations

import secrets
from typing import Any

from honeyguide.errors import Unavailable
from honeyguide_orchestrator.redis_store import REDIS_ERRORS

_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Lease:
    """Held by whoever set the key first, until it is released or not renewed in time."""

    def __init__(self, redis: Any, key: str, duration_s: float) -> None:
        self.token = secrets.token_hex(16)
        self._redis = redis
        self._key = key
        self._duration_ms = int(duration_s * 1000)
        self._renew = redis.register_script(_RENEW)
        self._release = redis.register_script(_RELEASE)

    async def hold(self) -> bool:
        """Takes or renews the lease; False if it is another's.

        Raises:
            Unavailable: if Redis does not answer.
        """
        try:
            if await self._redis.set(self._key, self.token, nx=True, px=self._duration_ms):
                return True
            return bool(await self._renew(keys=[self._key], args=[self.token, self._duration_ms]))
        except REDIS_ERRORS as error:
            raise Unavailable(f"the lease cannot be had: {error}") from error

    async def release(self) -> None:
        """Gives it up, if it is held."""
        try:
            await self._release(keys=[self._key], args=[self.token])
        except REDIS_ERRORS as error:
            raise Unavailable(f"the lease cannot be given up: {error}") from error

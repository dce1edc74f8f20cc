"""Where the catalogue's configuration, and what its documents showed of numeric attributes, is kept: Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from google.protobuf.message import DecodeError
from redis.asyncio import Redis

from honeyguide.api.retrieval.v1 import indexing_pb2 as pb
from honeyguide.errors import HoneyguideError, Unavailable
from honeyguide_orchestrator.catalog_facts import NumericAttribute
from honeyguide_orchestrator.redis_store import REDIS_ERRORS

ATTRIBUTES_KEPT_MAX = 4_096

# Widens the range of every attribute given, in one step: replicas index side by side. A field is the attribute's kind
# and name, its value "low high count" with all digits that a double has.
_WIDEN = """
local kept = redis.call('HLEN', KEYS[1])
for i = 2, #ARGV, 4 do
  local field, low, high, count = ARGV[i], tonumber(ARGV[i+1]), tonumber(ARGV[i+2]), tonumber(ARGV[i+3])
  local old = redis.call('HGET', KEYS[1], field)
  if old then
    local old_low, old_high, old_count = string.match(old, '^(%S+) (%S+) (%S+)$')
    low = math.min(low, tonumber(old_low))
    high = math.max(high, tonumber(old_high))
    count = count + tonumber(old_count)
  else
    kept = kept + 1
  end
  if old or kept <= tonumber(ARGV[1]) then
    redis.call('HSET', KEYS[1], field, string.format('%.17g %.17g %.17g', low, high, count))
  end
end
"""


class CatalogStore:
    """Keeps the configuration and the numeric attributes under `{<prefix>}:catalog:*`, the same for all replicas.

    Every method raises `Unavailable` when Redis does not answer.
    """

    def __init__(self, redis: Redis, key_prefix: str) -> None:
        self._redis = redis
        self._configuration_key = f"{{{key_prefix}}}:catalog:configuration"
        self._numeric_key = f"{{{key_prefix}}}:catalog:numeric"

    async def set_configuration(self, configuration: pb.CatalogConfiguration) -> None:
        """Replaces the configuration."""
        async with _reaching_redis():
            await self._redis.set(self._configuration_key, configuration.SerializeToString(deterministic=True))

    async def configuration(self) -> pb.CatalogConfiguration:
        """The configuration; an empty one (all defaults) if none was ever set.

        Raises:
            HoneyguideError: if what is stored is not a configuration.
        """
        async with _reaching_redis():
            stored = await self._redis.get(self._configuration_key)
        try:
            return pb.CatalogConfiguration.FromString(_bytes(stored or b""))
        except DecodeError as error:
            raise HoneyguideError(f"{self._configuration_key} in Redis is not a catalogue configuration") from error

    async def widen_numeric(self, seen: Mapping[str, NumericAttribute]) -> None:
        """Adds what some documents showed; ranges only ever grow, and attributes beyond 4,096 are not kept."""
        if not seen:
            return
        rows: list[str | int | float] = [ATTRIBUTES_KEPT_MAX]
        for name, attribute in seen.items():
            kind = "time" if attribute.is_time else "number"
            rows += [f"{kind}:{name}", repr(attribute.low), repr(attribute.high), attribute.count]
        async with _reaching_redis():
            await self._redis.eval(_WIDEN, 1, self._numeric_key, *rows)

    async def numeric(self) -> dict[str, NumericAttribute]:
        """The numeric attributes seen, by name; of one seen with numbers and with times, the more frequent kind."""
        async with _reaching_redis():
            rows = await cast(Awaitable[dict[Any, Any]], self._redis.hgetall(self._numeric_key))
        found: dict[str, NumericAttribute] = {}
        for raw_field, raw_value in rows.items():
            kind, name = _text(raw_field).split(":", 1)
            low, high, count = (float(part) for part in _text(raw_value).split(" "))
            attribute = NumericAttribute(name, kind == "time", low, high, int(count))
            if name not in found or found[name].count < attribute.count:
                found[name] = attribute
        return found


@asynccontextmanager
async def _reaching_redis() -> AsyncIterator[None]:
    try:
        yield
    except (TimeoutError, *REDIS_ERRORS, OSError) as error:
        raise Unavailable(f"redis: {error or type(error).__name__}") from error


def _bytes(raw: str | bytes) -> bytes:
    return raw.encode(errors="surrogateescape") if isinstance(raw, str) else raw


def _text(raw: str | bytes) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw

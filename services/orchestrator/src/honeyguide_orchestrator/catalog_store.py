"""Where the catalogue's configuration, and what its documents showed of numeric attributes, is kept: Redis."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from honeyguide.api.retrieval.v1 import indexing_pb2 as pb
from honeyguide.errors import HoneyguideError
from honeyguide.redis_store import RedisStore, Script
from honeyguide.redis_transport import Command
from honeyguide_orchestrator.catalog_facts import NumericAttribute, SeenNumeric

ATTRIBUTES_KEPT_MAX = 4_096

# Widens the range of every attribute given, in one step: replicas index side by side. A field is the attribute's kind
# and name, its value "low high count" with all digits that a double has. The documents looked at are counted apart.
WIDEN = Script.of("""
redis.call('INCRBY', KEYS[2], ARGV[2])
local kept = redis.call('HLEN', KEYS[1])
for i = 3, #ARGV, 4 do
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
""")


class CatalogStore:
    """Keeps the configuration and the numeric attributes under `{<prefix>}:catalog:*`, the same for all replicas.

    Every method raises `Unavailable` when Redis does not answer.
    """

    def __init__(self, redis: RedisStore, key_prefix: str) -> None:
        self._redis = redis
        self._configuration_key = f"{{{key_prefix}}}:catalog:configuration"
        self._numeric_key = f"{{{key_prefix}}}:catalog:numeric"
        self._looked_at_key = f"{{{key_prefix}}}:catalog:looked_at"

    async def set_configuration(self, configuration: pb.CatalogConfiguration) -> None:
        """Replaces the configuration."""
        await self._redis.ask("SET", self._configuration_key, configuration.SerializeToString(deterministic=True))

    async def configuration(self) -> pb.CatalogConfiguration:
        """The configuration; an empty one (all defaults) if none was ever set.

        Raises:
            HoneyguideError: if what is stored is not a configuration.
        """
        stored: bytes | None = await self._redis.ask("GET", self._configuration_key)
        try:
            return pb.CatalogConfiguration.FromString(stored or b"")
        except DecodeError as error:
            raise HoneyguideError(f"{self._configuration_key} in Redis is not a catalogue configuration") from error

    async def widen_numeric(self, seen: SeenNumeric) -> None:
        """Adds what some documents showed; ranges only ever grow, and attributes beyond 4,096 are not kept."""
        rows: list[str | int | float] = [ATTRIBUTES_KEPT_MAX, seen.documents]
        for name, attribute in seen.attributes.items():
            kind = "time" if attribute.is_time else "number"
            rows += [f"{kind}:{name}", repr(attribute.low), repr(attribute.high), attribute.count]
        await self._redis.ask(*WIDEN.on([self._numeric_key, self._looked_at_key], *rows))

    async def numeric(self) -> SeenNumeric:
        """The numeric attributes seen; of one seen with numbers and with times, the more frequent kind."""
        commands: list[Command] = [("HGETALL", self._numeric_key), ("GET", self._looked_at_key)]
        fields, looked_at = await self._redis.run(commands)
        found: dict[str, NumericAttribute] = {}
        for field, value in zip(fields[::2], fields[1::2], strict=True):
            kind, name = field.decode().split(":", 1)
            low, high, count = map(float, value.split(b" "))
            attribute = NumericAttribute(name, kind == "time", low, high, int(count))
            if name not in found or found[name].count < attribute.count:
                found[name] = attribute
        return SeenNumeric(found, int(looked_at or 0))

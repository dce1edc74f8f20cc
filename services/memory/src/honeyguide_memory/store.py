"""What memory runs in Redis, and that what is stored there is laid out as this version lays it out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import cache
from importlib.resources import files

from honeyguide.errors import FailedPrecondition
from honeyguide.redis_store import RedisStore, Script, open_redis
from honeyguide_memory.layout import GRAM_SLOTS, Layout
from honeyguide_memory.settings import MemorySettings

LAYOUT_VERSION = 2


@cache
def script(*names: str) -> Script:
    """The script made of these files of the package, in this order."""
    folder = files("honeyguide_memory") / "lua"
    return Script.of("\n".join((folder / f"{name}.lua").read_text() for name in names))


ASSOCIATE = script("mass", "seen", "owners", "associate")
IMPRESS = script("mass", "seen", "owners", "impress")
POPULARITY = script("mass", "seen", "popularity")
UPSERT = script("upsert")
DELETE = script("delete")
PREDICT = script("predict")
POST = script("post")
REPOST = script("repost")
SCRIPTS = (ASSOCIATE, IMPRESS, POPULARITY, UPSERT, DELETE, PREDICT, POST, REPOST)


@contextlib.asynccontextmanager
async def open_store(settings: MemorySettings, layout: Layout) -> AsyncIterator[RedisStore]:
    """Connects, waiting up to `start_wait_s` for Redis, and checks that what is stored has this layout.

    Raises:
        Unavailable: Redis did not answer in time.
        FailedPrecondition: the address is none, or the data was written with other `partitions` or by another version's
            layout.
    """
    async with open_redis(
        settings.redis_url,
        cluster=settings.cluster,
        connections_max=settings.connections_max,
        timeout_s=settings.call_timeout_s,
        wait_s=settings.start_wait_s,
        scripts=SCRIPTS,
    ) as store:
        await _check_layout(store, layout, settings)
        yield store


async def _check_layout(store: RedisStore, layout: Layout, settings: MemorySettings) -> None:
    key = layout.layout_key
    ours, before = (
        f"version {v}, partitions {settings.partitions}".encode() for v in (LAYOUT_VERSION, LAYOUT_VERSION - 1)
    )
    _, stored = await store.run([("SET", key, ours, "NX"), ("GET", key)])
    if stored == before:
        await store.run(
            [
                REPOST.on([tag], partition, layout.partitions, GRAM_SLOTS)
                for partition, tag in enumerate(layout.tags("n"))
            ]
        )
        await store.run([("SET", key, ours)])
    elif stored != ours:
        raise FailedPrecondition(
            f"memory under the prefix {settings.key_prefix!r} was written with {stored.decode()}, not with "
            f"{ours.decode()}; set HONEYGUIDE_MEMORY_PARTITIONS to match, or another HONEYGUIDE_MEMORY_KEY_PREFIX"
        )

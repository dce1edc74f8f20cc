"""Redis as the orchestrator uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest

from honeyguide.redis_store import RedisStore, open_redis
from honeyguide_orchestrator.service import SCRIPTS

Opened = Callable[..., AbstractAsyncContextManager[RedisStore]]


@pytest.fixture
def opened_redis() -> Opened:
    """`opened_redis(url)` connects."""
    return partial(open_redis, cluster=False, connections_max=8, timeout_s=5.0, wait_s=5.0, scripts=SCRIPTS)


@pytest.fixture
async def store(redis_url: str, opened_redis: Opened) -> AsyncIterator[RedisStore]:
    """The session's Valkey."""
    async with opened_redis(redis_url) as store:
        yield store

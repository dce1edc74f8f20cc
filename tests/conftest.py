"""What all tests share: a real Valkey server of their own, and a key prefix of their own on it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from honeyguide_standalone.valkey import ValkeyServer


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey server for the whole session, on a free port and in a temporary folder."""
    folder: Path = tmp_path_factory.mktemp("valkey")
    server = ValkeyServer(folder)
    yield server.url
    server.stop()


@pytest.fixture
def key_prefix() -> str:
    """A prefix that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"

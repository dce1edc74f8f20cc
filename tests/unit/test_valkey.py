from pathlib import Path

import pytest
import redis

from honeyguide.errors import FailedPrecondition
from honeyguide_standalone.valkey import ValkeyServer


def test_keeps_what_was_written_and_locks_its_folder(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path)
    redis.Redis.from_url(server.url).set("a", "1")
    with pytest.raises(FailedPrecondition, match="in use"):
        ValkeyServer(tmp_path)
    server.stop()
    again = ValkeyServer(tmp_path)
    assert redis.Redis.from_url(again.url).get("a") == b"1"
    again.stop()

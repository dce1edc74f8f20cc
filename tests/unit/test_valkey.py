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


def test_a_stop_leaves_few_commands_to_replay(tmp_path: Path) -> None:
    def sizes(kind: str) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in (tmp_path / "appendonlydir").glob(f"*.{kind}.*")}

    server = ValkeyServer(tmp_path)
    client = redis.Redis.from_url(server.url)
    client.mset({f"key{i}": "value" * 20 for i in range(20_000)})
    server.stop()
    assert sum(sizes("incr").values()) == 0
    written = sizes("base")

    server = ValkeyServer(tmp_path)
    client = redis.Redis.from_url(server.url)
    assert client.get("key19999") == b"value" * 20
    client.set("key0", "other")
    server.stop()
    assert sizes("base") == written  # a few commands are not worth writing everything anew

    server = ValkeyServer(tmp_path)
    assert redis.Redis.from_url(server.url).get("key0") == b"other"
    server.stop()

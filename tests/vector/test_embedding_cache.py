"""The cache of embeddings: bounded, and whole again after whatever happens to its file."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from honeyguide_vector.embedding_cache import EmbeddingCache, key_of
from honeyguide_vector.encoder import Vectors

KEYS = [key_of("x", str(i)) for i in range(300)]
VECTORS: dict[bytes, Vectors] = {key: np.full(384, i, np.float32) for i, key in enumerate(KEYS)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A cache's file that holds all vectors."""
    path = tmp_path / "cache" / "embeddings.sqlite"
    cache = EmbeddingCache(path, 1_000)
    cache.store(VECTORS)
    cache.close()
    return path


def damage(path: Path, how: str) -> None:
    if how == "half":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "empty":
        os.truncate(path, 0)
    elif how == "other":
        path.write_bytes(b"not a database" * 1_000)
    else:  # all but the first pages, so that opening goes well
        with path.open("r+b") as file:
            file.seek(8_192)
            file.write(b"\xff" * (path.stat().st_size - 8_192))


def test_what_is_kept_is_there_after_a_restart(path: Path) -> None:
    cache = EmbeddingCache(path, 1_000)
    assert len(cache) == len(VECTORS)
    assert cache.fetch(KEYS[7:8])[KEYS[7]].tolist() == [7.0] * 384
    assert cache.fetch([key_of("y", "7")]) == {}
    cache.close()


@pytest.mark.parametrize("how", ["half", "empty", "other", "pages"])
@pytest.mark.parametrize("first", ["fetch", "store", "len"])
def test_a_damaged_file_is_made_anew(path: Path, how: str, first: str) -> None:
    damage(path, how)
    path.with_name("embeddings.sqlite-wal").write_bytes(b"left over")
    cache = EmbeddingCache(path, 1_000)
    if first == "fetch":
        assert len(cache.fetch(KEYS)) < len(KEYS)
    elif first == "store":
        cache.store(VECTORS)
    else:
        assert len(cache) in (0, len(KEYS))
    cache.store(VECTORS)
    assert {key: vector[0] for key, vector in cache.fetch(KEYS).items()} == {key: i for i, key in enumerate(KEYS)}
    cache.close()
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_in_use_is_done_without_and_not_taken_for_a_damaged_one(path: Path) -> None:
    cache = EmbeddingCache(path, 1_000)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    cache._database.execute("PRAGMA busy_timeout=1")
    cache.store({b"0" * len(KEYS[0]): VECTORS[KEYS[0]]})
    other.execute("ROLLBACK")
    other.close()
    assert set(cache.fetch([*KEYS, b"0" * len(KEYS[0])])) == set(KEYS)
    cache.close()

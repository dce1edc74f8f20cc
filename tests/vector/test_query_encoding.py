"""Queries are remembered, encoded together and once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from honeyguide.errors import ResourceExhausted
from honeyguide_vector.encoder import Vectors
from honeyguide_vector.query_encoding import QueryEncoding


class GatedEncoder:
    """Encodes a text to its length, and waits at a gate."""

    dimension = 2
    identity = "gated"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.gate.wait(10)
        self.batches.append(list(texts))
        if "bad" in texts:
            raise ValueError("bad text")
        return np.array([[len(text), 1] for text in texts], np.float32)


@pytest.fixture
def encoder() -> GatedEncoder:
    return GatedEncoder()


def opened(
    encoder: GatedEncoder, cache_max: int = 10, batch_max: int = 4, queue_max: int = 6, threads: int = 1
) -> QueryEncoding:
    return QueryEncoding(encoder, cache_max=cache_max, batch_max=batch_max, queue_max=queue_max, threads=threads)


@pytest.mark.parametrize(
    ("threads", "lengths", "batches"),
    [
        (1, [1, 2, 3, 4, 5, 6], [[1, 2, 3, 4], [5, 6]]),
        (2, [1, 2, 3], [[1, 2], [3]]),
        (3, [1, 2, 3, 4, 5, 6], [[1, 2], [3, 4], [5, 6]]),
        (8, [1, 2, 3], [[1], [2], [3]]),
        (1, [1, 1_000, 2, 500, 501, 2_000], [[1], [1_000], [2, 500], [501], [2_000]]),
    ],
)
async def test_what_waits_is_shared_among_threads_and_long_texts_go_alone(
    encoder: GatedEncoder, threads: int, lengths: list[int], batches: list[list[int]]
) -> None:
    encoding = opened(encoder, threads=threads)
    encoder.gate.clear()
    running = [asyncio.create_task(encoding.encode("a" * length)) for length in lengths]
    await asyncio.sleep(0.02)
    encoder.gate.set()
    assert [int(vector[0]) for vector in await asyncio.gather(*running)] == lengths
    assert sorted(sorted(map(len, batch)) for batch in encoder.batches) == sorted(batches)
    await encoding.close()


async def test_queries_that_wait_are_encoded_together(encoder: GatedEncoder) -> None:
    encoding = opened(encoder)
    encoder.gate.clear()
    running = [asyncio.create_task(encoding.encode("a" * n)) for n in (1, 2, 3, 4, 5, 2)]
    await asyncio.sleep(0.02)
    encoder.gate.set()
    vectors = await asyncio.gather(*running)
    assert [int(vector[0]) for vector in vectors] == [1, 2, 3, 4, 5, 2]
    assert sorted(text for batch in encoder.batches for text in batch) == ["a", "aa", "aaa", "aaaa", "aaaaa"]
    assert max(map(len, encoder.batches)) > 1
    await encoding.close()


async def test_a_query_that_comes_just_as_a_thread_runs_dry_is_encoded(encoder: GatedEncoder) -> None:
    encoding = opened(encoder)
    first = asyncio.create_task(encoding.encode("a"))
    await asyncio.sleep(0)
    while encoding._waiting:  # noqa: ASYNC110  to come in the very turn of the event loop
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert (await encoding.encode("bb"))[0] == 2
    await first
    await encoding.close()


async def test_the_cache_keeps_what_was_used_last(encoder: GatedEncoder) -> None:
    encoding = opened(encoder, cache_max=2)
    for text in ("a", "b", " a ", "c", "a", "b"):
        await encoding.encode(text)
    assert [batch[0] for batch in encoder.batches] == ["a", "b", "c", "b"]
    assert (encoding.hits, encoding.misses) == (2, 4)
    with pytest.raises(ValueError, match="read-only"):
        (await encoding.encode("b"))[0] = 5
    await encoding.close()


async def test_long_texts_are_not_remembered(encoder: GatedEncoder) -> None:
    encoding = opened(encoder)
    for _ in range(2):
        assert (await encoding.encode("x" * 5_000_000))[0] == 2**18
    assert len(encoder.batches) == 2
    await encoding.close()


async def test_a_failure_reaches_those_who_asked_and_nobody_after(encoder: GatedEncoder) -> None:
    encoding = opened(encoder)
    with pytest.raises(ValueError, match="bad text"):
        await encoding.encode("bad")
    assert (await encoding.encode("good"))[0] == 4
    await encoding.close()


async def test_the_queue_is_bounded(encoder: GatedEncoder) -> None:
    encoding = opened(encoder, queue_max=2)
    encoder.gate.clear()
    running = [asyncio.create_task(encoding.encode(text)) for text in ("a", "bb")]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted):
        await encoding.encode("ccc")
    encoder.gate.set()
    await asyncio.gather(*running)
    assert (await encoding.encode("ccc"))[0] == 3
    await encoding.close()


async def test_one_caller_going_away_does_not_matter_to_another(encoder: GatedEncoder) -> None:
    encoding = opened(encoder)
    encoder.gate.clear()
    first, second = (asyncio.create_task(encoding.encode("same")) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    encoder.gate.set()
    assert (await second)[0] == 4
    assert len(encoder.batches) == 1
    await encoding.close()

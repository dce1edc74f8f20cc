"""Calls on threads: their results, their order, and which thread does them."""

import asyncio
import threading
import time

import pytest

from honeyguide.threads import WarmThreads


@pytest.fixture
def threads():
    made = WarmThreads(3, "test")
    yield made
    made.close()


async def test_results_and_errors_come_back(threads: WarmThreads) -> None:
    assert await threads.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)
    assert await threads.run(threading.get_ident) != threading.get_ident()


async def test_the_thread_that_worked_last_works_next(threads: WarmThreads) -> None:
    barrier = threading.Barrier(3)
    started = await asyncio.gather(*(threads.run(lambda: (barrier.wait(), threading.get_ident())[1]) for _ in range(3)))
    assert len(set(started)) == 3
    assert len({await threads.run(threading.get_ident) for _ in range(20)}) == 1


async def test_no_more_threads_than_asked_for_and_who_waits_gets_a_turn_in_order(threads: WarmThreads) -> None:
    running, most, began = set(), [0], []

    def work(number: int) -> int:
        began.append(number)
        running.add(threading.get_ident())
        most[0] = max(most[0], len(running))
        time.sleep(0.002)
        running.discard(threading.get_ident())
        return number

    assert await asyncio.gather(*(threads.run(work, number) for number in range(30))) == list(range(30))
    assert most[0] <= 3
    assert sorted(began) == list(range(30))
    assert all(abs(at - number) <= 3 for at, number in enumerate(began))


async def test_who_is_cancelled_does_not_take_a_thread_along(threads: WarmThreads) -> None:
    release = threading.Event()
    waiting = [asyncio.create_task(threads.run(release.wait, 10)) for _ in range(4)]
    await asyncio.sleep(0.01)
    for task in waiting:
        task.cancel()
    release.set()
    assert await asyncio.gather(*(threads.run(pow, 2, n) for n in range(6))) == [1, 2, 4, 8, 16, 32]


async def test_closing_waits_for_what_runs_and_for_what_waits() -> None:
    threads, done = WarmThreads(1, "test"), []

    def work(number: int) -> None:
        time.sleep(0.01)
        done.append(number)

    calls = asyncio.gather(*(threads.run(work, number) for number in range(3)))
    await asyncio.sleep(0)
    threads.close()
    assert done == [0, 1, 2]
    await calls
    with pytest.raises(RuntimeError, match="closed"):
        await threads.run(work, 3)

import asyncio
import time

from honeyguide_orchestrator.foreground import PATIENCE_S, SLICE_S, Foreground


async def worked(foreground: Foreground) -> float:
    """Seconds that work is held up once its slice is over."""
    time.sleep(SLICE_S)  # noqa: ASYNC251  that is the work
    begin = time.perf_counter()
    await foreground.make_way()
    return time.perf_counter() - begin


async def test_work_waits_for_the_search_under_way_and_goes_on_when_it_ends() -> None:
    foreground, order = Foreground(), []

    async def work() -> None:
        await worked(foreground)
        order.append("work")

    with foreground.search():
        task = asyncio.create_task(work())
        await asyncio.sleep(PATIENCE_S / 5)
        order.append("search")
    await task
    assert order == ["search", "work"]


async def test_searches_without_end_do_not_starve_work() -> None:
    foreground = Foreground()
    with foreground.search(), foreground.search():
        assert await worked(foreground) >= 0.9 * PATIENCE_S
    await foreground.make_way()


async def test_others_get_a_turn_after_every_slice() -> None:
    foreground, turns = Foreground(), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    for _ in range(5):
        await worked(foreground)
    task.cancel()
    assert turns >= 5

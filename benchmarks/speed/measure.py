"""Measuring side by side: systems take turns within one run, and what counts is their ratio in each turn."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TypeVar

T = TypeVar("T")
Measurement = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the results.

    value: median over repetitions, in `unit`. ratio: median over repetitions of the value over that of the system
    `ratio_to` in the same repetition. low, high: smallest and largest ratio of any repetition, of the value where there
    is no ratio. runs: repetitions. item: number of the requirement that the row answers, None = of none.
    """

    scenario: str
    system: str
    metric: str
    value: float
    unit: str
    ratio: float | None = None
    ratio_to: str | None = None
    runs: int = 1
    low: float | None = None
    high: float | None = None
    item: int | None = None

    def to_dict(self) -> dict[str, object]:
        """The row for JSON, with four significant digits."""
        return {
            name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True)
class Against:
    """What a system is compared with, and which requirement that answers.

    other: name of the other system. plus, times: the reference is other + times * plus, where a plus is named.
    """

    other: str
    item: int | None = None
    plus: str = ""
    times: float = 1.0

    @property
    def name(self) -> str:
        """The reference in words."""
        return f"{self.other} + {self.times:g} x {self.plus}" if self.plus else self.other

    def reference(self, values: Mapping[str, Sequence[float]]) -> list[float]:
        """The reference's value in every repetition."""
        if not self.plus:
            return list(values[self.other])
        return [a + self.times * b for a, b in zip(values[self.other], values[self.plus], strict=True)]


async def alternate(systems: Mapping[str, Measurement], repetitions: int) -> dict[str, list[float]]:
    """Measures every system once a repetition, by turns; the order is turned around every other time."""
    values: dict[str, list[float]] = {name: [] for name in systems}
    for repetition in range(repetitions):
        order = list(systems.items())
        for name, measurement in order if repetition % 2 == 0 else reversed(order):
            gc.collect()
            values[name].append(await measurement())
    return values


def rows_of(
    scenario: str, metric: str, unit: str, values: Mapping[str, Sequence[float]], against: Mapping[str, Against]
) -> list[Row]:
    """A row for every system, with its ratio to what it is compared with."""
    return [_row(scenario, metric, unit, name, own, values, against.get(name)) for name, own in values.items()]


def _row(
    scenario: str,
    metric: str,
    unit: str,
    system: str,
    own: Sequence[float],
    values: Mapping[str, Sequence[float]],
    against: Against | None,
) -> Row:
    if against is None:
        return Row(scenario, system, metric, median(own), unit, runs=len(own), low=min(own), high=max(own))
    ratios = [a / b for a, b in zip(own, against.reference(values), strict=True)]
    return Row(
        scenario,
        system,
        metric,
        median(own),
        unit,
        median(ratios),
        against.name,
        len(own),
        min(ratios),
        max(ratios),
        against.item,
    )


def median_ms(call: Callable[[], object], count: int) -> float:
    """Median time of a call, in milliseconds."""
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return median(times) * 1e3


def median_each_ms(call: Callable[[T], object], inputs: Sequence[T]) -> float:
    """Median over inputs of the time that a call takes with each, in milliseconds."""
    times = []
    for one in inputs:
        begin = time.perf_counter()
        call(one)
        times.append(time.perf_counter() - begin)
    return median(times) * 1e3


async def each_ms(call: Callable[[T], Awaitable[object]], inputs: Sequence[T]) -> list[float]:
    """Time that an asynchronous call takes with each input, one after the other, in milliseconds."""
    times = []
    for one in inputs:
        begin = time.perf_counter()
        await call(one)
        times.append((time.perf_counter() - begin) * 1e3)
    return times


async def together(
    call: Callable[[T], Awaitable[object]], inputs: Sequence[T], clients: int
) -> tuple[float, list[float]]:
    """Some clients that ask at once, each its next as soon as it has an answer, until all inputs are asked.

    Returns:
        Calls a second, and the time of each call in milliseconds.
    """
    left = iter(inputs)
    times: list[float] = []

    async def client() -> None:
        for one in left:
            begin = time.perf_counter()
            await call(one)
            times.append((time.perf_counter() - begin) * 1e3)

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(times) / (time.perf_counter() - begin), times


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

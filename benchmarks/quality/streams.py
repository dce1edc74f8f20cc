"""Streams of searches: queries that repeat as people's do, and what each searcher wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from benchmarks.quality.needs import Need

BEGIN_S = 1_700_000_000.0
MEAN_GAP_S = 45.0
ZIPF_EXPONENT = 0.9
ZIPF_SHIFT = 2.0
HEAD_SHARE = 0.6
"""Share of a collection's needs that are searched again and again; the others come at most once."""

REPEATED_SHARE = 0.7
"""Share of searches that are of a head need."""

TASTE_EXPONENT = 1.0


@dataclass(frozen=True, slots=True)
class Search:
    """One search of a stream: what is typed, and the one document that this searcher wants. `fresh`: never repeated."""

    number: int
    need: Need
    wanted: str
    time_s: float
    fresh: bool


def stream(needs: Sequence[Need], count: int, seed: int, drift: bool = False) -> list[Search]:
    """`count` searches.

    Collections take turns at random, each as often. Within one, queries of the head come by Zipf-Mandelbrot popularity
    (queries of real logs do: Baeza-Yates et al., "The impact of caching on search engines", SIGIR 2007), the others
    once. Of several judged documents each query's searchers want some more often than others, by grade and by a Zipf
    taste. With `drift`, popularity and taste are drawn anew half-way.
    """
    random = Random(f"stream {seed}")
    by_collection: dict[str, list[Need]] = {}
    for need in needs:
        by_collection.setdefault(need.collection, []).append(need)
    sources = [_Source(part, Random(f"{seed} {name}")) for name, part in sorted(by_collection.items())]
    searches = []
    time_s = BEGIN_S
    for number in range(count):
        if drift and number == count // 2:
            for source in sources:
                source.change()
        time_s += random.expovariate(1 / MEAN_GAP_S)
        need, wanted, fresh = random.choice(sources).draw()
        searches.append(Search(number, need, wanted, time_s, fresh))
    return searches


class _Source:
    """One collection's searchers."""

    def __init__(self, needs: Sequence[Need], random: Random) -> None:
        self._random = random
        shuffled = list(needs)
        random.shuffle(shuffled)
        cut = max(1, round(len(shuffled) * HEAD_SHARE))
        self._head, self._fresh = shuffled[:cut], shuffled[cut:]
        self._weights = list(accumulate((rank + ZIPF_SHIFT) ** -ZIPF_EXPONENT for rank in range(1, cut + 1)))
        self._epoch = 0

    def change(self) -> None:
        """People turn to other things."""
        self._random.shuffle(self._head)
        self._epoch += 1

    def draw(self) -> tuple[Need, str, bool]:
        """A need, the document wanted, and whether the query is never repeated."""
        fresh = bool(self._fresh) and self._random.random() >= REPEATED_SHARE
        need = self._fresh.pop() if fresh else self._random.choices(self._head, cum_weights=self._weights)[0]
        documents = tastes(need, self._epoch)
        return need, self._random.choices(list(documents), list(documents.values()))[0], fresh


def tastes(need: Need, epoch: int = 0) -> dict[str, float]:
    """How often searchers of a need want which document, in proportion.

    Args:
        need: what is searched.
        epoch: of the stream; another one after a drift.
    """
    documents = sorted(need.grades)
    Random(f"{need.id} {need.query} {epoch}").shuffle(documents)
    return {
        document: (2 ** need.grades[document] - 1) / (1 + place) ** TASTE_EXPONENT
        for place, document in enumerate(documents)
    }

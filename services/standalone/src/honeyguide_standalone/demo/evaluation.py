"""Before and after: fresh wishes of the same simulated users, each asked of the learned system and of the static one.

These searches are untracked: nothing is fed back, and nothing learned from them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from random import Random

from honeyguide_standalone.api import Api
from honeyguide_standalone.demo.simulation import Search, ask, each
from honeyguide_standalone.demo.users import SimulatedUser

STATIC_POLICY = "full_depth"
STATIC_RANKER = "fusion"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Means over searches; `found_share` is the share that showed a wanted document on the first page."""

    searches: int
    mrr: float
    reward: float
    found_share: float
    candidates: float
    calls: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same wishes, learned and static, pair by pair."""

    learned: Sequence[Search]
    static: Sequence[Search]

    @property
    def kinds(self) -> list[str]:
        """The kinds of wishes, most frequent first."""
        counts: dict[str, int] = defaultdict(int)
        for search in self.learned:
            counts[search.wish.kind] += 1
        return sorted(counts, key=lambda kind: -counts[kind])

    def of_kind(self, kind: str) -> Comparison:
        """Only the wishes of one kind."""
        return Comparison(
            [search for search in self.learned if search.wish.kind == kind],
            [search for search in self.static if search.wish.kind == kind],
        )

    def depths(self) -> dict[str, float]:
        """Mean depth of every strategy under the learned policy, deepest first; not asked counts 0."""
        totals: dict[str, float] = defaultdict(float)
        for search in self.learned:
            for strategy, depth in search.depths.items():
                totals[strategy] += depth / len(self.learned)
        return dict(sorted(totals.items(), key=lambda pair: -pair[1]))

    def figures(self) -> dict[str, object]:
        """Everything as report.json has it."""
        learned, static = outcome(self.learned), outcome(self.static)
        return {
            "mrr_learned": learned.mrr,
            "mrr_static": static.mrr,
            "reward_learned": learned.reward,
            "reward_static": static.reward,
            "candidates_share": learned.candidates / max(1e-9, static.candidates),
            "calls_share": learned.calls / max(1e-9, static.calls),
            "learned": asdict(learned),
            "static": asdict(static),
            "depths_learned": self.depths(),
        }


async def compare(
    api: Api, users: Sequence[SimulatedUser], seed: int, begin: int, time_s: float, count: int
) -> Comparison:
    """Asks fresh wishes twice, all at one moment of simulated time."""
    pairs: dict[int, tuple[Search, Search]] = {}

    async def one(number: int) -> None:
        random = Random(f"evaluation {seed} {begin} {number}")
        user = random.choice(users)
        wish = user.wish()
        learned = await ask(api, user, wish, time_s, untracked=True)
        static = await ask(api, user, wish, time_s, STATIC_POLICY, STATIC_RANKER, untracked=True)
        pairs[number] = (learned, static)

    await each(count, one)
    ordered = [pair for _, pair in sorted(pairs.items())]
    return Comparison([learned for learned, _ in ordered], [static for _, static in ordered])


def outcome(searches: Iterable[Search]) -> Outcome:
    """Means over searches."""
    some = list(searches)
    count = max(1, len(some))
    return Outcome(
        searches=len(some),
        mrr=sum(search.reciprocal_rank for search in some) / count,
        reward=sum(search.reward for search in some) / count,
        found_share=sum(search.position > 0 for search in some) / count,
        candidates=sum(search.candidates for search in some) / count,
        calls=sum(search.calls for search in some) / count,
    )

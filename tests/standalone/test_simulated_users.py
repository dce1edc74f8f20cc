from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest

from honeyguide_standalone.demo.clicks import BIAS, CLICK_WANTED, act_on
from honeyguide_standalone.demo.evaluation import Comparison, outcome
from honeyguide_standalone.demo.simulation import Search
from honeyguide_standalone.demo.users import TOPICS, SimulatedUser, Wish, misspell
from honeyguide_standalone.demo.world import Item, Ranked, World

GENRES = ("Drama", "Comedy", "Horror")


def item(id: str, type: str, title: str, popularity: float, related: tuple[str, ...] = ()) -> Item:
    number = int("".join(character for character in id if character.isdigit()) or 0)
    genres = frozenset({GENRES[number % 3]}) if type == "film" else frozenset()
    return Item(id, type, title, popularity, 1990 + number % 3, genres, frozenset({"English"}), related)


@pytest.fixture(scope="module")
def world() -> World:
    topics = ["Ghost Town", "The Vampire", "Zombie Night", "Batman", "Harry Potter", "Godzilla", "Robot", "Pirates"]
    topics += ["Santa", "King", "Spy", "Speed"]
    films = [item(f"f{n}", "film", f"{topics[n % len(topics)]} {n}", 1_000 - n) for n in range(600)]
    every = frozenset(genre for _, genres, _ in TOPICS for genre in genres)
    films.append(item("f601", "film", "Phoenix", 900))
    films.append(Item("f600", "film", "Everything", 5, 1990, every | set(GENRES), frozenset(), ()))
    people = [item(f"p{n}", "person", f"Harry Stone {n}", 900 - n, (f"f{n}", f"f{n + 1}")) for n in range(50)]
    genres = [item(f"g{n}", "genre", name, 2_000) for n, name in enumerate(GENRES)]
    return World([*films, *people, *genres, item("c1", "company", "Phoenix Pictures", 950)])


def test_users_repeat_exactly_from_a_seed(world: World) -> None:
    first, again, other = (
        [user.wish() for _ in range(20)]
        for user in (SimulatedUser(world, 3, 1), SimulatedUser(world, 3, 1), SimulatedUser(world, 3, 1, begin=20))
    )
    assert first == again
    assert first != other


def test_every_habit_occurs_and_every_wish_can_come_true(world: World) -> None:
    users = [SimulatedUser(world, number, 1) for number in range(150)]
    wishes = [user.wish() for user in users for _ in range(6)]
    assert set(Counter(wish.kind for wish in wishes)) == {"title", "person", "browse", "topic", "ambiguous"}
    for wish in wishes:
        assert wish.query
        assert wish.wanted
        assert wish.wanted <= world.by_id.keys()


def test_zipf_draws_by_rank() -> None:
    counts = Counter(Ranked("abc", exponent=1.0, shift=0.0).draw(Random(n)) for n in range(6_000))
    # 1 : 1/2 : 1/3 of 11/6
    assert counts["a"] / 6_000 == pytest.approx(6 / 11, abs=0.03)
    assert counts["c"] / 6_000 == pytest.approx(2 / 11, abs=0.03)


def test_a_slip_changes_one_word_by_one_letter() -> None:
    for seed in range(200):
        slipped = misspell("the godfather", Random(seed))
        assert slipped.split()[0] == "the"
        assert abs(len(slipped) - len("the godfather")) <= 1
    assert misspell("up 3", Random(1)) == "up 3"


def test_lower_positions_are_clicked_less_and_a_find_ends_the_search() -> None:
    shown = [f"d{n}" for n in range(10)]
    for position in (1, 4, 10):
        wanted = frozenset({f"d{position - 1}"})
        acts = [act_on(shown, wanted, Random(f"{position} {seed}")) for seed in range(4_000)]
        found = sum(any(act.position == position for act in some) for some in acts) / 4_000
        assert found == pytest.approx(CLICK_WANTED * (1 / position) ** BIAS, abs=0.03)
    for seed in range(500):
        positions = [act.position for act in act_on(["w", *shown], frozenset({"w"}), Random(seed))]
        assert 1 not in positions or set(positions) == {1}


def search(position: int, candidates: int, calls: int, kind: str = "title") -> Search:
    wish = Wish(kind, "q", frozenset({"d"}))
    return Search(wish, "u", "s", "x", 0.0, (), position, candidates, calls, {"a.b": candidates, "a.c": 0})


def test_reward_is_graded_and_pays_for_calls_and_candidates() -> None:
    assert search(1, 0, 0).reward == 1.0
    assert search(3, 100, 4).reward == pytest.approx(1 / math.log2(4) - 0.05 - 0.025)
    assert search(0, 100, 4).reward == pytest.approx(-0.075)


def test_a_comparison_gives_shares_and_depths() -> None:
    comparison = Comparison(
        learned=[search(1, 10, 2), search(2, 30, 2, "person")],
        static=[search(2, 200, 10), search(0, 200, 10, "person")],
    )
    figures = comparison.figures()
    assert figures["mrr_learned"] == 0.75
    assert figures["mrr_static"] == 0.25
    assert figures["candidates_share"] == pytest.approx(0.1)
    assert figures["calls_share"] == pytest.approx(0.2)
    assert comparison.depths() == {"a.b": 20.0, "a.c": 0.0}
    assert comparison.of_kind("person").figures()["mrr_learned"] == 0.5
    assert outcome([]).mrr == 0.0

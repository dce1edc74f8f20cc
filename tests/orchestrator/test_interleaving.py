from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.candidates import Candidates
from honeyguide_orchestrator.interleaving import NEITHER, TEAM_A, TEAM_B, own_candidates, team_draft


class Coins:
    """A generator that throws the coins given: 0 = a picks first."""

    def __init__(self, *coins: int) -> None:
        self.coins = list(coins)

    def integers(self, sides: int) -> int:
        return self.coins.pop(0)


def draft(a: Sequence[int], b: Sequence[int], slots: int, *coins: int) -> tuple[list[int], tuple[int, ...]]:
    return team_draft(a, b, slots, Coins(*coins))  # type: ignore[arg-type]


def test_captains_pick_in_turns_and_a_coin_begins_each_round() -> None:
    # a picks 1, b picks 2; b begins the second round with 4, a picks 3.
    assert draft([1, 2, 3, 4], [2, 4, 1, 3], 4, 0, 1) == ([1, 2, 4, 3], (TEAM_A, TEAM_B, TEAM_B, TEAM_A))
    # b picks 2, a picks 1; a begins the second round with 3, as 2 is taken, b picks 4.
    assert draft([1, 2, 3, 4], [2, 4, 1, 3], 4, 1, 0) == ([2, 1, 3, 4], (TEAM_B, TEAM_A, TEAM_A, TEAM_B))


def test_what_both_begin_with_is_nobodys() -> None:
    page, teams = draft([9, 8, 1, 2], [9, 8, 2, 1], 3, 1)
    assert page == [9, 8, 2, 1]
    assert teams == (NEITHER, NEITHER, TEAM_B)
    assert draft([1, 2], [1, 2], 5) == ([1, 2], (NEITHER, NEITHER))


@pytest.mark.parametrize(("coin", "page", "teams"), [(0, [1, 2, 3, 4], (1, 2, 0, 0)), (1, [2, 1, 3, 4], (2, 1, 0, 0))])
def test_once_one_has_nothing_left_rows_are_nobodys(coin: int, page: list[int], teams: tuple[int, ...]) -> None:
    assert draft([1], [2, 3, 4], 4, coin) == (page, teams)


@given(a=st.permutations(range(8)), b=st.permutations(range(8)), slots=st.integers(1, 10), seed=st.integers(0, 99))
def test_nothing_is_lost_and_teams_are_of_a_size(a: list[int], b: list[int], slots: int, seed: int) -> None:
    page, teams = team_draft(a, b, slots, np.random.default_rng(seed))
    assert sorted(page) == list(range(8))
    assert len(teams) == min(slots, 8)
    assert abs(teams.count(TEAM_A) - teams.count(TEAM_B)) <= 1


def test_both_hold_each_row_equally_often() -> None:
    rng = np.random.default_rng(0)
    pages = [team_draft([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], 5, rng)[1] for _ in range(4_000)]
    for row in range(5):
        assert np.mean([teams[row] == TEAM_A for teams in pages]) == pytest.approx(0.5, abs=0.03)


def test_own_candidates_are_those_of_the_own_depths() -> None:
    answer = Candidates(("x", "y", "z"), np.array([3, 2, 1], np.float32), ("t",) * 3, {"q2e": np.arange(3.0)}, 7)
    own = own_candidates({"s": answer, "not asked": answer}, {"s": 2, "failed": 5})
    assert list(own) == ["s"]
    assert own["s"].document_ids == ("x", "y")
    assert own["s"].scores.tolist() == [3, 2]
    assert own["s"].features["q2e"].tolist() == [0, 1]

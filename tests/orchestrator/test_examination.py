import json
import random

import numpy as np
import pytest

from honeyguide_orchestrator.examination import PRIOR_POWER, Examination, swap_chances

EQUAL = np.zeros(10)


def simulated(power: float, pages: int, seed: int = 0) -> Examination:
    draw = random.Random(seed)
    examination = Examination()
    for _ in range(pages):
        # What stands higher is better, as rankers would have it: on some pages by much, on others hardly.
        worth = 0.6 / np.arange(1, 11) ** (0.1 if draw.random() < 0.5 else 1.0)
        scores = np.log(worth)
        swapped_at = draw.choices(range(1, 10), swap_chances(scores))[0] if draw.random() < 0.3 else 0
        page = list(range(10))
        if swapped_at:
            page[swapped_at - 1], page[swapped_at] = page[swapped_at], page[swapped_at - 1]
        clicks = [k for k, one in enumerate(page, 1) if draw.random() < k**-power and draw.random() < worth[one]]
        examination.closed(scores, swapped_at, clicks)
    return examination


def test_without_swaps_the_assumption_stands() -> None:
    examination = Examination()
    examination.closed(EQUAL, 0, [1, 3])
    assert examination.power == PRIOR_POWER
    assert examination.power_shown == 0.0


@pytest.mark.parametrize("power", [0.0, 0.4, 1.2])
def test_swaps_tell_the_power_however_good_the_ranking_is(power: float) -> None:
    examination = simulated(power, 40_000)
    assert examination.power == pytest.approx(power, abs=0.15)
    assert examination.power_shown == pytest.approx(power, abs=0.15)


def test_few_swaps_show_less_than_there_is() -> None:
    few, many = simulated(1.2, 300).power_shown, simulated(1.2, 40_000).power_shown
    assert 0 < few < 0.8 < many


def test_a_swapped_page_counts_for_its_pair_only() -> None:
    examination = Examination()
    examination.closed(EQUAL, 3, [4])
    assert examination.swapped[2] == [1, 1, 0]
    assert sum(map(sum, examination.swapped)) == 2
    assert sum(map(sum, examination.as_ranked)) == 0


def test_a_short_page_has_fewer_pairs() -> None:
    examination = Examination()
    examination.closed(EQUAL[:2], 0, [2])
    assert examination.as_ranked[0] == [1, 0, 1]
    assert examination.as_ranked[1] == [0, 0, 0]


def test_pairs_that_hardly_differ_are_swapped_most_and_upper_ones_more() -> None:
    # Odds 1/2 and 1, for k = 1 and 2: 1/2 and 1/2.
    assert swap_chances(np.array([np.log(2), 0.0, 0.0])).tolist() == pytest.approx([0.5, 0.5])
    assert swap_chances(np.array([1.0])).tolist() == []
    assert swap_chances(np.array([500.0, 0.0])).tolist() == [1.0]


def test_pages_as_ranked_count_by_the_chance_of_their_pairs() -> None:
    examination = Examination()
    examination.closed(np.array([np.log(2), 0.0, 0.0]), 0, [3])
    assert examination.as_ranked[0] == pytest.approx([0.5, 0, 0])
    assert examination.as_ranked[1] == pytest.approx([0.5, 0, 0.5])


def test_it_is_the_same_after_a_restart() -> None:
    before = simulated(1.0, 3_000)
    after = Examination.from_state(json.loads(json.dumps(before.to_state())))
    assert after == before


def test_a_snapshot_of_before_has_shown_nothing() -> None:
    state = simulated(1.0, 3_000).to_state()
    del state["power_shown"]
    assert Examination.from_state(state).power_shown == 0.0

import json
import random

import pytest

from honeyguide_orchestrator.examination import PRIOR_POWER, Examination


def simulated(power: float, pages: int, seed: int = 0) -> Examination:
    draw = random.Random(seed)
    worth = [0.6 / k for k in range(1, 11)]  # what stands higher is better, as rankers would have it
    examination = Examination()
    for _ in range(pages):
        swapped_at = draw.randint(1, 9) if draw.random() < 0.3 else 0
        page = list(range(10))
        if swapped_at:
            page[swapped_at - 1], page[swapped_at] = page[swapped_at], page[swapped_at - 1]
        clicks = [k for k, one in enumerate(page, 1) if draw.random() < k**-power and draw.random() < worth[one]]
        examination.closed(10, swapped_at, clicks)
    return examination


def test_without_swaps_the_assumption_stands() -> None:
    examination = Examination()
    examination.closed(10, 0, [1, 3])
    assert examination.power == PRIOR_POWER


@pytest.mark.parametrize("power", [0.0, 0.4, 1.2])
def test_swaps_tell_the_power_however_good_the_ranking_is(power: float) -> None:
    assert simulated(power, 40_000).power == pytest.approx(power, abs=0.15)


def test_a_swapped_page_counts_for_its_pair_only() -> None:
    examination = Examination()
    examination.closed(10, 3, [4])
    assert examination.swapped[2] == [1, 1, 0]
    assert sum(map(sum, examination.swapped)) == 2
    assert sum(map(sum, examination.as_ranked)) == 0


def test_a_short_page_has_fewer_pairs() -> None:
    examination = Examination()
    examination.closed(2, 0, [2])
    assert examination.as_ranked[0] == [1, 0, 1]
    assert examination.as_ranked[1] == [0, 0, 0]


def test_it_is_the_same_after_a_restart() -> None:
    before = simulated(1.0, 3_000)
    after = Examination.from_state(json.loads(json.dumps(before.to_state())))
    assert after == before

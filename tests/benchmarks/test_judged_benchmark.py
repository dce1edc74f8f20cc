from __future__ import annotations

from collections import Counter

import pytest
from benchmarks.quality.baselines import FUSIONS
from benchmarks.quality.judged import rows_of, searches_of, views
from benchmarks.quality.needs import Need

NEEDS = [Need("music", f"q{i}", f"query {i}", {f"d{i}": 1, "other": 1}, "search") for i in range(4)]


def test_every_need_is_searched_as_often_and_time_goes_on() -> None:
    searches = searches_of(NEEDS, 5, 1)
    assert Counter(search.need.id for search in searches) == dict.fromkeys(("q0", "q1", "q2", "q3"), 5)
    assert [search.number for search in searches] == list(range(20))
    assert [search.time_s for search in searches] == sorted(search.time_s for search in searches)
    assert all(search.wanted in search.need.grades for search in searches)
    assert [search.need.id for search in searches] != sorted(search.need.id for search in searches)


def test_of_the_fusions_the_best_is_told_and_means_are_over_the_needs() -> None:
    worse, best, *_ = FUSIONS
    right = {need.id: [f"d{need.id[1:]}", "other"] for need in NEEDS}
    wrong: dict[str, list[str]] = {need.id: ["nothing"] for need in NEEDS}
    half = {**right, "q0": [], "q1": []}
    rows = {row["system"]: row for row in rows_of("music", "s", NEEDS, {"gated": half, worse: wrong, best: right})}
    assert set(rows) == {"gated", f"best static fusion ({best})"}
    assert rows["gated"]["value"] == 0.5
    assert rows["gated"]["searches"] == 4
    assert rows[f"best static fusion ({best})"]["value"] == pytest.approx(1.0)


def test_tracks_are_told_apart() -> None:
    split = views({"gated": {"q0": ["a"]}, "gated/track": {"q0": ["t"]}})
    assert split == {"": {"gated": {"q0": ["a"]}}, " among tracks": {"gated": {"q0": ["t"]}}}

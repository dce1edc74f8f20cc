from __future__ import annotations

import pytest

from honeyguide_memory import query_memory
from honeyguide_memory.layout import Layout
from honeyguide_memory.mass import HalfLives
from honeyguide_memory.nodes import Nodes
from honeyguide_memory.query_memory import NearLimits, QueryMemories


def memories() -> QueryMemories:
    layout = Layout("hg", 1)
    return QueryMemories(layout, Nodes(layout, False), HalfLives(1.0, 2.0, 0.5), NearLimits(8, 0.3))


def test_what_was_asked_serves_the_same_query_as_of_the_same_time_once() -> None:
    kept = memories()
    asked = kept.new("red shoes", 5.0)
    kept.keep(asked)
    assert kept.take("red shoes", 6.0) is not asked
    assert kept.take("red boots", 5.0) is not asked
    assert kept.take("red shoes", 5.0) is asked
    assert kept.take("red shoes", 5.0) is not asked


def test_what_was_asked_too_long_ago_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = memories()
    asked = kept.new("red shoes", 5.0)
    kept.keep(asked)
    monkeypatch.setattr(query_memory, "KEPT_S", 0.0)
    assert kept.take("red shoes", 5.0) is not asked


def test_what_nobody_takes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_memory, "KEPT_MAX", 2)
    kept = memories()
    asked = [kept.new(f"q{i}", 1.0) for i in range(3)]
    for one in asked:
        kept.keep(one)
    assert kept.take("q0", 1.0) is not asked[0]
    assert [kept.take(f"q{i}", 1.0) for i in (1, 2)] == asked[1:]

"""What policies see of a search: whether people searched this before, and found nothing."""

from __future__ import annotations

import math

import pytest

from honeyguide.documents import Context
from honeyguide.query import Understanding
from honeyguide_orchestrator.situation import FEATURES, Recollection, describe


def described(pages: float, actions: float) -> dict[str, float]:
    recollection = Recollection(actions=actions, pages=pages)
    x = describe("halo", Understanding("halo", "halo"), recollection, Context(1_700_000_000.0), False)
    return dict(zip(FEATURES, x.tolist(), strict=True))


def test_a_query_that_pages_were_shown_for_and_nobody_acted_on_was_always_in_vain() -> None:
    never, once, often = described(0, 0), described(1, 0), described(9, 0)
    assert (never["in_vain"], never["always_in_vain"]) == (0.0, 0.0)
    assert (once["in_vain"], once["always_in_vain"]) == (pytest.approx(math.log(2) / 2), 1.0)
    assert often["in_vain"] > once["in_vain"]


def test_what_every_page_found_was_not_in_vain() -> None:
    assert described(9, 9)["in_vain"] == described(3, 4)["in_vain"] == 0.0
    assert described(9, 1)["in_vain"] == pytest.approx(math.log(10 / 2) / 2)
    assert described(9, 1)["always_in_vain"] == 0.0

from collections.abc import Mapping

import pytest
from benchmarks.quality.click_log import Shop, oracle, simulate

TITLES = {f"d{i}": title for i, title in enumerate(("halo wars", "halo reach", "gears of war", "red dead", "fable"))}


def shop(judged: Mapping[str, Mapping[str, int]]) -> Shop:
    return Shop("test", TITLES, dict.fromkeys(TITLES, ""), judged)


def test_the_same_seed_draws_the_same_log() -> None:
    assert simulate(shop({}), 50, 3) == simulate(shop({}), 50, 3)
    assert simulate(shop({}), 50, 3) != simulate(shop({}), 50, 4)


def test_the_oracle_is_better_than_any_fixed_order_and_cannot_foresee_noise() -> None:
    one = shop({"xbox": dict.fromkeys(TITLES, 3)})
    log = simulate(one, 2_000, 1)
    positions = oracle(one, log, 1)
    of_xbox = [(at, click) for at, click in zip(positions, log, strict=True) if click.query == "xbox"]
    first = sum(at == 1 for at, _ in of_xbox)
    most_clicked = max(sum(click.document_id == id for _, click in of_xbox) for id in TITLES)
    assert len(of_xbox) > first >= most_clicked


def test_the_oracle_knows_what_was_meant_by_a_typo() -> None:
    one = shop({})
    log = simulate(one, 2_000, 1)
    known = {" ".join(title.split()[:n]) for title in TITLES.values() for n in (1, 2, 3)}
    typos = [
        at
        for at, click in zip(oracle(one, log, 1), log, strict=True)
        if click.query.split()[0] not in " ".join(known) and click.document_id == click.wanted
    ]
    assert len(typos) > 50
    assert sum(at == 1 for at in typos) / len(typos) == pytest.approx(0.9, abs=0.1)

"""Replay: places that documents would have had, reckoned by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.orchestrator.decision_records import decision_record

from honeyguide_orchestrator.candidate_features import GENERAL, feature_names
from honeyguide_orchestrator.decision_log import DecisionRecord, LoggedStrategy
from honeyguide_orchestrator.fanout import Status
from honeyguide_orchestrator.off_policy.rankers import estimate_ranker
from honeyguide_orchestrator.off_policy.replay import judge, places_by_allocation, places_by_ranker
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.ranker import RANKERS, Fusion, Linear, RankerModel

BM25, DENSE = "lexical.bm25", "vector.dense"
MODEL = RankerModel({})


def record(ranks: dict[str, tuple[int, int]], page_size: int = 10) -> DecisionRecord:
    """A page fused from ranks by document in lexical.bm25 and vector.dense (0 = not found), best first."""
    answered = (BM25, DENSE)
    table = np.array(list(ranks.values()), np.int16).reshape(-1, 2)
    names = feature_names(answered)
    features = np.zeros((len(table), len(names)), np.float32)
    for s, strategy in enumerate(answered):
        found = table[:, s] > 0
        features[found, names.index(f"{strategy}:found")] = 1
        features[found, names.index(f"{strategy}:reciprocal_rank")] = 61 / (60 + table[found, s])
        features[found, names.index(f"{strategy}:top")] = 1 / table[found, s]
        features[found, names.index(f"{strategy}:score")] = 1 - 0.1 * (table[found, s] - 1)
    features[:, GENERAL.index("agreement")] = (table > 0).mean(axis=1)
    scores = Fusion().scores(features, answered, MODEL)
    order = np.argsort(-scores, kind="stable")
    ids = list(ranks)
    lists = [int((table[:, s] > 0).sum()) for s in range(2)]
    return decision_record(
        answered=answered,
        document_ids=tuple(ids[i] for i in order),
        strategies=tuple(
            LoggedStrategy(name, 10, 1.0, Status.OK, count, 0.0) for name, count in zip(answered, lists, strict=True)
        ),
        ranker="fusion",
        scores=scores[order],
        ranks=table[order],
        features=features[order],
        page_size=page_size,
    )


PAGE = {"both": (2, 3), "lexical": (1, 0), "dense": (0, 1), "late": (3, 2), "deep": (4, 0)}


def test_the_page_is_as_fused() -> None:
    assert record(PAGE).document_ids == ("both", "late", "lexical", "dense", "deep")


def test_nothing_cut_changes_no_place() -> None:
    page = record(PAGE)
    wanted = dict.fromkeys(page.document_ids, 1.0)
    places = places_by_allocation(page, wanted, {BM25: 10, DENSE: 10}, RANKERS["fusion"], MODEL)
    assert places == {id: place for place, id in enumerate(page.document_ids, start=1)}


def test_a_strategy_left_out_takes_its_finds_and_its_votes_along() -> None:
    page = record(PAGE)
    wanted = dict.fromkeys(PAGE, 1.0)
    places = places_by_allocation(page, wanted, {BM25: 10}, RANKERS["fusion"], MODEL)
    assert places == {"lexical": 1, "both": 2, "late": 3, "deep": 4}


def test_a_list_cut_in_depth_keeps_its_beginning() -> None:
    page = record(PAGE)
    wanted = dict.fromkeys(PAGE, 1.0)
    places = places_by_allocation(page, wanted, {BM25: 2, DENSE: 1}, RANKERS["fusion"], MODEL)
    # lexical and dense lead their lists, in the order of the page; both is second in one.
    assert places == {"lexical": 1, "dense": 2, "both": 3}


def test_nothing_asked_shows_nothing() -> None:
    assert places_by_allocation(record(PAGE), {"both": 1.0}, {}, RANKERS["fusion"], MODEL) == {}
    assert places_by_allocation(record({}), {}, {BM25: 5}, RANKERS["fusion"], MODEL) == {}


def test_agreement_and_scores_are_those_of_the_cut_lists() -> None:
    """Ranked by agreement alone, then by the score within lexical.bm25 alone."""
    page = record({"a": (1, 0), "b": (2, 1), "c": (3, 2)})
    wanted = dict.fromkeys(("a", "b", "c"), 1.0)
    kept = {BM25: 2, DENSE: 2}
    zero = dict.fromkeys(feature_names(page.answered), 0.0)
    moved = replace(page, scores=np.zeros(3, np.float32), features=page.features)
    by_agreement = RankerModel(zero | {"agreement": 1.0})
    places = places_by_allocation(moved, wanted, kept, Linear(), by_agreement)
    # Changes of agreement: a 1/2 -> 1/2, b 1 -> 1, c 1 -> 1/2.
    assert places["c"] == 3
    by_score = RankerModel(zero | {f"{BM25}:score": 1.0})
    places = places_by_allocation(moved, wanted, kept, Linear(), by_score)
    # Scores 1, .9, .8 become 1, .05, none: b falls by .85, c by .8.
    assert (places["a"], places["c"], places["b"]) == (1, 2, 3)


def test_actions_are_carried_over_by_how_far_people_look() -> None:
    page = record(PAGE)
    half = lambda position: 1.0 if position == 1 else 0.5  # noqa: E731
    second = page.document_ids[1]
    rewards = {second: 1 / math.log2(3)}
    up = judge(page, rewards, {second: 1}, half)
    assert up.reward == pytest.approx(1.0)
    assert up.weight == 2.0
    same = judge(page, rewards, {second: 2}, half)
    assert same.earned == pytest.approx(rewards[second])
    down = judge(page, rewards, {second: 4}, half)
    assert down.earned == pytest.approx(1 / math.log2(5))
    assert judge(page, rewards, {}, half).earned == 0.0


def test_what_falls_off_the_pages_looked_at_earns_nothing() -> None:
    page = record(PAGE, page_size=2)
    first = page.document_ids[0]
    assert judge(page, {first: 1.0}, {first: 3}).earned == 0.0
    third = page.document_ids[2]
    assert judge(page, {third: 0.5}, {third: 4}).earned > 0.0


def test_the_best_of_several_actions_counts() -> None:
    page = record(PAGE)
    rewards = {page.document_ids[0]: 1.0, page.document_ids[1]: 1 / math.log2(3)}
    always = lambda position: 1.0  # noqa: E731
    told = judge(page, rewards, {page.document_ids[0]: 3, page.document_ids[1]: 2}, always)
    assert told.earned == pytest.approx(1 / math.log2(3))


def test_places_by_another_ranker() -> None:
    page = record(PAGE)
    by_dense = RankerModel(dict.fromkeys(feature_names(page.answered), 0.0) | {f"{DENSE}:top": 1.0})
    places = places_by_ranker(page, dict.fromkeys(PAGE, 1.0), Linear(), by_dense)
    assert [places[id] for id in ("dense", "late", "both")] == [1, 2, 3]


def filled(page: DecisionRecord, *ids: str) -> DecisionRecord:
    """The page, filled with these documents by lexical.bm25."""
    nothing = np.zeros(len(ids), np.float32)
    return replace(
        page,
        document_ids=(*page.document_ids, *ids),
        types=(*page.types, *("film" for _ in ids)),
        scores=np.concatenate([page.scores, nothing]),
        ranks=np.concatenate([page.ranks, np.zeros((len(ids), len(page.answered)), np.int16)]),
        filled=tuple((BM25, i + 1) for i in range(len(ids))),
        fillers=(LoggedStrategy(BM25, 10, 1.0, Status.OK, len(ids), 0.0),),
    )


@pytest.mark.parametrize(("page", "place"), [(PAGE, 7), ({}, 2)])
def test_what_filled_the_page_stays_below_what_was_decided(page: dict[str, tuple[int, int]], place: int) -> None:
    wanted = {"more": 1 / math.log2(1 + place)}
    shown = filled(record(page), "some", "more")
    assert shown.document_ids.index("more") + 1 == place
    assert places_by_ranker(shown, wanted, RANKERS["fusion"], MODEL) == {"more": place}
    assert places_by_allocation(shown, wanted, {BM25: 2}, RANKERS["fusion"], MODEL) == {"more": place}


def test_the_ranker_that_ranked_the_log_earns_what_filled_pages_earned() -> None:
    shown = filled(record(PAGE), "some", "more")
    told = estimate_ranker([(shown, {"more": 1 / math.log2(8)}), (shown, {})], Fusion(), MODEL, Prices(0.0, 0.0))
    assert told.estimate.value == pytest.approx(1 / math.log2(8) / 2)
    assert told.estimate.gain == pytest.approx(0.0)


def test_the_ranker_that_ranked_the_log_earns_what_it_earned() -> None:
    prices = Prices(0.01, 0.001)
    page = record(PAGE)
    log = [(page, {page.document_ids[i % 3]: 1 / math.log2(2 + i % 3)} if i % 2 else {}) for i in range(40)]
    told = estimate_ranker(log, Fusion(), MODEL, prices)
    cost = prices.of(2, 7)
    assert told.estimate.value == pytest.approx(np.mean([max(r.values(), default=0.0) for _, r in log]) - cost)
    assert told.estimate.gain == pytest.approx(0.0)
    assert told.estimate.gain_low <= 0.0 <= told.estimate.gain_high
    assert told.support.share == 1.0


def test_a_ranker_that_puts_the_wanted_first_is_told_to_be_better() -> None:
    page = record(PAGE)
    wanted = page.document_ids[3]
    log = [(page, {wanted: 1 / math.log2(5)} if i % 3 else {}) for i in range(60)]
    only = {"lexical": BM25, "dense": DENSE}[wanted]
    weights = dict.fromkeys(feature_names(page.answered), 0.0) | {f"{only}:top": 1.0, "agreement": -1.0}
    told = estimate_ranker(log, Linear(), RankerModel(weights), Prices(0.0, 0.0), examination=lambda position: 1.0)
    assert told.estimate.value == pytest.approx(40 / 60)
    assert told.estimate.gain_low > 0.0


def test_unseen_documents_are_told() -> None:
    page = record(PAGE, page_size=2)
    by_dense = RankerModel(dict.fromkeys(feature_names(page.answered), 0.0) | {f"{DENSE}:top": 1.0})
    told = estimate_ranker([(page, {})] * 3, Linear(), by_dense, Prices(0.0, 0.0))
    # dense and late would be shown; late was.
    assert told.support.share == 0.5

"""What is expected and what is seen of a query's documents, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from honeyguide.api.memory.v1 import memory_pb2
from honeyguide.candidates import Candidates
from honeyguide.documents import DAY_S
from honeyguide.query import Taste, Understanding
from honeyguide_orchestrator.candidate_features import candidate_features, feature_names
from honeyguide_orchestrator.document_actions import DOCUMENTS_MAX, DocumentActions
from honeyguide_orchestrator.example import without_query_memory
from honeyguide_orchestrator.merge import merge
from honeyguide_orchestrator.query_evidence import (
    DISLIKED_LOOKS,
    NOTHING_REMEMBERED,
    Remembered,
    expected,
    on_log_scale,
    passed_over,
    remembered_from_proto,
    seen,
    silent,
)

NOW_S = 1_620_000_000.0


def test_what_was_expected_and_what_was_seen_make_the_dirichlet_posterior() -> None:
    prior = np.array([0.6, 0.4])
    gains = seen(np.array([0.0, 4.0], np.float32), 4.0, prior)
    posterior = prior * np.exp(gains * math.log(100))
    assert posterior == pytest.approx([2 * 0.6 / 6, (2 * 0.4 + 4) / 6])
    assert seen(np.array([-3.0], np.float32), 0.0, np.array([0.5])) == pytest.approx([0.0])


def test_a_document_nobody_expected_is_a_bounded_surprise() -> None:
    (gain,) = seen(np.array([1.0], np.float32), 1.0, np.array([0.0]))
    assert gain == pytest.approx(math.log((2 + 1_000) / 3) / math.log(100))


def test_match_counts_by_popularity_and_mixes_with_memory() -> None:
    standing, popularity = np.array([1.0, 1.0, 0.5, 0.0], np.float32), np.array([0.0, 1.0, 0.0, 50.0])
    alone = expected(np.zeros(4, np.float32), 0.0, standing, popularity)
    assert alone[1] == pytest.approx(2 * alone[0])
    assert alone[0] == pytest.approx(math.exp(3) * alone[2])
    assert alone[3] == 0.0
    assert alone.sum() == pytest.approx(1.0)
    mixed = expected(np.array([0, 0, 0, 0.5], np.float32), 1.0, standing, popularity)
    assert mixed == pytest.approx(0.3 * alone + [0, 0, 0, 0.35])
    unsure = expected(np.array([0, 0, 0, 0.1], np.float32), 0.2, standing, popularity)
    assert unsure == pytest.approx(0.86 * alone + [0, 0, 0, 0.07])
    remembered = np.array([0.2, 0], np.float32)
    assert expected(remembered, 0.2, np.zeros(2, np.float32), np.zeros(2)) == pytest.approx([0.2, 0])


def test_silence_is_measured_in_actions_waited_for() -> None:
    # Three half-lives ago the favourite had 4 actions in decayed mass: 4 ln 2 a half-life, so 12 ln 2 were to come.
    columns = np.array([[0, 0.5, 9, 0.125, 0], [0, 1, 1, 1.0, 0], [0, 0.25, 0.5, 0.25, 0]], np.float32)
    found = silent(columns, Remembered({"a": 0, "b": 1, "c": 2}, columns))
    assert 4 * math.log(8) > 6
    assert found[0] == 1.0
    assert found[1] == 0.0
    assert found[2] == 0.0  # one action, and ln 4 waited for
    some = np.array([[0, 1.5, 2, 0.5, 0], [0, 1, 1, 1.0, 0]], np.float32)
    (waited, _) = silent(some, Remembered({"a": 0, "b": 1}, some))
    assert waited == pytest.approx((3 * math.log(2) - 2) / 4)
    assert silent(np.zeros((2, 5), np.float32), NOTHING_REMEMBERED).tolist() == [0.0, 0.0]


def test_a_document_is_passed_over_by_those_who_looked_and_did_not_act() -> None:
    known = np.zeros((4, 5), np.float32)
    known[:, 2], known[:, 4] = [0, 3, 30, -2], [3, 1, 99, 1]
    disliked = math.log(1 + 1 + 2 * DISLIKED_LOOKS)
    assert passed_over(known) == pytest.approx([math.log(4), 0.0, math.log(100 / 31), disliked])


def test_the_log_scale_goes_from_nothing_to_certain() -> None:
    assert on_log_scale(np.array([0.0, 1.0])) == pytest.approx([0.0, 1.0])


def test_memory_speaks_for_documents_that_others_found() -> None:
    message = memory_pb2.RecallResponse(
        document_ids=["y", "gone"],
        feature_names=["recency", "q2e_long", "q2e_short", "q2e_prior", "unheard of", "q2e_shown"],
        features=np.array([[0.5, 3, 2, 0.25, 9, 7], [0.1, 1, 1, 0.75, 9, 0]], "<f4").tobytes(),
    )
    remembered = remembered_from_proto(message)
    assert remembered.totals.tolist() == [3.0, 4.0]
    found = Candidates(["x", "y"], np.array([2.0, 1.0], np.float32), ["film", "film"])
    merged = merge({"lexical.bm25": found}, remembered)
    actions = DocumentActions()
    actions.learn("x", 1.0, NOW_S)
    features = candidate_features(merged, Understanding(), Taste(), {}, NOW_S, actions)
    names = feature_names(merged.strategies)
    x, y = (dict(zip(names, row.tolist(), strict=True)) for row in features)
    assert y["recency"] == pytest.approx(0.5)
    assert (x["q2e_latest"], y["q2e_latest"]) == (0.0, 1.0)
    assert remembered.latest(["gone", "x"]).tolist() == [0.5, 0.0]
    assert y["q2e_actions"] == pytest.approx(math.log1p(3) / 3)
    assert y["q2e_short"] > 0 > x["q2e_short"]
    assert x["q2e_long"] == pytest.approx(math.log(2 / 6) / math.log(100))
    assert (x["q2e_passed_over"], y["q2e_passed_over"]) == (0.0, pytest.approx(math.log(8 / 4)))
    assert x["actions_day"] == pytest.approx(math.log(2) / 3)
    assert 0 < x["expected"] < 1
    assert y["actions_long"] == 0
    blind, kept = without_query_memory(features, names)
    assert kept.all()
    assert not blind[:, [names.index(name) for name in ("q2e_short", "q2e_long", "recency", "q2e_passed_over")]].any()


def test_a_step_that_does_not_know_the_query_expects_what_one_of_a_new_query_would() -> None:
    found = Candidates(["x", "y"], np.array([2.0, 1.0], np.float32), ["film", "film"])
    columns = np.array([[0.9, 8.0, 9.0, 1.0, 0.0]], np.float32)  # words of the query say y since people chose y for it
    remembered, actions = Remembered({"y": 0}, columns), DocumentActions()
    for _ in range(9):
        actions.learn("y", 1.0, NOW_S)
    lists = {"lexical.bm25": found, "vector.dense": found, "memory.query": found.first(1)}
    merged = merge(lists, remembered)
    names = feature_names(merged.strategies)
    features = candidate_features(merged, Understanding(), Taste(), {}, NOW_S, actions)
    new = merge({name: lists[name] for name in ("lexical.bm25", "vector.dense")})
    wanted = candidate_features(new, Understanding(), Taste(), {}, NOW_S)
    blind, _ = without_query_memory(features, names)
    at, at_new = names.index("expected"), feature_names(new.strategies).index("expected")
    assert features[1, at] > features[0, at]
    assert blind[:, at] == pytest.approx(wanted[:, at_new], abs=1e-6)


def test_a_recall_that_does_not_fit_its_columns_counts_as_none() -> None:
    assert remembered_from_proto(memory_pb2.RecallResponse()) is NOTHING_REMEMBERED
    short = memory_pb2.RecallResponse(document_ids=["y"], feature_names=["q2e_prior"], features=b"")
    assert remembered_from_proto(short) is NOTHING_REMEMBERED
    wrong = memory_pb2.RecallResponse(
        document_ids=["y"], feature_names=["q2e_prior"], features=np.array([np.nan], "<f4").tobytes()
    )
    assert remembered_from_proto(wrong) is NOTHING_REMEMBERED
    assert Remembered().of(["y"]).tolist() == [[0.0] * 5]


def test_actions_fade_at_two_half_lives_in_any_order() -> None:
    early, late = NOW_S, NOW_S + DAY_S
    forwards, backwards = DocumentActions(), DocumentActions()
    for actions, times in ((forwards, (early, late)), (backwards, (late, early))):
        for time_s in times:
            actions.learn("x", 1.0, time_s)
    actions.learn("x", -1.0, late)
    expected_then = [[1.5, 1 + 2 ** (-1 / 42)], [0, 0]]
    for actions in (forwards, backwards, DocumentActions.from_state(forwards.to_state())):
        assert actions.of(["x", "unknown"], late) == pytest.approx(np.array(expected_then))
    assert forwards.of(["x"], late + DAY_S)[0, 0] == pytest.approx(0.75)
    assert forwards.of(["x"], early)[0, 0] == pytest.approx(1.5)


def test_actions_are_bounded_and_keep_what_is_acted_on_most() -> None:
    actions = DocumentActions()
    for i in range(2 * DOCUMENTS_MAX):
        actions.learn(f"d{i}", 1.0, NOW_S + i)
        actions.learn("much", 1.0, NOW_S + i)
    assert len(actions.masses) <= DOCUMENTS_MAX + DOCUMENTS_MAX // 4
    assert "much" in actions.masses
    assert "d0" not in actions.masses


@pytest.mark.parametrize("days", [10, 80, 200, 370])
def test_silence_does_not_end_because_it_is_long(days: int) -> None:
    """Twenty actions and then none, with a short half-life of three days, while another document was acted on today."""
    decayed = 2.0 ** (-days / 3)
    columns = np.array([[0, 20 * decayed, 20 * 2.0 ** (-days / 60), decayed, 0], [0, 1, 1, 1.0, 0]], np.float32)
    found = silent(columns, Remembered({"a": 0, "b": 1}, columns))
    assert found[0] == 1.0

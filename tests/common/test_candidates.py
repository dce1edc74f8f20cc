"""Candidates as columns, there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.api.retrieval.v1 import retriever_pb2 as pb
from honeyguide.candidates import NO_CANDIDATES, Candidates, candidates_from_proto, candidates_to_proto

FLOATS = st.floats(-1e6, 1e6, width=32)


@st.composite
def candidates(draw: st.DrawFn) -> Candidates:
    ids = draw(
        st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1), unique=True, max_size=8)
    )
    column = st.lists(FLOATS, min_size=len(ids), max_size=len(ids)).map(lambda c: np.array(c, np.float32))
    return Candidates(
        ids,
        draw(column),
        draw(st.lists(st.sampled_from(["film", "person", ""]), min_size=len(ids), max_size=len(ids))),
        draw(st.dictionaries(st.sampled_from(["popularity", "q2e", "mine"]), column)) if ids else {},
        draw(st.integers(0, 10**6)),
    )


@given(candidates())
def test_round_trip(sent):
    wire = candidates_to_proto("fruit.letters", sent).SerializeToString()
    message = pb.StrategyCandidates.FromString(wire)
    got = candidates_from_proto(message)
    assert (message.strategy, message.status) == ("fruit.letters", pb.STRATEGY_STATUS_OK)
    assert (list(got.document_ids), got.types, got.total_matched) == (sent.document_ids, sent.types, sent.total_matched)
    assert got.scores.tolist() == sent.scores.tolist()
    assert {name: column.tolist() for name, column in got.features.items()} == {
        name: column.tolist() for name, column in sent.features.items()
    }


def test_none():
    assert len(NO_CANDIDATES) == 0
    assert len(candidates_from_proto(candidates_to_proto("x", NO_CANDIDATES))) == 0


def test_candidates_of_too_many_types_are_cut():
    ids = [f"d{i}" for i in range(300)]
    many = Candidates(ids, np.zeros(300, np.float32), [f"t{i % 280}" for i in range(300)], {"q2e": np.ones(300, "f4")})
    got = candidates_from_proto(candidates_to_proto("x", many))
    assert list(got.document_ids) == ids[:256]
    assert got.types[-1] == "t255"
    assert len(got.features["q2e"]) == 256


def test_types_may_be_left_out():
    message = pb.StrategyCandidates(document_ids=["a", "b"], scores=np.ones(2, "<f4").tobytes())
    assert candidates_from_proto(message).types == ["", ""]


def test_the_longest_ids_that_a_document_may_have():
    ids = ["x" * 512, "é" * 256, "\U0001f41d" * 128, "a\u200bb"]
    message = pb.StrategyCandidates(document_ids=ids, scores=floats(4, 3, 2, 1))
    assert candidates_from_proto(message).document_ids == ids


def floats(*numbers: float) -> bytes:
    return np.array(numbers, "<f4").tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"scores": floats(1)},
        {"scores": floats(1, 2, 3)},
        {"scores": floats(1, 2)[:-1]},
        {"scores": floats(1, np.nan)},
        {"scores": floats(np.inf, 1)},
        {"scores": floats(3e38, 1)},
        {"document_ids": ["a", "a"]},
        {"document_ids": ["a", ""]},
        {"document_ids": ["a", "x" * 513]},
        {"document_ids": ["a", "é" * 257]},
        {"document_ids": ["a", "b\nc"]},
        {"type_indexes": b"\0"},
        {"type_indexes": b"\0\1"},
        {"types": []},
        {"features": floats(1)},
        {"features": floats(1, 2, 3)},
        {"features": floats(1, np.nan)},
        {"features": floats(1, -2e30)},
        {"feature_names": []},
        {"feature_names": ["a", "b"]},
    ],
)
def test_columns_that_do_not_fit_are_an_error(wrong):
    right = {
        "document_ids": ["a", "b"],
        "scores": floats(2, 1),
        "types": ["film"],
        "type_indexes": b"\0\0",
        "feature_names": ["popularity"],
        "features": floats(5, 6),
    }
    assert len(candidates_from_proto(pb.StrategyCandidates(**right))) == 2
    with pytest.raises(ValueError, match=r"fit together|size|twice|not a number|beyond|document_ids\[1\]"):
        candidates_from_proto(pb.StrategyCandidates(**(right | wrong)))

import numpy as np
import pytest

from honeyguide.candidates import Candidates
from honeyguide.query import Interpretation, Taste, Understanding
from honeyguide_orchestrator.candidate_features import candidate_features, feature_names
from honeyguide_orchestrator.merge import merge
from honeyguide_orchestrator.ranker import RANKERS, RankerModel, order_of
from honeyguide_orchestrator.ranker_evidence import Advantage, GateEvidence, RankerEvidence

BM25 = Candidates(
    ["x", "y"], np.array([9.0, 3.0], np.float32), ["film", "film"], {"popularity": np.array([4, 0], "f4")}
)
DENSE = Candidates(["y", "z"], np.array([0.9, 0.8], np.float32), ["", "person"], {"q2e": np.array([0.5, 0], "f4")})


def test_merge_keeps_who_found_what() -> None:
    merged = merge({"lexical.bm25": BM25, "vector.dense": DENSE})
    assert merged.document_ids == ("x", "y", "z")
    assert merged.types == ("film", "film", "person")
    assert merged.ranks.tolist() == [[1, 0], [2, 1], [0, 2]]
    assert merged.scores == pytest.approx(np.array([[9, 0], [3, 0.9], [0, 0.8]]))
    assert merged.shared["popularity"].tolist() == [4, 0, 0]
    assert merged.shared["q2e"].tolist() == [0, 0.5, 0]


def test_nothing_merges_to_nothing() -> None:
    merged = merge({})
    assert len(merged) == 0
    assert candidate_features(merged, Understanding(), Taste(), {}, 0.0).shape == (0, len(feature_names(())))


def test_features_by_hand() -> None:
    merged = merge({"lexical.bm25": BM25, "vector.dense": DENSE})
    understanding = Understanding(interpretations=(Interpretation(0.7, types=("person",), document_ids=("z",)),))
    features = candidate_features(merged, understanding, Taste(("x",)), {"film": 0.25}, 0.0)
    names = feature_names(merged.strategies)
    rows = {id: dict(zip(names, row.tolist(), strict=True)) for id, row in zip("xyz", features, strict=True)}
    assert rows["y"]["agreement"] == 1.0
    assert rows["x"]["agreement"] == 0.5
    assert rows["y"]["lexical.bm25:reciprocal_rank"] == pytest.approx(61 / 62)
    assert rows["z"]["lexical.bm25:found"] == 0.0
    assert rows["x"]["lexical.bm25:score"] == pytest.approx(1.0)
    assert rows["y"]["lexical.bm25:score"] == pytest.approx(0.05)
    assert rows["z"]["named"] == pytest.approx(0.7)
    assert rows["z"]["type_meant"] == pytest.approx(0.7)
    assert rows["x"]["type_affinity"] == 0.25
    assert rows["x"]["acted_on"] == 1.0
    assert rows["x"]["popularity"] == pytest.approx(0.5)
    assert rows["y"]["popularity"] == pytest.approx(-0.5)
    assert rows["z"]["popularity"] == 0.0


def test_leading_a_list_that_is_not_of_the_query_is_no_best_rank() -> None:
    merged = merge({"lexical.bm25": BM25, "memory.popular": DENSE, "related.entities": DENSE, "shop.own": DENSE})
    names = feature_names(merged.strategies)
    best = candidate_features(merged, Understanding(), Taste(), {}, 0.0)[:, names.index("best_rank")]
    assert best.tolist() == [1.0, 1.0, 0.5]
    without = merge({"lexical.bm25": BM25, "memory.popular": DENSE})
    best = candidate_features(without, Understanding(), Taste(), {}, 0.0)[:, names.index("best_rank")]
    assert best.tolist() == [1.0, 0.5, 0.0]


def test_fusion_is_reciprocal_rank_fusion() -> None:
    merged = merge({"lexical.bm25": BM25, "vector.dense": DENSE})
    features = candidate_features(merged, Understanding(), Taste(), {}, 0.0)
    scores = features @ RANKERS["fusion"].weights(merged.strategies, RankerModel({}))
    assert scores == pytest.approx([61 / 61, 61 / 62 + 61 / 61, 61 / 62])
    assert order_of(scores).tolist() == [1, 0, 2]


def test_the_gate_serves_the_prior_until_the_learned_weights_earned_it() -> None:
    learned = {"lexical.bm25:top": -9.0}
    earned = RankerEvidence(linear_over_prior=Advantage(mean=0.1, ahead=True))
    closed = RANKERS["gated"].weights(("lexical.bm25",), RankerModel(learned))
    opened = RANKERS["gated"].weights(("lexical.bm25",), RankerModel(learned, evidence=GateEvidence(new=earned)))
    at = feature_names(("lexical.bm25",)).index("lexical.bm25:top")
    assert closed[at] > 0
    assert opened[at] == -9.0

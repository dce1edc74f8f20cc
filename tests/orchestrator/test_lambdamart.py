import builtins
import json
from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np
import pytest

from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.candidate_features import feature_names
from honeyguide_orchestrator.example import Example
from honeyguide_orchestrator.lambdamart import GROUPS_MAX, Groups, fit
from honeyguide_orchestrator.ranker import RANKERS, RankerModel, check_available
from honeyguide_orchestrator.ranker_evidence import GateEvidence, RankerEvidence, earned
from honeyguide_orchestrator.ranker_learner import REFIT_MIN, RankerLearner
from honeyguide_orchestrator.ranker_prior import prior_weight
from honeyguide_orchestrator.trees import HEAD, Trees, why_unavailable

STRATEGIES = ("lexical.bm25", "vector.dense")
NAMES = feature_names(STRATEGIES)
NEWNESS = NAMES.index("newness")

needs_lightgbm = pytest.mark.skipif(bool(why_unavailable()), reason=why_unavailable() or "LightGBM is here")


def middling(seed: int, rows: int = 12) -> tuple[np.ndarray, int]:
    """Rows of which one is neither new nor old, all others one or the other: no weight tells it from them."""
    rng = np.random.default_rng(seed)
    features = np.zeros((rows, len(NAMES)), np.float32)
    features[:, NAMES.index("lexical.bm25:found")] = 1
    features[:, NEWNESS] = rng.uniform(0, 0.3, rows) + 0.7 * rng.integers(2, size=rows)
    wanted = int(rng.integers(rows))
    features[wanted, NEWNESS] = rng.uniform(0.4, 0.6)
    return features, wanted


def example(i: int) -> Example:
    features, wanted = middling(i)
    return Example(f"d{i}", f"query {i % 150}", NAMES, features, 12, wanted + 1, 1.0)


def learn(learner: RankerLearner, i: int) -> None:
    (trees_earn,) = learner.trees_earn([example(i)])
    learner.learn(example(i), i, trees_earn)


@pytest.fixture(scope="module")
def learner() -> RankerLearner:
    made = RankerLearner()
    for i in range(400):
        learn(made, i)
    made.refit()
    return made


def worth(ranker: str, model: RankerModel) -> float:
    held = [middling(i) for i in range(1_000, 1_100)]
    return float(np.mean([earned(RANKERS[ranker].scores(rows, STRATEGIES, model), wanted) for rows, wanted in held]))


@needs_lightgbm
def test_learns_a_rule_that_no_weights_can_say(learner: RankerLearner) -> None:
    model = learner.model()
    assert worth("linear", model) < 0.6
    assert worth("lambdamart", model) > 0.95


@needs_lightgbm
def test_serves_once_evidence_is_for_it(learner: RankerLearner) -> None:
    made = RankerLearner.from_state(json.loads(json.dumps(learner.to_state())))
    assert made.model().serving(known=False) != "lambdamart"
    for i in range(400, 600):
        learn(made, i)
    model = made.model()
    assert model.serving(known=False) == "lambdamart"
    assert worth("gated", model) == worth("lambdamart", model)
    assert model.advantage > 0.2


@needs_lightgbm
def test_the_same_actions_give_the_same_trees(learner: RankerLearner) -> None:
    again = RankerLearner()
    for i in range(400):
        learn(again, i)
    again.refit()
    assert again.trees is not None
    assert learner.trees is not None
    assert again.trees.packed == learner.trees.packed


@needs_lightgbm
def test_restored_from_its_state_it_predicts_the_same(learner: RankerLearner) -> None:
    trees = learner.trees
    assert trees is not None
    again = Trees.from_state(json.loads(json.dumps(trees.to_state())))
    rows, _ = middling(5)
    assert np.array_equal(again.scores(rows, NAMES), trees.scores(rows, NAMES))


@needs_lightgbm
def test_strategies_unknown_then_or_not_asked_now_are_no_obstacle(learner: RankerLearner) -> None:
    trees = learner.trees
    assert trees is not None
    rows, _ = middling(5)
    fewer, more = feature_names(STRATEGIES[:1]), feature_names((*STRATEGIES, "own.new"))
    expected = trees.scores(rows, NAMES)
    assert trees.scores(rows[:, : len(fewer)], fewer) == pytest.approx(expected, abs=1e-5)
    wide = np.zeros((len(rows), len(more)), np.float32)
    wide[:, : len(NAMES)] = rows
    assert trees.scores(wide, more) == pytest.approx(expected, abs=1e-5)
    wide[0, more.index("own.new:reciprocal_rank")] = 1.0
    added = prior_weight("own.new:reciprocal_rank")
    assert trees.scores(wide, more)[0] == pytest.approx(expected[0] + added, abs=1e-5)


@needs_lightgbm
def test_contributions_add_up_to_the_score_but_for_a_constant(learner: RankerLearner) -> None:
    rows, _ = middling(5)
    model = learner.model()
    parts = RANKERS["lambdamart"].contributions(rows, STRATEGIES, model)
    rest = RANKERS["lambdamart"].scores(rows, STRATEGIES, model) - parts.sum(axis=1)
    assert parts.shape == rows.shape
    assert rest == pytest.approx(np.full(len(rows), rest[0]), abs=1e-4)
    weights = RANKERS["lambdamart"].weights(STRATEGIES, model)
    assert weights.argmax() == NEWNESS


@needs_lightgbm
def test_what_stands_far_down_keeps_the_linear_order_below_the_rest(learner: RankerLearner) -> None:
    trees = learner.trees
    assert trees is not None
    rng = np.random.default_rng(3)
    rows = np.zeros((HEAD + 40, len(NAMES)), np.float32)
    rows[:, NAMES.index("lexical.bm25:score")] = rng.random(len(rows))
    rows[:, NEWNESS] = rng.integers(2, size=len(rows))
    scores, linear = trees.scores(rows, NAMES), RANKERS["linear"].scores(rows, STRATEGIES, RankerModel(trees.base))
    by_linear = np.argsort(-linear, kind="stable")
    assert scores[by_linear[:HEAD]].min() >= scores[by_linear[HEAD:]].max()
    assert np.all(np.diff(scores[by_linear[HEAD:]]) <= 0)


@needs_lightgbm
def test_several_searches_at_once_score_as_one_by_one(learner: RankerLearner) -> None:
    trees = learner.trees
    assert trees is not None
    fewer = feature_names(STRATEGIES[:1])
    searches = [(middling(1, 7)[0], NAMES), (middling(2, 3)[0][:, : len(fewer)], fewer), (middling(3)[0], NAMES)]
    for (features, names), scores in zip(searches, trees.scores_of_each(searches), strict=True):
        assert np.array_equal(scores, trees.scores(features, names))


@needs_lightgbm
def test_nothing_to_gain_no_trees() -> None:
    made = RankerLearner()
    for i in range(200):
        features, wanted = middling(i)
        features[wanted, NAMES.index("lexical.bm25:score")] = 1.0
        features[:, NEWNESS] = 0.0
        made.learn(Example(f"d{i}", f"query {i}", NAMES, features, 12, wanted + 1, 1.0), i, None)
    made.refit()
    assert made.trees is None
    assert worth("lambdamart", made.model()) == worth("linear", made.model())


@needs_lightgbm
def test_a_fit_that_is_stopped_gives_none(learner: RankerLearner) -> None:
    stop = Event()
    stop.set()
    assert fit(dict(learner.groups.kept), {}, lambda position: 1.0, 400, stop) is None


@needs_lightgbm
def test_due_after_enough_actions_and_again_after_a_quarter_more(learner: RankerLearner) -> None:
    assert not learner.refit_due
    assert not RankerLearner(actions=REFIT_MIN - 1).refit_due
    assert RankerLearner(actions=REFIT_MIN).refit_due
    assert not RankerLearner(actions=2_499, fitted_at=2_000).refit_due
    assert RankerLearner(actions=2_500, fitted_at=2_000).refit_due
    assert RankerLearner(actions=105_000, fitted_at=100_000).refit_due


def test_several_actions_on_a_decision_are_one_group() -> None:
    groups = Groups()
    rows = np.zeros((40, len(NAMES)), np.float32)
    groups.add(Example("d", "q", NAMES, rows, 10, 3, 0.5))
    groups.add(Example("d", "q", NAMES, rows, 40, 35, 1.0))
    groups.add(Example("d", "q", NAMES, rows, 10, 3, 0.2))
    (group,) = groups.kept.values()
    assert group.graded == {2: 0.5, 34: 1.0}
    assert len(group.features) == 40


def test_the_oldest_groups_leave_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honeyguide_orchestrator.lambdamart.GROUPS_MAX", 3)
    assert GROUPS_MAX > 3
    groups, earlier = Groups(), Groups()
    for i in range(4):
        groups.add(example(i))
    assert list(groups.kept) == ["d1", "d2", "d3"]
    earlier.add(example(9))
    groups.follow(earlier)
    assert list(groups.kept) == ["d1", "d2", "d3"]
    groups.kept.popitem()
    groups.follow(earlier)
    assert list(groups.kept) == ["d9", "d1", "d2"]


@pytest.fixture
def no_lightgbm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    plain = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name == "lightgbm":
            raise OSError("libgomp.so.1: cannot open shared object file")
        return plain(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    why_unavailable.cache_clear()
    yield
    monkeypatch.undo()
    why_unavailable.cache_clear()


@pytest.mark.usefixtures("no_lightgbm")
def test_without_lightgbm_the_best_of_the_others_serves(learner: RankerLearner) -> None:
    with pytest.raises(InvalidArgument, match=r"ranker: 'lambdamart' .* libgomp\.so\.1"):
        check_available("lambdamart")
    check_available("gated")
    evidence = RankerEvidence()
    for _ in range(100):
        evidence.weigh(prior=0.5, linear=0.6, trees=0.8, weight=1.0)
    model = RankerModel({}, Trees("not read", (), {}, 1, 1), GateEvidence(evidence, evidence))
    assert model.serving(known=False) == "linear"
    rows, _ = middling(1)
    for ranker in ("gated", "lambdamart"):
        assert np.array_equal(
            RANKERS[ranker].scores(rows, STRATEGIES, model), RANKERS["linear"].scores(rows, STRATEGIES, model)
        )
    learning = RankerLearner(trees=model.trees, actions=10_000)
    learn(learning, 0)
    assert not learning.refit_due
    assert learning.evidence.new.trees_over_prior.events == 0


def test_what_was_acted_on_before_and_after_a_restart_is_kept_of_both() -> None:
    before, after = Groups(), Groups()
    first = example(1)
    before.add(replace(first, position=2))
    before.add(example(2))
    after.add(replace(first, position=5))
    after.follow(before)
    assert list(after.kept) == ["d2", "d1"]
    assert dict(after.kept["d1"].graded) == {1: 1.0, 4: 1.0}


def test_nothing_is_fitted_of_nothing() -> None:
    assert fit({}, {}, lambda position: 1.0, 0, Event()) is None

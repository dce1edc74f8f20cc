import json
import math
from dataclasses import replace

import numpy as np
import pytest
from tests.orchestrator.decision_records import decision_record

from honeyguide_orchestrator.candidate_features import feature_names, is_known
from honeyguide_orchestrator.example import ROWS_MAX, Example, without_query_memory
from honeyguide_orchestrator.experiment import Mode, Trial, Variant
from honeyguide_orchestrator.ranker_evidence import EVIDENCE_MIN
from honeyguide_orchestrator.ranker_learner import (
    AVERAGE_DECAY,
    AVERAGE_MEMORY,
    PULL,
    STEP,
    LinearLearner,
    RankerLearner,
    Scale,
    looked_at,
)
from honeyguide_orchestrator.ranker_prior import prior_weight

NAMES = ("lexical.bm25:top", "vector.dense:top", "q2e")


def example(rows: list[list[float]], row: int, names: tuple[str, ...] = NAMES, id: str = "d") -> Example:
    return Example(id, "halo", names, np.array(rows, np.float32), max(10, len(rows)), row + 1, 1.0)


def misled() -> LinearLearner:
    """A learner that has learned the opposite of what the prior believes."""
    names = ("lexical.bm25:top",)
    plain = {"steps": -5.0, "learned": -5.0, "sums": 1e9}
    state = LinearLearner().to_state()
    return LinearLearner.from_state({**state, **{key: dict.fromkeys(names, value) for key, value in plain.items()}})


class PlainLearner:
    """The linear learner feature by feature, as its formulas are written: what the one on arrays must agree with."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self.learned: dict[str, float] = {}
        self.sums: dict[str, float] = {}
        self.count = 0
        self.scales = (Scale(), Scale())

    def learn(self, example: Example, weight: float, seed: int) -> None:
        rows, wanted = example.features[: max(example.shown, ROWS_MAX)], example.row
        if seed % 2:
            rows, kept = without_query_memory(rows, example.names)
            if not kept[wanted]:
                return
            wanted, rows = int(kept[:wanted].sum()), rows[kept]
        scale = self.scales[0 if is_known(rows, example.names) else 1]
        weights = [self.steps.get(name, prior_weight(name)) for name in example.names]
        scores = [sum(w * f for w, f in zip(weights, row, strict=True)) for row in rows.tolist()]
        odds = [math.exp(scale.value * score) for score in scores]
        chances = [one / sum(odds) for one in odds]
        mean_score = sum(chance * score for chance, score in zip(chances, scores, strict=True))
        factor = weight * scale.value
        self.count += 1
        rate = max((AVERAGE_DECAY + 1) / (self.count + AVERAGE_DECAY), 1 / AVERAGE_MEMORY)
        for k, name in enumerate(example.names):
            mean = sum(chance * row[k] for chance, row in zip(chances, rows.tolist(), strict=True))
            slope = factor * (mean - rows[wanted, k]) + PULL * (weights[k] - prior_weight(name))
            if slope:
                self.sums[name] = self.sums.get(name, 1.0) + slope**2
                self.steps[name] = weights[k] - STEP * slope / self.sums[name] ** 0.5
        scale.learn(factor * (mean_score - scores[wanted]))
        for name, last in self.steps.items():
            before = self.learned.get(name, prior_weight(name))
            self.learned[name] = before + rate * (last - before)


def test_learns_as_the_plain_formula_does_one_feature_after_the_other() -> None:
    rng = np.random.default_rng(0)
    plain, learner = PlainLearner(), LinearLearner()
    answered = (("lexical.bm25",), ("vector.dense", "lexical.bm25"), ("memory.query", "vector.dense"))
    for i in range(400):
        names = feature_names(answered[int(rng.integers(3))])
        rows = rng.random((12, len(names))).astype(np.float32)
        rows[:, rng.random(len(names)) < 0.4] = 0
        one = Example(str(i), "q", names, rows, 10, int(rng.integers(12)) + 1, 1.0)
        for each in (plain, learner):
            each.learn(one, 1.0 + i % 3, i)
        if i == 200:  # what was restored goes on as if nothing had been
            learner = LinearLearner.from_state(json.loads(json.dumps(learner.to_state())))
    unmet = ("vector.dense:top", "of no step:top")
    assert learner.weights_of(unmet).tolist() == pytest.approx([plain.learned[unmet[0]], 0.2], abs=1e-4)
    state = learner.to_state()
    assert state["count"] == plain.count
    assert [scale["log"] for scale in state["scales"]] == pytest.approx([s.log for s in plain.scales], abs=1e-4)
    for told, wanted in (("steps", plain.steps), ("learned", plain.learned), ("sums", plain.sums)):
        assert state[told] == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_looking_falls_with_the_position() -> None:
    assert looked_at(1) == 1.0
    assert looked_at(4) == pytest.approx(4**-0.7)
    assert looked_at(1_000) == 0.15


def test_memory_counts_what_stood_further_down_more_once_swaps_show_that_people_look_down_less() -> None:
    learner = RankerLearner()
    assert learner.memory_weights.of_action(4) == 1.0
    learner.examination.power_shown = 0.4
    assert learner.memory_weights.of_action(1) == 1.0
    assert learner.memory_weights.of_action(4) == pytest.approx(4**0.4)
    assert learner.memory_weights.of_action(1_000) == 2.0
    assert learner.memory_weights.of_action(0) == 1.0  # of a list or a page of somebody else


def test_learns_what_tells_the_wanted_document_and_is_let_to_serve_for_it() -> None:
    learner = RankerLearner()
    rng = np.random.default_rng(0)
    for i in range(400):
        rows = rng.random((10, 3)).astype(np.float32)
        rows[:, 2] = 0
        wanted = int(rows[:, 1].argmax())
        learner.learn(example(rows.tolist(), wanted, id=str(i)), 2 * i, None)
    model = learner.model()
    assert model.weights["vector.dense:top"] > model.weights["lexical.bm25:top"]
    assert model.advantage > 0
    assert model.serving(known=False) == "linear"
    assert model.events == 400


def test_does_not_serve_without_evidence_nor_when_it_is_worse() -> None:
    learner = RankerLearner()
    for i in range(EVIDENCE_MIN - 1):
        learner.learn(example([[1, 0, 0], [0, 1, 0]], 0), 2 * i, None)
    assert not learner.model().serves
    worse = RankerLearner()
    for i in range(EVIDENCE_MIN + 5):
        worse.linear = misled()
        worse.learn(example([[1, 0, 0], [0, 0, 0]], 0), 2 * i, None)
    assert worse.model().advantage < 0
    assert worse.model().serving(known=False) == "prior"


def test_half_of_the_steps_do_not_see_what_memory_knows_of_the_query() -> None:
    blind, seeing = LinearLearner(), LinearLearner()
    rows = [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    blind.learn(example(rows, 0), 1.0, seed=1)
    seeing.learn(example(rows, 0), 1.0, seed=2)
    assert "q2e" not in blind.learned
    assert seeing.learned["q2e"] > 0


def test_without_the_querys_memory_the_summaries_of_the_lists_change_too() -> None:
    names = ("agreement", "best_rank", "q2e", "lexical.bm25:found", "lexical.bm25:top", "memory.query:found")
    names = (*names, "memory.query:top")
    both, memory_only = [1.0, 1.0, 0.8, 1.0, 0.5, 1.0, 1.0], [0.5, 0.5, 0.2, 0.0, 0.0, 1.0, 0.5]
    rows, kept = without_query_memory(np.array([both, memory_only], np.float32), names)
    assert rows[0].tolist() == [0.5, 0.5, 0, 1, 0.5, 0, 0]
    assert kept.tolist() == [True, False]


def test_a_step_without_memory_learns_nothing_from_a_document_that_only_memory_found() -> None:
    learner = LinearLearner()
    names = ("lexical.bm25:found", "memory.query:found")
    learner.learn(example([[1, 0], [0, 1]], 1, names), 1.0, seed=1)
    assert learner.to_state() == LinearLearner().to_state()


def test_an_action_far_down_weighs_more() -> None:
    near, far = RankerLearner(), RankerLearner()
    rows = [[0.0, 0.0, 0.0]] * 9 + [[1.0, 0.0, 0.0]]
    near.learn(example(rows[-1:] + rows[:-1], 0), 2, None)
    far.learn(example(rows, 9), 2, None)
    sums = (one.linear.to_state()["sums"]["lexical.bm25:top"] for one in (far, near))
    assert next(sums) > next(sums)


def test_what_serves_is_the_average_of_the_steps() -> None:
    learner = LinearLearner()
    learner.learn(example([[0, 0, 0], [1, 0, 0]], 1), 1.0, 2)
    assert learner.learned == learner.to_state()["steps"]
    first = learner.learned["lexical.bm25:top"]
    learner.learn(example([[0, 0, 0], [1, 0, 0]], 1), 1.0, 2)
    # Rate (3 + 1) / (2 + 3).
    assert learner.learned["lexical.bm25:top"] == pytest.approx(
        first + 0.8 * (learner.to_state()["steps"]["lexical.bm25:top"] - first)
    )


def test_a_ranker_too_sure_of_itself_learns_its_scale_and_keeps_its_weights() -> None:
    learner = LinearLearner()
    rng = np.random.default_rng(0)
    for i in range(2_000):
        # The prior's weights order well, but half of the actions are on any document: far less sure than it is.
        rows = rng.random((10, 2)).astype(np.float32) * 30
        wanted = int((rows @ [0.2, 0.2]).argmax()) if rng.random() < 0.5 else int(rng.integers(10))
        learner.learn(example(rows.tolist(), wanted, NAMES[:2], str(i)), 1.0, 2 * i)
    known, new = (scale.value for scale in learner.scales)
    assert known == 1.0
    assert new < 0.7
    bm25, dense = (learner.learned[name] for name in NAMES[:2])
    assert bm25 == pytest.approx(dense, abs=0.1)


def test_restored_from_its_state_it_learns_on_identically() -> None:
    learner = RankerLearner()
    learner.learn(example([[1, 0, 0], [0, 1, 0]], 1), 2, None)
    again = RankerLearner.from_state(json.loads(json.dumps(learner.to_state())))
    for one in (learner, again):
        one.learn(example([[1, 0, 0], [0, 1, 0]], 0, id="e"), 4, None)
    assert learner.to_state() == again.to_state()


def test_known_and_new_queries_are_judged_apart() -> None:
    learner = RankerLearner()
    names = ("lexical.bm25:top", "q2e_actions")
    for i in range(2 * EVIDENCE_MIN):
        learner.linear = misled()
        for actions, wanted in ((0.0, 0), (1.0, 1)):
            rows = np.array([[1, actions], [0, actions]], np.float32)
            learner.learn(Example("d", "q", names, rows, 2, wanted + 1, 1.0), 2 * i, None)
    model = learner.model()
    assert (model.serving(known=False), model.serving(known=True)) == ("prior", "linear")
    assert model.serves
    again = RankerLearner.from_state(json.loads(json.dumps(learner.to_state()))).model()
    assert (again.serving(known=False), again.serving(known=True)) == ("prior", "linear")
    assert again.events == 4 * EVIDENCE_MIN


def test_interleaved_pages_tell_nothing_of_position_bias() -> None:
    learner = RankerLearner()
    page = decision_record(document_ids=("a", "b"), scores=np.array([1.0, 0.9], np.float32))
    trial = Trial("x", Mode.INTERLEAVE, Variant(), Variant(), "", 0, (1, 2))
    before = json.dumps(learner.examination.to_state())
    learner.closed(replace(page, trial=trial), {"b"})
    assert json.dumps(learner.examination.to_state()) == before
    learner.closed(page, {"b"})
    assert json.dumps(learner.examination.to_state()) != before


def test_what_a_page_was_filled_with_tells_nothing_of_position_bias() -> None:
    """No swap ever moves it: only the two that were decided may be compared with swapped ones."""
    decided = decision_record(document_ids=("a", "b"), scores=np.array([1.0, 0.9], np.float32))
    filled = replace(
        decided,
        document_ids=("a", "b", "c", "d"),
        scores=np.array([1.0, 0.9, -0.1, -1.1], np.float32),
        filled=(("lexical.bm25", 1), ("lexical.bm25", 2)),
        page_size=4,
    )
    alone, learner = RankerLearner(), RankerLearner()
    alone.closed(decided, {"a"})
    learner.closed(filled, {"a", "c"})
    assert learner.examination.to_state() == alone.examination.to_state()
    lone = replace(filled, filled=(("lexical.bm25", 1), ("lexical.bm25", 2), ("lexical.bm25", 3)))
    learner.closed(lone, {"a"})
    assert learner.examination.to_state() == alone.examination.to_state()

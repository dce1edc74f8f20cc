"""Policies evaluated on decision logs of a small world whose truth is known: every allocation can be played."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import msgspec
import numpy as np
import pytest
from tests.orchestrator.decision_records import decision_record

from honeyguide.errors import InvalidArgument
from honeyguide.retriever import Strategy
from honeyguide_orchestrator.allocation_model import AllocationModel, Costs
from honeyguide_orchestrator.candidate_features import GENERAL, feature_names
from honeyguide_orchestrator.decision_log import DecisionRecord, LoggedStrategy, decode, encode
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.experiment import Mode, Trial, Variant
from honeyguide_orchestrator.export import dsjson_line, json_line
from honeyguide_orchestrator.fanout import Status
from honeyguide_orchestrator.learned import Learned, LearnedModels
from honeyguide_orchestrator.off_policy.decisions import DecisionSample, LoggedDecision
from honeyguide_orchestrator.off_policy.log_file import (
    LogHead,
    decision_line,
    head_line,
    is_decision_log,
    read_decisions,
    read_head,
)
from honeyguide_orchestrator.off_policy.report import Evaluated, Verdict, evaluate_decisions
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.policy import Draw, Policy, PolicyOptions, Situation
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.ranker import RANKERS, Fusion, RankerModel
from honeyguide_orchestrator.situation import FEATURES
from honeyguide_orchestrator.snapshot import Snapshot

DEPTHS = (2, 5)
STRATEGIES = (
    Strategy("lexical.bm25", "", dependable=True),
    Strategy("memory.query", ""),
    Strategy("vector.dense", "", depth_max=4),
)
NAMES = tuple(strategy.name for strategy in STRATEGIES)
PRICES = Prices(0.05, 0.005)
OPTIONS = PolicyOptions(
    Costs.of(DEPTHS, PRICES.call, PRICES.candidate),
    exploration_share=0.6,
    exploration_share_known=0.6,
    gamma=5.0,
    warm_up=0.0,
    epsilon=0.6,
)
LEARNED: Learned = LearnedModels(DEPTHS).current(STRATEGIES)
LISTS = [[f"{name}-{i}" for i in range(5)] for name in "abc"]


FILLER = LoggedStrategy("lexical.bm25", 20, 1.0, Status.OK, 4, 0.0)
"""There are too few documents for a page: it is filled in vain."""


def always(position: int) -> float:
    return 1.0


@dataclass(frozen=True)
class Need:
    """Somebody wants a document that strategy s has at rank `ranks[s]` (0 = not at all)."""

    ranks: tuple[int, int, int]

    def lists(self, depths: Mapping[str, int]) -> dict[str, list[str]]:
        lists = {}
        for s, name in enumerate(NAMES):
            own = list(LISTS[s])
            if self.ranks[s]:
                own.insert(self.ranks[s] - 1, "wanted")
            if depths.get(name):
                lists[name] = own[: depths[name]]
        return lists


def depths_of(rungs: np.ndarray) -> dict[str, int]:
    ladder = (0, *DEPTHS)
    return {one.name: min(ladder[r], one.depth_max) for one, r in zip(STRATEGIES, rungs, strict=True) if r}


def search(need: Need, draw: Draw, situation: Situation, id: str = "d") -> LoggedDecision:
    """What the searcher would log, and the click on the wanted document if it is on the page."""
    lists = need.lists(depths_of(draw.rungs))
    answered = tuple(lists)
    documents = list(dict.fromkeys(document for found in lists.values() for document in found))
    ranks = np.array([[found.index(d) + 1 if d in found else 0 for found in lists.values()] for d in documents])
    ranks = ranks.reshape(len(documents), len(answered)).astype(np.int16)
    names = feature_names(answered)
    features = np.zeros((len(documents), len(names)), np.float32)
    for s, strategy in enumerate(answered):
        found = ranks[:, s] > 0
        features[found, names.index(f"{strategy}:found")] = 1
        features[found, names.index(f"{strategy}:reciprocal_rank")] = 61 / (60 + ranks[found, s])
        features[found, names.index(f"{strategy}:top")] = 1 / ranks[found, s]
    features[:, GENERAL.index("agreement")] = (ranks > 0).mean(axis=1) if len(answered) else 0
    scores = Fusion().scores(features, answered, RankerModel({}))
    order = np.argsort(-scores, kind="stable")
    shown = tuple(documents[i] for i in order)
    record = decision_record(
        id,
        answered=answered,
        document_ids=shown,
        propensity=draw.propensity,
        propensity_estimated=draw.estimated,
        strategies=tuple(
            LoggedStrategy(
                name,
                depths_of(draw.rungs).get(name, 0),
                float(draw.propensities[s]),
                Status.OK if name in lists else Status.NOT_ASKED,
                len(lists.get(name, ())),
                0.0,
            )
            for s, name in enumerate(NAMES)
        ),
        x=situation.x,
        ranker="fusion",
        scores=scores[order],
        ranks=ranks[order],
        features=features[order],
        page_size=20,
        fillers=(FILLER,),
        allowed=NAMES,
        dependable=NAMES[:1],
        distribution=draw.distribution,
    )
    rewards = {"wanted": 1 / math.log2(2 + shown.index("wanted"))} if "wanted" in shown else {}
    return record, rewards


def line(record: DecisionRecord, rewards: Mapping[str, float] | None) -> str:
    return decision_line(record.id, encode(record), rewards)


def net(decision: LoggedDecision) -> float:
    record, rewards = decision
    return max(rewards.values(), default=0.0) - PRICES.of(record.calls, record.candidates_fetched)


def needs(count: int, seed: int) -> list[tuple[Need, Situation]]:
    """Two kinds of needs, told apart by the context: for one the words do well, for the other memory and meaning."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        kind = rng.random() < 0.5
        ranks = (rng.integers(1, 4), 0, rng.integers(0, 5)) if kind else (rng.integers(0, 6), 1, rng.integers(1, 6))
        x = np.zeros(len(FEATURES), np.float32)
        x[0], x[1] = 1.0, float(kind)
        yes = np.ones(3, bool)
        need = Need(tuple(int(rank) for rank in ranks))  # type: ignore[arg-type]
        made.append((need, Situation(x, yes, np.array([True, False, False]), np.zeros(3, bool), np.zeros(3, np.int64))))
    return made


def play(policy: Policy, world: list[tuple[Need, Situation]], seed: int) -> list[LoggedDecision]:
    rng = np.random.default_rng(seed)
    return [search(n, policy.draw(at, LEARNED.allocation, rng), at, f"d{i}") for i, (n, at) in enumerate(world)]


@cache
def played(need: Need, rungs: tuple[int, ...]) -> float:
    """Reward net of cost of one allocation."""
    return net(search(need, Draw(np.array(rungs), np.ones(3), 1.0), WORLD[0][1]))


def truth(policy: Policy, world: list[tuple[Need, Situation]]) -> float:
    """Mean reward net of cost over all that the policy may draw."""
    rng, total = np.random.default_rng(9), 0.0
    for need, at in world:
        told = policy.distribution(at, LEARNED.allocation, rng)
        for rungs, chance in zip(told.allocations.tolist(), told.probabilities.tolist(), strict=True):
            total += chance * played(need, tuple(rungs))
    return total / len(world)


def evaluate(log: list[LoggedDecision], **targets: Policy) -> dict[str, Evaluated]:
    told = evaluate_decisions(
        log, LEARNED, PRICES, policies=targets, rankers={}, known_rankers=RANKERS, examination=always
    )
    return {one.name: one for one in told.targets}


WORLD = needs(200, 1)


def test_weights_are_by_the_chance_that_the_allocation_is_contained() -> None:
    """Logged: (2,0,0) w.p. .6, (2,1,0) w.p. .3, (1,1,1) w.p. .1. Target: (1,1,0) w.p. .5, (2,0,0) .25, (0,0,2) .25."""
    logged = Distribution(np.array([[2, 0, 0], [2, 1, 0], [1, 1, 1]], np.int8), np.array([0.6, 0.3, 0.1]))
    aimed = Distribution(np.array([[1, 1, 0], [2, 0, 0], [0, 0, 2]], np.int8), np.array([0.5, 0.25, 0.25]))
    need, at = WORLD[0]

    class Target:
        name = "target"

        def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
            raise AssertionError("estimates go by distributions; nothing is drawn")

        def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
            return aimed

    log = []
    for rungs, chance in zip(logged.allocations, logged.probabilities, strict=True):
        log.append(search(need, Draw(rungs.astype(np.int64), np.ones(3), chance, distribution=logged), at))
    told = DecisionSample(log, LEARNED, RANKERS, PRICES, always).rounds(Target())
    # (1,1,0) is contained in the second and third: .4; (2,0,0) in the first two: .9; (0,0,2) in none.
    assert told.rounds.weights == pytest.approx([0.25 / 0.9, 0.25 / 0.9 + 0.5 / 0.4, 0.5 / 0.4])
    assert logged.probabilities @ told.rounds.weights == pytest.approx(0.75)
    assert told.support.share == pytest.approx(0.75)
    one, two = played(need, (2, 0, 0)), played(need, (1, 1, 0))
    mixed = (0.25 / 0.9 * one + 0.5 / 0.4 * two) / told.rounds.weights[1]
    assert told.rounds.rewards == pytest.approx([one, mixed, two])
    assert told.calls == pytest.approx(0.5 * 2 + 0.25 + 0.25 + 1)  # and the filler's


def test_every_contained_allocation_is_replayed_to_what_it_would_have_earned() -> None:
    rng = np.random.default_rng(3)
    for need, at in WORLD[:30]:
        full = POLICIES["full_depth"](OPTIONS).draw(at, LEARNED.allocation, rng)
        sample = DecisionSample([search(need, full, at)], LEARNED, RANKERS, PRICES, always)
        for rungs in np.ndindex(3, 3, 3):
            told = sample._net(0, sample._canonical_of(np.array([rungs], np.int8))[0])
            assert told == pytest.approx(played(need, rungs)), rungs


def test_what_fills_the_page_is_paid_where_too_little_is_found() -> None:
    """Full depth finds 14 documents in lists of 5, 5 and 4, on pages of 5."""
    need, at = Need((0, 0, 0)), WORLD[0][1]
    full = POLICIES["full_depth"](OPTIONS).draw(at, LEARNED.allocation, np.random.default_rng(0))
    logged, _ = search(need, full, at)
    record = replace(logged, page_size=5, fillers=())
    sample = DecisionSample([(record, {})], LEARNED, RANKERS, PRICES, always)
    options = np.array([[0, 1, 0], [1, 1, 1], [0, 2, 0], [2, 2, 2], [0, 0, 0]], np.int8)
    # 2 documents are too few for a page: a call and a page of candidates more. 6, 5 and 14 are enough.
    bare = [PRICES.of(1, 2), PRICES.of(3, 6), PRICES.of(1, 5), PRICES.of(3, 14), 0.0]
    filling = [PRICES.of(1, 5), 0.0, 0.0, 0.0, PRICES.of(1, 5)]
    told = [sample._net(0, option) for option in options]
    assert told == pytest.approx([-a - b for a, b in zip(bare, filling, strict=True)])
    case = sample._cases[0]
    calls, fetched = sample._asked(case, options)
    assert calls.tolist() == [2, 3, 1, 3, 1]
    assert fetched == pytest.approx([2 + 5, 6, 5, 14, 5])
    _, rewards, net_rewards = sample._predicted(case, options).T
    assert rewards - net_rewards == pytest.approx([a + b for a, b in zip(bare, filling, strict=True)])


def test_what_more_than_was_logged_finds_fills_pages_as_lists_usually_do() -> None:
    """Logged: memory.query to its second candidate, on pages of 5."""
    need, at = Need((0, 0, 0)), WORLD[0][1]
    shallow, _ = search(need, Draw(np.array([0, 1, 0]), np.ones(3), 1.0), at)
    record = replace(shallow, page_size=5, fillers=(), distribution=Distribution(np.zeros((1, 3), np.int8), np.ones(1)))
    sample = DecisionSample([(record, {})], LEARNED, RANKERS, PRICES, always)
    options = np.array([[0, 1, 0], [0, 2, 0], [1, 1, 0], [2, 1, 0]], np.int8)
    # What was logged had no filler; then 5 and 7 documents are to be expected, and 4 between them.
    assert sample._asked(sample._cases[0], options)[0].tolist() == [1, 1, 2 + 1, 2]
    whole = replace(record, strategies=(record.strategies[0], ended(record.strategies[1]), record.strategies[2]))
    sample = DecisionSample([(whole, {})], LEARNED, RANKERS, PRICES, always)
    assert sample._asked(sample._cases[0], options)[0].tolist() == [1, 1 + 1, 2 + 1, 2]


def ended(strategy: LoggedStrategy) -> LoggedStrategy:
    """It had no more to tell."""
    return msgspec.structs.replace(strategy, returned=strategy.depth - 1)


def test_a_log_of_full_depth_tells_of_every_policy() -> None:
    world = WORLD[:80]
    log = play(POLICIES["full_depth"](OPTIONS), world, 5)
    targets = {name: factory(OPTIONS) for name, factory in POLICIES.items() if name != "thompson"}
    told = evaluate(log, **targets)
    for name, policy in targets.items():
        assert told[name].support.share == pytest.approx(1.0)
        for one in told[name].estimates:
            if one.estimator != "dm":
                assert one.value == pytest.approx(truth(policy, world), abs=1e-6), (name, one.estimator)


def test_estimates_from_an_exploring_log_cover_the_truth() -> None:
    logging = POLICIES["epsilon_greedy"](OPTIONS)
    greedy, other = POLICIES["greedy"](OPTIONS), POLICIES["squarecb"](OPTIONS)
    for seed in range(3):
        world = needs(200, 100 + seed)
        told = evaluate(play(logging, world, seed), greedy=greedy, squarecb=other)
        for name, policy in (("greedy", greedy), ("squarecb", other)):
            value = truth(policy, world)
            assert told[name].support.share == pytest.approx(1.0)
            for one in told[name].estimates:
                assert one.low <= value <= one.high, (seed, name, one.estimator)
                assert one.value == pytest.approx(value, abs=0.08), (seed, name, one.estimator)


def test_what_the_log_never_does_is_told_by_prediction_alone() -> None:
    told = evaluate(play(POLICIES["greedy"](OPTIONS), WORLD, 5), full_depth=POLICIES["full_depth"](OPTIONS))
    one = told["full_depth"]
    assert one.support.share == 0.0
    assert [estimate.estimator for estimate in one.estimates] == ["dm"]
    assert "only the direct method" in one.notes[0]
    assert one.verdict in (Verdict.PREDICTED_BETTER, Verdict.PREDICTED_WORSE, Verdict.OPEN)
    assert one.calls == 3 + 1


def test_the_logging_policy_itself_is_not_told_apart() -> None:
    logging = POLICIES["epsilon_greedy"](OPTIONS)
    told = evaluate(play(logging, WORLD, 5), same=logging)["same"]
    assert told.verdict is Verdict.OPEN
    snips = next(one for one in told.estimates if one.estimator == "snips")
    assert abs(snips.gain) < 0.02


def test_the_verdict_goes_with_what_asking_costs() -> None:
    log = play(POLICIES["full_depth"](OPTIONS), WORLD, 5)
    assert evaluate(log, safe=POLICIES["safe"](OPTIONS))["safe"].verdict is Verdict.WORSE
    dear = evaluate_decisions(
        log,
        LEARNED,
        Prices(0.05, 0.05),
        policies={"safe": POLICIES["safe"](OPTIONS)},
        rankers={},
        known_rankers=RANKERS,
        examination=always,
    )
    assert dear.targets[0].verdict is Verdict.BETTER
    assert dear.logged[0] == pytest.approx(
        np.mean([net(one) for one in log]) + PRICES.of(4, 18) - PRICES.call * 4 - 0.05 * 18
    )


def test_decisions_that_can_not_be_used_are_counted() -> None:
    need, at = WORLD[0]
    draw = POLICIES["greedy"](OPTIONS).draw(at, LEARNED.allocation, np.random.default_rng(0))
    good, rewards = search(need, draw, at)
    other = replace(good, strategies=good.strategies[:2])
    trial = Trial("x", Mode.INTERLEAVE, Variant(), Variant(ranker="fusion"), "", 0, (1, 2))
    interleaved = replace(good, distribution=None), replace(good, trial=trial)
    deeper = replace(good, strategies=(msgspec.structs.replace(good.strategies[0], depth=7), *good.strategies[1:]))
    earlier = replace(good, x=good.x[:-1])
    log = [(record, rewards) for record in (good, other, *interleaved, deeper, earlier)]
    sample = DecisionSample(log, LEARNED, RANKERS, PRICES)
    assert len(sample) == 1
    assert sum(sample.left_out.values()) == 5
    assert '"context":{}' in json_line(earlier, 0.0)
    assert '"Context":{}' in dsjson_line(earlier, 0.0, DEPTHS)
    with pytest.raises(InvalidArgument, match="other strategies"):
        evaluate_decisions(
            [(other, {})], LEARNED, PRICES, policies={"p": POLICIES["greedy"](OPTIONS)}, rankers={}, known_rankers={}
        )
    with pytest.raises(InvalidArgument):
        evaluate_decisions([], LEARNED, PRICES, policies={}, rankers=RANKERS, known_rankers=RANKERS)


def test_a_limit_of_a_strategy_makes_rungs_the_same() -> None:
    """vector.dense answers at most 4: rung 2 (5 candidates) is 4 candidates, and stays rung 2 as 2 < 4."""
    sample = DecisionSample([], LEARNED, RANKERS, PRICES)
    assert sample._canonical.tolist() == [[0, 1, 2], [0, 1, 2], [0, 1, 2]]
    few = LearnedModels(DEPTHS).current((Strategy("a.b", "", depth_max=1),))
    assert DecisionSample([], few, RANKERS, PRICES)._canonical.tolist() == [[0, 1, 1]]


def test_a_record_keeps_what_might_have_been_drawn() -> None:
    need, at = WORLD[0]
    draw = POLICIES["squarecb"](OPTIONS).draw(at, LEARNED.allocation, np.random.default_rng(0))
    record, _ = search(need, draw, at)
    after = decode(encode(record))
    assert (after.allowed, after.dependable) == (NAMES, NAMES[:1])
    assert after.distribution is not None
    assert draw.distribution is not None
    assert after.distribution.allocations.tolist() == draw.distribution.allocations.tolist()
    assert after.distribution.probabilities == pytest.approx(draw.distribution.probabilities, rel=1e-6)
    assert not after.distribution.estimated


def test_a_log_file_tells_the_same_as_the_log() -> None:
    log = play(POLICIES["epsilon_greedy"](OPTIONS), WORLD[:80], 5)
    head = LogHead(DEPTHS, PRICES, {"epsilon": 0.6}, "epsilon_greedy", "fusion", STRATEGIES, Snapshot(3, 7.0, {}))
    lines = [head_line(head), *(line(*decision) for decision in log), line(log[0][0], None)]
    assert is_decision_log(lines[0])
    read = read_head(lines[0])
    assert (read.depths, read.prices, read.options, read.snapshot.version) == (DEPTHS, PRICES, {"epsilon": 0.6}, 3)
    assert [one.name for one in read.strategies] == list(NAMES)
    decisions = list(read_decisions(lines[1:]))
    assert decisions[-1] == "not settled yet"
    again = [decision for decision in decisions if not isinstance(decision, str)]
    assert [record.id for record, _ in again] == [record.id for record, _ in log]
    target = POLICIES["greedy"](OPTIONS)
    first, second = (
        evaluate_decisions(
            one, models, PRICES, policies={"greedy": target}, rankers={}, known_rankers=RANKERS, examination=always
        )
        for one, models in ((log, LEARNED), (again, read.learned))
    )
    for a, b in zip(first.targets[0].estimates, second.targets[0].estimates, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-3)


@pytest.mark.parametrize("first", ["", "{}", '{"honeyguide_decisions": 1}', '{"honeyguide_decisions": 9}', "nonsense"])
def test_a_broken_head_is_told(first: str) -> None:
    with pytest.raises(InvalidArgument, match="log"):
        read_head(first)


def test_a_broken_line_is_named() -> None:
    log = play(POLICIES["greedy"](OPTIONS), WORLD[:1], 5)
    with pytest.raises(InvalidArgument, match="line 3"):
        list(read_decisions([line(*log[0]), '{"id": "x", "decision": "!!", "rewards": {}}']))
    assert list(read_decisions([decision_line("x", b"another format", {})])) == ["of another version"]

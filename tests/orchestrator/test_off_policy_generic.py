"""Anybody's log: read, refused, and weighed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.off_policy.estimators import estimate
from honeyguide_orchestrator.off_policy.generic_log import read_log, rounds_for
from honeyguide_orchestrator.off_policy.log_file import LogHead
from honeyguide_orchestrator.off_policy.report import Verdict, evaluate_rounds
from honeyguide_orchestrator.off_policy.target import target_policy
from honeyguide_orchestrator.policies.epsilon_greedy import EpsilonGreedy
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.snapshot import NO_SNAPSHOT


def lines(*rounds: dict[str, object]) -> list[str]:
    return [json.dumps({"action": "a", "propensity": 0.5, "reward": 1} | one) for one in rounds]


FOUR = lines(
    {"action": "a", "propensity": 0.25, "reward": 1, "target": 0.5},
    {"action": "b", "propensity": 0.75, "reward": 0, "target": 0.5},
    {"action": "b", "propensity": 0.75, "reward": 1, "target": 0.5},
    {"action": "a", "propensity": 0.25, "reward": 0, "target": 0.0},
)


def test_the_logs_own_target() -> None:
    log = read_log(FOUR)
    rounds, support = rounds_for(log, "target")
    assert rounds.weights == pytest.approx([2, 2 / 3, 2 / 3, 0])
    assert rounds.predictions is None
    told = {one.estimator: one.value for one in estimate(rounds)}
    assert told == {"ips": pytest.approx(8 / 3 / 4), "snips": pytest.approx(8 / 10)}
    assert not support.exact


def test_whole_distributions_tell_a_reward_model_too() -> None:
    log = read_log(
        lines(*({"action": a, "target": {"a": 0.9, "b": 0.1}, "reward": int(r)} for a, r in ("a1", "a1", "b0")))
    )
    rounds, _ = rounds_for(log, "target")
    assert rounds.weights == pytest.approx([1.8, 1.8, 0.2])
    assert {one.estimator for one in estimate(rounds)} == {"ips", "snips", "dm", "dr", "drs"}


def test_targets_that_every_log_knows() -> None:
    log = read_log(FOUR)
    assert rounds_for(log, "uniform")[0].weights == pytest.approx([2, 2 / 3, 2 / 3, 2])
    assert rounds_for(log, "always:b")[0].weights == pytest.approx([0, 4 / 3, 4 / 3, 0])
    assert rounds_for(log, "always:action=a")[0].weights == pytest.approx([4, 0, 0, 4])


def test_best_takes_what_the_context_tells() -> None:
    """Action x is right for kind x, y for kind y; the log is uniform, so the best policy is worth .9 and it .5."""
    rng = np.random.default_rng(0)
    rounds = []
    for _ in range(1_500):
        kind, action = rng.choice(["x", "y"], size=2)
        reward = int(rng.random() < (0.9 if kind == action else 0.1))
        rounds.append({"context": {"kind": str(kind)}, "action": str(action), "reward": reward})
    log = read_log(lines(*rounds))
    weighed, _ = rounds_for(log, "best")
    for one in estimate(weighed):
        assert one.value == pytest.approx(0.9, abs=0.06), one.estimator
        assert one.low <= 0.9 <= one.high, one.estimator
        assert one.gain_low > 0.3


@pytest.mark.parametrize("count", range(1, 7))
def test_a_few_rounds_will_do_but_are_said_to_be_few(count: int) -> None:
    log = read_log(
        lines(*({"action": "ab"[i % 2], "reward": i % 3, "target": {"a": 0.3, "b": 0.7}} for i in range(count)))
    )
    for target in ("target", "uniform", "best"):
        told = evaluate_rounds("policy", target, *rounds_for(log, target))
        assert told.verdict in (Verdict.TOO_FEW, Verdict.NO_SUPPORT)
        assert any(note.endswith(f"it has {count}") for note in told.notes)


def test_thirty_rounds_are_enough_for_a_verdict() -> None:
    for count, verdict in ((29, Verdict.TOO_FEW), (30, Verdict.OPEN)):
        log = read_log(lines(*({"reward": i % 2} for i in range(count))))
        assert evaluate_rounds("policy", "uniform", *rounds_for(log, "uniform")).verdict is verdict


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from([1e-12, 1e-6, 0.5, 1.0]), st.sampled_from([-1e12, 0, 1, 1e12])
        ),
        min_size=1,
        max_size=12,
    )
)
def test_numbers_at_the_ends_of_what_is_allowed_give_numbers(rounds: list[tuple[str, float, float]]) -> None:
    log = read_log(lines(*({"action": a, "propensity": p, "reward": r, "context": {"f": 1e300}} for a, p, r in rounds)))
    for target in ("uniform", "best"):
        for one in estimate(rounds_for(log, target)[0]):
            assert np.isfinite([one.value, one.low, one.high, one.gain, one.gain_low, one.gain_high]).all()


def test_only_the_newest() -> None:
    assert len(read_log(FOUR, newest=3)) == 3
    assert read_log(FOUR, newest=3).rewards.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "line 1 is not JSON"),
        ("[1]", "line 1 is not a JSON object"),
        ('{"propensity": 1, "reward": 1}', "action"),
        ('{"action": true, "propensity": 1, "reward": 1}', "action"),
        ('{"action": "a", "reward": 1}', "propensity: missing"),
        ('{"action": "a", "propensity": 0, "reward": 1}', "1e-12 to 1"),
        ('{"action": "a", "propensity": 1e-300, "reward": 1}', "line 1: propensity: '1e-300'; 1e-12 to 1"),
        ('{"action": "a", "propensity": 1, "reward": 1e300}', r"line 1: reward: '1e\+300'; -1e\+12 to 1e\+12"),
        ('{"action": "a", "propensity": 1, "reward": -1e300}', "line 1: reward"),
        ('{"action": "a", "propensity": 1, "reward": 1' + "0" * 400 + "}", "reward"),
        ('{"action": "a", "propensity": 1.5, "reward": 1}', "1e-12 to 1"),
        ('{"action": "a", "propensity": 1, "reward": "much"}', "reward"),
        ('{"action": "a", "propensity": 1, "reward": NaN}', "reward"),
        ('{"action": "a", "propensity": 1, "reward": 1, "target": 2}', "target"),
        ('{"action": "a", "propensity": 1, "reward": 1, "target": {"a": 0.5}}', "add up to 0.5"),
        ('{"action": "a", "propensity": 1, "reward": 1, "context": {"f": []}}', "context.f"),
        ('{"action": "a", "propensity": 1, "reward": 1, "context": 3}', "context"),
        ("", "no round"),
    ],
)
def test_what_is_wrong_is_named(line: str, told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        read_log([line])


def test_lines_that_disagree_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="another"):
        read_log([*FOUR, *lines({})])


@pytest.mark.parametrize("target", ["always:z", "greedy", "uniform:x", "target"])
def test_unknown_targets(target: str) -> None:
    log = read_log(lines({}, {"action": 7}))
    with pytest.raises(InvalidArgument, match="policy"):
        rounds_for(log, target)


HEAD = LogHead(
    (5, 10),
    Prices(0.01, 0.001),
    {"exploration_share": 0.3, "exploration_gamma": 60.0, "epsilon": 0.1},
    "squarecb",
    "gated",
    (),
    NO_SNAPSHOT,
)


def test_target_policies_with_options() -> None:
    policy = target_policy("epsilon_greedy:epsilon=0.05,call_cost=0.5", HEAD)
    assert isinstance(policy, EpsilonGreedy)
    assert policy._epsilon == 0.05
    assert policy._costs.by_rung == pytest.approx([0.505, 0.51])


@pytest.mark.parametrize("text", ["", "nonsense", "greedy:epsilon", "greedy:epsilon=2", "greedy:epsilon=x", "safe:a=1"])
def test_bad_target_policies(text: str) -> None:
    with pytest.raises(InvalidArgument, match="policy"):
        target_policy(text, HEAD)


def test_what_was_seldom_done_yet_is_not_told_apart() -> None:
    """Of what the target would do mostly nothing has come up: all weights are .2, and look as if nothing were open."""
    log = lines(*({"action": "a", "propensity": 0.98, "reward": i % 2, "target": 0.196} for i in range(60)))
    told = evaluate_rounds("policy", "target", *rounds_for(read_log(log), "target"))
    assert told.verdict is Verdict.TOO_FEW
    assert "only 20% of the weight to be expected came up: what it would do was seldom done yet" in told.notes

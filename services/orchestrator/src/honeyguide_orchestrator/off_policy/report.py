"""What an evaluation says of its targets: estimates, what they stand on, and which is better than what was logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.learned import Learned
from honeyguide_orchestrator.off_policy.decisions import DecisionSample, LoggedDecision
from honeyguide_orchestrator.off_policy.empirical_likelihood import mean_interval
from honeyguide_orchestrator.off_policy.estimators import ESTIMATORS, estimate
from honeyguide_orchestrator.off_policy.rankers import estimate_ranker
from honeyguide_orchestrator.off_policy.replay import Examination
from honeyguide_orchestrator.off_policy.rounds import Doubles, Estimate, Rounds
from honeyguide_orchestrator.off_policy.support import EFFECTIVE_MIN, LITTLE, Support, percent
from honeyguide_orchestrator.policy import Policy
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.ranker import Ranker
from honeyguide_orchestrator.ranker_learner import looked_at

LEADING = ("drs", "dr", "snips", "ips", "dm")
"""Whose word the verdict is, the first that there is; the first two have the same interval."""

SAMPLED = "its probabilities come from sampling"

HEAVY = 0.1
"""Share of all weight that one round may carry before it is pointed out."""


SEEN_MIN = 0.5
"""Share of the weight to be expected that must have come up for a verdict. Weights are 1 on the mean: where what the
log seldom does has not come up yet, all of them are small and alike, and no interval shows what is missing."""

ROUNDS_MIN = 30
"""Rounds below which an interval, which holds for many, says nothing."""


class Verdict(StrEnum):
    """Against the logging policy, by an interval of 95%. PREDICTED: only the reward model says so, from no trial."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "not told apart"
    PREDICTED_BETTER = "better by prediction only"
    PREDICTED_WORSE = "worse by prediction only"
    TOO_FEW = "too few to tell"
    NO_SUPPORT = "no support"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A target and what was found.

    kind: "policy" or "ranker". calls, candidates: mean a search that a policy would ask; None where not known.
    """

    kind: str
    name: str
    estimates: tuple[Estimate, ...]
    support: Support
    verdict: Verdict
    notes: tuple[str, ...]
    calls: float | None = None
    candidates: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """logged: mean reward of the log itself, with low and high; rounds: how many; left_out: how many not, by reason."""

    logged: tuple[float, float, float]
    rounds: int
    targets: tuple[Evaluated, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


def evaluate_decisions(
    log: Sequence[LoggedDecision],
    learned: Learned,
    prices: Prices,
    *,
    policies: Mapping[str, Policy],
    rankers: Mapping[str, Ranker],
    known_rankers: Mapping[str, Ranker],
    estimators: Sequence[str] = tuple(ESTIMATORS),
    clip: float | None = None,
    seed: int = 0,
    examination: Examination = looked_at,
) -> Evaluation:
    """Evaluates target policies and rankers on our own decision log, in reward net of cost.

    Args:
        log: settled decisions and what was credited to them.
        learned: the models that targets decide and rank by.
        prices: of calls and candidates.
        policies: targets by the name to show.
        rankers: targets by the name to show.
        known_rankers: those that may have ranked the log, by the name logged.
        estimators: of `ESTIMATORS`, for policies.
        clip: largest weight, above 0; None = none.
        seed: of everything random.
        examination: probability that a position is looked at.

    Raises:
        InvalidArgument: nothing in the log can be used, or an unknown estimator or bad clip.
    """
    targets = []
    left_out: Mapping[str, int] = {}
    if policies:
        sample = DecisionSample(log, learned, known_rankers, prices, examination)
        left_out = sample.left_out
        if not len(sample):
            reasons = "; ".join(f"{count:,} are {reason}" for reason, count in left_out.items())
            raise InvalidArgument("log", f"holds no settled decision that policies can be told by. {reasons}".strip())
        for name, policy in policies.items():
            told = sample.rounds(policy, seed)
            one = evaluate_rounds("policy", name, told.rounds, told.support, estimators, clip)
            notes = (*one.notes, *((SAMPLED,) if told.estimated else ()))
            if len(told.rounds) < len(sample):
                made_by = " and ".join(told.made_by)
                notes = (*notes, f"told by the {len(told.rounds):,} decisions of {made_by}, and compared with them")
            targets.append(replace(one, notes=notes, calls=told.calls, candidates=told.candidates))
    for name, ranker in rankers.items():
        ranked = estimate_ranker(log, ranker, learned.ranker, prices, clip, examination)
        unseen = f"{percent(1 - ranked.support.share)} of its first pages nobody saw, which counts as nothing earned"
        verdict = _verdict(ranked.estimate, predicted=False)
        targets.append(
            Evaluated(
                "ranker", name, (ranked.estimate,), ranked.support, verdict, (unseen, *_few(ranked.estimate.rounds))
            )
        )
    costs = [prices.of(record.calls, record.candidates_fetched) for record, _ in log]
    best = [max(rewards.values(), default=0.0) for _, rewards in log]
    return Evaluation(logged_reward(np.array(best) - np.array(costs)), len(log), tuple(targets), dict(left_out))


def evaluate_rounds(
    kind: str,
    name: str,
    rounds: Rounds,
    support: Support,
    estimators: Sequence[str] = tuple(ESTIMATORS),
    clip: float | None = None,
) -> Evaluated:
    """Estimates of one target, of which those that need support are left out where there is none."""
    every = estimate(rounds, estimators, clip)
    few = _few(len(rounds))
    if support.share < LITTLE:
        told = tuple(one for one in every if one.estimator == "dm")
        what = "only the direct method is given" if told else "and without a reward model nothing can be said"
        verdict = _verdict(told[0], predicted=True) if told else Verdict.NO_SUPPORT
        return Evaluated(kind, name, told, support, verdict, (f"{support.statement}: {what}", *few))
    notes = [support.statement, *few]
    if rounds.effective < EFFECTIVE_MIN:
        notes.append(f"only {rounds.effective:,.0f} effective rounds")
    if rounds.weight_max > HEAVY * float(rounds.weights.sum()):
        notes.append(f"one round carries {percent(rounds.weight_max / float(rounds.weights.sum()))} of the weight")
    leading = min(every, key=lambda one: LEADING.index(one.estimator), default=None)
    verdict = _verdict(leading, predicted=leading.estimator == "dm") if leading else Verdict.NO_SUPPORT
    seen = float(rounds.weights.mean()) / (support.share if support.exact else 1.0)
    if seen < SEEN_MIN and leading and leading.estimator != "dm":
        notes.append(f"only {percent(seen)} of the weight to be expected came up: what it would do was seldom done yet")
        verdict = Verdict.TOO_FEW
    return Evaluated(kind, name, tuple(every), support, verdict, tuple(notes))


def logged_reward(earned: Doubles) -> tuple[float, float, float]:
    """What the log itself earned a round, with its 95% interval."""
    low, high = mean_interval(earned, min(float(earned.min()), 0.0), max(float(earned.max()), 1.0))
    return float(earned.mean()), low, high


def _few(rounds: int) -> tuple[str, ...]:
    if rounds >= ROUNDS_MIN:
        return ()
    return (f"below {ROUNDS_MIN} rounds its intervals mean nothing, and it has {rounds}",)


def _verdict(one: Estimate, predicted: bool) -> Verdict:
    if one.rounds < ROUNDS_MIN:
        return Verdict.TOO_FEW
    if one.gain_low > 0:
        return Verdict.PREDICTED_BETTER if predicted else Verdict.BETTER
    if one.gain_high < 0:
        return Verdict.PREDICTED_WORSE if predicted else Verdict.WORSE
    return Verdict.OPEN

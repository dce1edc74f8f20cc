"""What policies would have earned, from our own decision log.

The action is the whole allocation. A record tells what might have been drawn and how likely, so that weights are exact,
and more decisions than those with the very allocation of the target can be used: one that asked for at least as much
tells what the contained allocation would have earned (`replay`). An allocation b of the target then counts wherever a
decision's allocation contains it, with weight

    pi(b | x) / P(logged allocation contains b | x),

as in bandits where an action also shows what others would have earned (Mannor and Shamir 2011; Alon, Cesa-Bianchi,
Gentile, Mannor, Mansour and Shamir 2017): the chance to be observed takes the place of the chance to be drawn. A log of
full depth so tells of every policy there is.

The reward model is the policies' own chain, scaled by the log: two coefficients a decision can't overfit. It takes the
strategies in the order in which they promise most, as what all of them find together depends on no order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide.retriever import Kind
from honeyguide_orchestrator.allocation_model import Costs
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.distribution import Distribution, Rungs
from honeyguide_orchestrator.experiment import Mode
from honeyguide_orchestrator.learned import Learned
from honeyguide_orchestrator.off_policy import reward_model, support
from honeyguide_orchestrator.off_policy.replay import (
    Examination,
    documents_within,
    judge,
    places_by_allocation,
)
from honeyguide_orchestrator.off_policy.rounds import Doubles, Rounds
from honeyguide_orchestrator.off_policy.support import Support
from honeyguide_orchestrator.policy import Policy, Situation, middle_rung
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.ranker import Ranker
from honeyguide_orchestrator.ranker_learner import looked_at
from honeyguide_orchestrator.situation import FEATURES

LoggedDecision = tuple[DecisionRecord, Mapping[str, float]]
"""A decision, and what was credited to it by document (empty = nothing)."""

PENALTY = 10.0
"""The chain's own scale and level count as much as that many decisions."""


SAME = 0.02
"""Logging policies that support a target as well as another but for that much are used together."""


@dataclass(frozen=True, slots=True)
class _Case:
    """A logged decision that can be used: rungs are in the order of the strategies of now."""

    record: DecisionRecord
    rewards: Mapping[str, float]
    situation: Situation
    rungs: Rungs
    drawn_from: Distribution
    order: tuple[int, ...]
    net: float
    returned: Doubles


@dataclass(frozen=True, slots=True)
class PolicyRounds:
    """Rounds for one target policy, its support, and the mean calls and candidates asked by it.

    made_by: names of the policies that made the decisions used; one that supports the target less than another is left
    out, as the share of the traffic that each got would else be taken for a probability. estimated: the target's
    probabilities come from sampling.
    """

    rounds: Rounds
    support: Support
    calls: float
    candidates: float
    made_by: tuple[str, ...]
    estimated: bool


class DecisionSample:
    """The decisions of a log that can be used, ready to be weighed for target policies.

    Attributes:
        left_out: how many decisions could not be used, by reason.
    """

    def __init__(
        self,
        log: Sequence[LoggedDecision],
        learned: Learned,
        rankers: Mapping[str, Ranker],
        prices: Prices,
        examination: Examination = looked_at,
    ) -> None:
        self._learned = learned
        self._rankers = rankers
        self._prices = prices
        self._examination = examination
        self._ladder = np.array([0, *learned.allocation.depths], np.int64)
        self._deepest = np.array([strategy.depth_max for strategy in learned.strategies], np.int64)
        depths = np.minimum(self._ladder[None, :], self._deepest[:, None])
        self._canonical = (depths[:, :, None] > depths[:, None, :]).sum(axis=2).astype(np.int8)
        model = learned.allocation
        self._chain = model
        self._free = Costs(np.zeros(len(model.depths), np.float32))
        self.left_out: Counter[str] = Counter()
        self._cases = [case for record, rewards in log if (case := self._case(record, rewards)) is not None]
        self._filled = self._filled_share()
        self._replayed: dict[tuple[int, bytes], float] = {}

    def __len__(self) -> int:
        return len(self._cases)

    @property
    def earned(self) -> Doubles:
        """[n], what each decision earned net of its cost."""
        return np.array([case.net for case in self._cases])

    def rounds(self, policy: Policy, seed: int = 0) -> PolicyRounds:
        """The sample, weighed for a policy that decides by the models of now.

        Args:
            policy: the target.
            seed: of policies that are sampled, and of the folds of the reward model.
        """
        rng = np.random.default_rng(seed)
        count = len(self._cases)
        weights, rewards, shares = np.zeros(count), np.zeros(count), np.zeros(count)
        taken, target, compared = np.zeros((count, 3)), np.zeros((count, 3)), np.zeros((count, 3))
        calls = candidates = 0.0
        estimated = False
        for i, case in enumerate(self._cases):
            aimed = policy.distribution(case.situation, self._learned.allocation, rng)
            estimated = estimated or aimed.estimated
            options = self._canonical_of(aimed.allocations)
            told = self._predicted(case, np.concatenate([case.rungs[None, :], options]))
            taken[i], target[i] = told[0], aimed.probabilities @ told[1:]
            asked, fetched = self._asked(case, options)
            calls += float(aimed.probabilities @ asked)
            candidates += float(aimed.probabilities @ fetched)
            contained, known = self._weights(case, options, aimed.probabilities)
            shares[i] = float(aimed.probabilities @ known)
            weights[i] = contained.sum()
            if weights[i] > 0:
                parts = np.flatnonzero(contained)
                mix = contained[parts] / weights[i]
                rewards[i] = float(mix @ [self._net(i, options[k]) for k in parts])
                compared[i] = mix @ told[1:][parts]
        made_by, used = self._best_supporting(shares)
        weights, rewards, shares = weights[used], rewards[used], shares[used]
        taken, target, compared, earned = taken[used], target[used], compared[used], self.earned[used]
        low, high = min(float(rewards.min()), float(earned.min())), max(1.0, float(rewards.max()))
        predictions = reward_model.fit(
            taken[:, :2],
            target[:, :2],
            earned,
            (low, high),
            rng,
            compared=compared[:, :2],
            taken_offset=taken[:, 2],
            target_offset=target[:, 2],
            compared_offset=compared[:, 2],
            penalty=PENALTY,
        )
        rounds = Rounds(weights, rewards, earned, low, high, predictions)
        return PolicyRounds(rounds, support.known(shares), calls / count, candidates / count, made_by, estimated)

    def _best_supporting(self, shares: Doubles) -> tuple[tuple[str, ...], npt.NDArray[np.bool_]]:
        """The logging policies that support a target best, and which decisions are theirs."""
        policies = np.array([case.record.policy for case in self._cases])
        mean = {name: float(shares[policies == name].mean()) for name in dict.fromkeys(policies.tolist())}
        best = tuple(name for name, share in mean.items() if share >= max(mean.values()) - SAME)
        return best, np.isin(policies, best)

    def _case(self, record: DecisionRecord, rewards: Mapping[str, float]) -> _Case | None:
        names = tuple(strategy.name for strategy in self._learned.strategies)
        if tuple(strategy.name for strategy in record.strategies) != names:
            self.left_out["made with other strategies than there are now"] += 1
            return None
        if record.distribution is None or (record.trial is not None and record.trial.mode is Mode.INTERLEAVE):
            self.left_out["of interleaved pages, which no single policy made"] += 1
            return None
        known = record.ranker in self._rankers and len(record.x) == len(FEATURES)
        if not known or not record.has_todays_features:
            self.left_out["of another version"] += 1
            return None
        strategies = self._learned.strategies
        situation = Situation(
            x=record.x,
            allowed=np.array([name in record.allowed for name in names], bool),
            dependable=np.array([name in record.dependable for name in names], bool),
            exploring=np.array([strategy.kind is Kind.EXPLORE for strategy in strategies], bool),
            answered=np.where(
                [name in record.answered_before for name in names], middle_rung(len(self._ladder) - 1), 0
            ),
        )
        depths = np.array([strategy.depth for strategy in record.strategies], np.int64)
        rungs = np.searchsorted(self._ladder, depths).astype(np.int8)
        if (depths > self._ladder[-1]).any() or (self._depths(rungs) != depths).any():
            self.left_out["made on another depth ladder"] += 1
            return None
        drawn_from = Distribution(
            self._canonical_of(record.distribution.allocations),
            record.distribution.probabilities,
            record.distribution.estimated,
        )
        _, order = self._chain.allocate(record.x, situation.allowed, situation.answered, self._free)
        net = max(rewards.values(), default=0.0) - self._prices.of(record.calls, record.candidates_fetched)
        returned = np.array([strategy.returned for strategy in record.strategies], np.float64)
        return _Case(
            record, rewards, situation, self._canonical_of(rungs[None, :])[0], drawn_from, order, net, returned
        )

    def _weights(self, case: _Case, options: Rungs, probabilities: Doubles) -> tuple[Doubles, npt.NDArray[np.bool_]]:
        """Of every option: its weight if the decision's allocation contains it; whether any that may be drawn does."""
        contains = (case.drawn_from.allocations[None, :, :] >= options[:, None, :]).all(axis=2)
        chances = contains @ case.drawn_from.probabilities
        here = (case.rungs >= options).all(axis=1)
        if case.drawn_from.estimated:
            # What sampling did not come upon may still be what was drawn, with the chance that was logged for it.
            chances = np.maximum(chances, np.where(here, case.record.propensity, 0.0))
        weights = np.divide(probabilities, chances, out=np.zeros(len(options)), where=here & (chances > 0))
        return weights, chances > 0

    def _net(self, i: int, option: Rungs) -> float:
        """What a contained allocation would have earned."""
        case = self._cases[i]
        if (option == case.rungs).all():
            return case.net
        calls, fetched = self._asked_of(case, option)
        fillers, filling = self._filling(case, option[None, :])
        cost = self._prices.of(calls + int(fillers[0]), fetched + int(filling[0]))
        if not case.rewards:
            return -cost
        key = (i, option.tobytes())
        if key not in self._replayed:
            record = case.record
            kept = dict(zip((one.name for one in record.strategies), self._depths(option).tolist(), strict=True))
            ranker = self._rankers[record.ranker]
            places = places_by_allocation(record, case.rewards, kept, ranker, self._learned.ranker)
            self._replayed[key] = judge(record, case.rewards, places, self._examination).earned
        return self._replayed[key] - cost

    def _predicted(self, case: _Case, options: Rungs) -> Doubles:
        """Of every option [K]: a constant, the chain's reward, and that less the cost: [K, 3]."""
        rewards = self._chain.net_rewards(case.situation.x, options.astype(np.int64), case.order, self._free)
        calls, fetched = self._asked(case, options)
        cost = self._prices.call * calls + self._prices.candidate * fetched
        return np.stack([np.ones(len(options)), rewards, rewards - cost], axis=1)

    def _asked(self, case: _Case, options: Rungs) -> tuple[Doubles, Doubles]:
        """Calls, and candidates as lists are usually filled, of every option, with those that fill the page."""
        fillers, filling = self._filling(case, options)
        return (options > 0).sum(axis=1) + fillers, self._depths(options) @ self._filled + filling

    def _filling(self, case: _Case, options: Rungs) -> tuple[Doubles, Doubles]:
        """Calls and candidates of every option [K] that it takes to fill the page, where it finds too little for it.

        They are those of the log, or where it had enough: the first of those that fill is asked for a page. What is
        found by more than was logged is what lists usually hold, as if they did not overlap.
        """
        record, depths, logged = case.record, self._depths(options), self._depths(case.rungs)
        columns = [one.name for one in record.strategies]
        known = documents_within(record, depths[:, [columns.index(name) for name in record.answered]])
        whole = case.returned < logged
        more = np.where(whole, 0, np.maximum(depths - logged, 0)) @ self._filled
        short = (np.rint(known + more) < record.page_size).astype(np.float64)
        if record.fillers:
            return len(record.fillers) * short, sum(one.returned for one in record.fillers) * short
        short[(options == case.rungs).all(axis=1)] = 0.0  # what was logged is known to have asked nobody
        return short, record.page_size * short

    def _asked_of(self, case: _Case, option: Rungs) -> tuple[int, int]:
        """Calls and candidates of an option that the decision's allocation contains."""
        returned = np.minimum(self._depths(option), case.returned)
        return int((option > 0).sum()), int(returned.sum())

    def _depths(self, option: Rungs) -> npt.NDArray[np.int64]:
        return np.minimum(self._ladder[option], self._deepest)

    def _filled_share(self) -> Doubles:
        """Share of the candidates asked of each strategy that it returned."""
        asked, returned = np.ones(len(self._deepest)), np.ones(len(self._deepest))
        for case in self._cases:
            asked += self._depths(case.rungs)
            returned += case.returned
        return returned / asked

    def _canonical_of(self, options: Rungs) -> Rungs:
        """Rungs that mean the same depth, as a strategy's own limit makes them, become the lowest of them."""
        return np.asarray(self._canonical[np.arange(options.shape[1]), options], np.int8)

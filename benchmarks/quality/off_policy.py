"""Off-policy estimates checked against what really happened.

First on logs that others made: the small Open Bandit Dataset (Saito, Aihara, Matsutani and Narita 2021), fashion
recommendations shown at three positions by a uniform-random policy and by Bernoulli Thompson sampling (bts) in the same
week. From the random log alone the click rate of bts is estimated, and compared with the click rate in its own log.

What bts does is taken from its log too, as the share of each item among what it showed at each position. Its logged
propensities can't be used for that: they change from minute to minute and are logged for the item shown alone, so that
their mean over the log is biased upwards (at position 1 they add up to 1.4-2.1 over the items instead of 1), whereas
shares are an unbiased estimate of the policy's mean over the week. What they can't tell is whether bts showed an item
when it was clicked most. The other way round, from the bts log to the random policy, each round has its own true
propensity.

Second on our own decision logs (`own_rows`): a system learns from simulated people, then stands still. In one run of
searches a logging policy decides and is logged; from that log alone it is estimated what five policies would earn, and
each of them then really decides, on searches of which the log holds none. Logged are the live policy alone, and the
live policy with a tenth of the searches asked at full depth, as an experiment would.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any, TypedDict

import numpy as np
import structlog
from scipy import stats

from benchmarks.quality.collection import ROOT
from benchmarks.quality.needs import Scene, scene
from benchmarks.quality.recording import Recording, record
from benchmarks.quality.simulation import CALL_COST, CANDIDATE_COST, PAGE, Stage, System, run, stage
from benchmarks.quality.streams import Search, stream
from benchmarks.quality.users import ClickModel, PositionBased
from honeyguide_orchestrator.allocation_model import Costs
from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.learned import Learned
from honeyguide_orchestrator.off_policy import reward_model
from honeyguide_orchestrator.off_policy.decisions import LoggedDecision
from honeyguide_orchestrator.off_policy.empirical_likelihood import mean_interval
from honeyguide_orchestrator.off_policy.estimators import estimate
from honeyguide_orchestrator.off_policy.replay import Examination
from honeyguide_orchestrator.off_policy.report import Evaluated, evaluate_decisions
from honeyguide_orchestrator.off_policy.rounds import Estimate, Rounds
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.policy import Policy, PolicyOptions
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.ranker import RANKERS
from honeyguide_orchestrator.ranker_learner import looked_at
from honeyguide_orchestrator.settings import OrchestratorSettings

RESULTS = Path(__file__).resolve().parents[1] / "results"
COLLECTION = "obd-small"
CAMPAIGNS = ("all", "men", "women")
POSITIONS = 3
RANDOM, BTS = "random", "bts"

TELLING = 0.5
"""An estimate tells something if its interval reaches no further than that share of the estimate to either side."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign under one policy: item shown, position (from 0) and click of every round, and its propensity."""

    items: np.ndarray
    positions: np.ndarray
    clicks: np.ndarray
    propensities: np.ndarray


def read_campaigns() -> dict[tuple[str, str], Campaign] | None:
    """The logs by policy and campaign; None where the collection is absent."""
    path = ROOT / COLLECTION / "events.jsonl"
    if not path.exists():
        return None
    rows: dict[tuple[str, str], list[tuple[int, int, bool, float]]] = {}
    with path.open() as file:
        for event in map(json.loads, file):
            item = int(event["doc_id"].partition(":")[2])
            row = (item, event["position"] - 1, event["action"] == "click", event["propensity"])
            rows.setdefault((event["policy"], event["campaign"]), []).append(row)
    return {key: Campaign(*(np.array(column) for column in zip(*found, strict=True))) for key, found in rows.items()}


def shares_shown(log: Campaign, items: int) -> np.ndarray:
    """Share of every item at each position, [positions, items]: the mean policy of the log."""
    counts = np.zeros((POSITIONS, items))
    np.add.at(counts, (log.positions, log.items), 1)
    shares: np.ndarray = counts / counts.sum(axis=1, keepdims=True)
    return shares


def rounds_for(log: Campaign, shares: np.ndarray) -> Rounds:
    """A log, weighed for a policy that shows items by `shares`; the reward model knows items and positions."""
    count, items = len(log.items), shares.shape[1]
    taken = np.zeros((count, items + POSITIONS))
    taken[np.arange(count), log.items] = 1.0
    taken[np.arange(count), items + log.positions] = 1.0
    target = np.concatenate([shares[log.positions], taken[:, items:]], axis=1)
    clicks = log.clicks.astype(float)
    weights = shares[log.positions, log.items] / log.propensities
    # Items differ by little beside the noise of a click: each begins at the mean click rate, and moves by its rounds.
    offset = float(clicks.mean())
    predictions = reward_model.fit(
        taken,
        target,
        clicks,
        (0.0, 1.0),
        np.random.default_rng(0),
        taken_offset=np.full(count, offset),
        target_offset=np.full(count, offset),
        penalty=count / items,
    )
    return Rounds(weights, clicks, clicks, 0.0, 1.0, predictions)


def obd_rows() -> tuple[list[dict[str, Any]], list[str]]:
    """Rows and a table of every campaign; none where the collection is absent."""
    campaigns = read_campaigns()
    if campaigns is None:
        print(f"{COLLECTION}: skipped, there is no {ROOT / COLLECTION}")
        return [], []
    rows: list[dict[str, Any]] = []
    lines = [
        "| campaign | system | click rate | 95% interval | over the log's own | effective rounds | largest weight "
        "| covers what really happened | tells something |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for campaign in CAMPAIGNS:
        logs = {policy: campaigns[policy, campaign] for policy in (RANDOM, BTS)}
        for policy, log in logs.items():
            clicks = log.clicks.astype(float)
            low, high = mean_interval(clicks, 0.0, 1.0)
            rows.append(_row(campaign, f"on-policy:{policy}", float(clicks.mean()), low, high, len(clicks)))
            lines.append(
                f"| {campaign} | what {policy} really had: {int(clicks.sum())} clicks in {len(clicks):,} | "
                f"{clicks.mean():.4f} | {low:.4f}-{high:.4f} | | | | | |"
            )
        items = int(max(log.items.max() for log in logs.values())) + 1
        shares = {RANDOM: np.full((POSITIONS, items), 1 / items), BTS: shares_shown(logs[BTS], items)}
        for source, target in ((RANDOM, BTS), (BTS, RANDOM)):
            truth = float(logs[target].clicks.mean())
            for one in estimate(rounds_for(logs[source], shares[target])):
                system = f"{one.estimator}:{target} from {source}"
                rows.append(_row(campaign, system, one.value, one.low, one.high, one.rounds))
                lines.append(_line(campaign, target, source, one, truth))
    return rows, lines


class _Changed(TypedDict, total=False):
    """Options that are not the defaults."""

    exploration_share: float
    epsilon: float


TARGETS: Mapping[str, _Changed] = {
    "greedy": {},
    "squarecb": {},
    "epsilon_greedy": {"epsilon": 1.0, "exploration_share": 1.0},
    "safe": {},
    "full_depth": {},
}
"""The targets and the options that are not the defaults: this epsilon-greedy redraws a strategy in every search."""

PRICES = Prices(CALL_COST, CANDIDATE_COST)
LEARN, LOGGED, LIVE = 2_000, 2_000, 2_000
FULL_SHARE = 0.1
OWN = (("mixed", 1), ("mixed", 2), ("mixed", 3), ("scifact", 1), ("cpcd-music", 1), ("chorus-icecat", 1))
"""Scenes and seeds; those whose collection is absent are skipped."""

PEOPLE = PositionBased()


@dataclass(frozen=True, slots=True)
class Agreement:
    """How estimates compare with what really happened, over policies.

    rank_correlation: Kendall's tau-b, in [-1, 1]. told_apart: how many pairs of policies differ by more than noise in
    what really happened; right: how many of those the estimates put in the same order. relative_error: mean of
    |estimate - truth| / |truth|. covered: share of the intervals that hold the truth.
    """

    rank_correlation: float
    told_apart: int
    right: int
    relative_error: float
    covered: float


def estimate_policies(
    log: Sequence[LoggedDecision],
    policies: Mapping[str, Policy],
    learned: Learned,
    prices: Prices = PRICES,
    examination: Examination = looked_at,
    seed: int = 0,
) -> dict[str, Evaluated]:
    """What policies would have earned net of cost, by name, from decisions and what each document was credited."""
    told = evaluate_decisions(
        log,
        learned,
        prices,
        policies=policies,
        rankers={},
        known_rankers=RANKERS,
        seed=seed,
        examination=examination,
    )
    return {one.name: one for one in told.targets}


def leading(told: Evaluated) -> Estimate:
    """The estimate to go by: doubly robust with shrinkage, or where nothing supports it the direct method's."""
    return next((one for one in told.estimates if one.estimator == "drs"), told.estimates[-1])


def agreement(estimates: Mapping[str, Estimate], live: Mapping[str, np.ndarray]) -> Agreement:
    """Compares estimates with what policies really earned on the same searches [n], by policy."""
    names = list(live)
    values = np.array([estimates[name].value for name in names])
    truths = np.array([live[name].mean() for name in names])
    told_apart = right = 0
    for a, b in combinations(range(len(names)), 2):
        low, high = mean_interval(live[names[a]] - live[names[b]], -2.0, 2.0)
        if low > 0 or high < 0:
            told_apart += 1
            right += int((values[a] > values[b]) == (low > 0))
    return Agreement(
        rank_correlation=float(stats.kendalltau(values, truths).statistic),
        told_apart=told_apart,
        right=right,
        relative_error=float(np.mean(np.abs(values - truths) / np.abs(truths))),
        covered=float(
            np.mean([estimates[n].low <= t <= estimates[n].high for n, t in zip(names, truths, strict=True)])
        ),
    )


def own_rows(scene_name: str, seed: int, share: float = 1.0) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows and table lines of our own decision log; `share` of the usual numbers of searches."""
    found = scene(scene_name, fold=seed)
    if found is None:
        print(f"{scene_name}: skipped, its collection is absent")
        return [], []
    return asyncio.run(_own_rows(found, record(found), seed, share))


async def _own_rows(
    found: Scene, recording: Recording, seed: int, share: float
) -> tuple[list[dict[str, Any]], list[str]]:
    scene_name = found.name
    counts = [round(share * count) for count in (LEARN, LOGGED, LIVE)]
    ends = np.cumsum(counts).tolist()
    searches = stream(found.learning, ends[-1], seed)
    rows: list[dict[str, Any]] = []
    lines: list[str] = []
    async with stage(System("honeyguide", swap_share=0.0, trees=False), found, recording, seed) as on:
        await run(on, searches[: ends[0]], seed, PEOPLE)
        await on.learn()
        learned = on.models.current(on.searcher.strategies())
        policies = _policies(learned)
        truths: dict[str, np.ndarray] = {}
        for name, policy in policies.items():
            live = await _play(on, {policy: 1.0}, searches[ends[1] :], seed)
            earned = np.array([_earned(*one) for one in live])
            truths[name] = earned
            low, high = mean_interval(earned, -1.0, 1.0)
            rows.append(_own_row(scene_name, f"live:{name}", float(earned.mean()), low, high, len(live)))
        full = policies["full_depth"]
        for label, mix in (
            ("squarecb", {policies["squarecb"]: 1.0}),
            ("squarecb+full_depth", {policies["squarecb"]: 1.0 - FULL_SHARE, full: FULL_SHARE}),
        ):
            log = await _play(on, mix, searches[ends[0] : ends[1]], seed)
            told = estimate_policies(log, policies, learned, seed=seed)
            best = {name: leading(one) for name, one in told.items()}
            for name, one in told.items():
                for estimated in one.estimates:
                    system = f"{estimated.estimator}:{name} from {label}"
                    rows.append(
                        _own_row(scene_name, system, estimated.value, estimated.low, estimated.high, estimated.rounds)
                    )
                lines.append(_own_line(scene_name, seed, label, one, best[name], float(truths[name].mean())))
            compared = agreement(best, truths)
            for metric in ("rank_correlation", "told_apart", "right", "relative_error", "covered"):
                value = float(getattr(compared, metric))
                rows.append(_own_row(scene_name, f"agreement from {label}", value, value, value, len(log), metric))
            lines.append(
                f"| {scene_name} {seed} | {label} | *all five* | Kendall's tau {compared.rank_correlation:.2f}; "
                f"{compared.right} of {compared.told_apart} pairs told apart live are in the right order | "
                f"mean relative error {compared.relative_error:.1%} | {compared.covered:.0%} | | |"
            )
    return rows, lines


def _policies(learned: Learned) -> dict[str, Policy]:
    settings = OrchestratorSettings()
    options = PolicyOptions(
        Costs.of(learned.allocation.depths, CALL_COST, CANDIDATE_COST),
        settings.exploration_share,
        settings.exploration_share_known,
        settings.exploration_gamma,
        settings.exploration_warm_up,
        settings.epsilon,
    )
    return {name: POLICIES[name](replace(options, **changed)) for name, changed in TARGETS.items()}


async def _play(
    on: Stage, policies: Mapping[Policy, float], searches: Sequence[Search], seed: int, people: ClickModel = PEOPLE
) -> list[LoggedDecision]:
    """Searches decided by one of the policies each, by their shares, and what people clicked; nothing is learned."""
    log: list[LoggedDecision] = []
    for search in searches:
        random = Random(f"{seed} {search.number} play")
        policy = random.choices(list(policies), weights=list(policies.values()))[0]
        decided: DecisionRecord = await on.ask(policy, search.need.query, search.time_s)
        shown = decided.document_ids[:PAGE]
        clicks = people.clicks(shown, search.wanted, search.need.grades, random)
        log.append((decided, {shown[position - 1]: 1 / math.log2(1 + position) for position in clicks}))
    return log


def _earned(decided: DecisionRecord, rewards: Mapping[str, float]) -> float:
    return max(rewards.values(), default=0.0) - PRICES.of(decided.calls, decided.candidates_fetched)


def _own_row(
    collection: str, system: str, value: float, low: float, high: float, searches: int, metric: str = "reward"
) -> dict[str, Any]:
    return {
        "collection": collection,
        "scenario": "off-policy",
        "system": system,
        "metric": metric,
        "value": round(value, 5),
        "low": round(low, 5),
        "high": round(high, 5),
        "seeds": 1,
        "searches": searches,
    }


def _own_line(collection: str, seed: int, label: str, told: Evaluated, one: Estimate, truth: float) -> str:
    covers = "yes" if one.low <= truth <= one.high else "no"
    return (
        f"| {collection} {seed} | {label} | `{told.name}` by `{one.estimator}` | "
        f"{one.value:.4f} ({one.low:.4f}-{one.high:.4f}) | "
        f"{truth:.4f} | {covers} | {told.support.share:.0%} | {one.effective:,.0f} |"
    )


def main() -> None:
    """Writes benchmarks/results/off_policy.json and off_policy.md. QUICK=1: a smaller simulation."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows, lines = obd_rows()
    own: list[str] = []
    share = 0.2 if os.environ.get("QUICK") else 1.0
    for scene_name, seed in OWN[: 1 if share < 1 else None]:
        more, told = own_rows(scene_name, seed, share)
        rows += more
        own += told
    if own:
        lines += [
            "",
            "| collection, seed | log | policy | estimate | live | covers | support | effective |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *own,
        ]
    if rows:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "off_policy.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        (RESULTS / "off_policy.md").write_text("\n".join(lines) + "\n")
        print("\n".join(lines))


def _row(scenario: str, system: str, value: float, low: float, high: float, searches: int) -> dict[str, Any]:
    return {
        "collection": COLLECTION,
        "scenario": scenario,
        "system": system,
        "metric": "click_rate",
        "value": round(value, 5),
        "low": round(low, 5),
        "high": round(high, 5),
        "seeds": 1,
        "searches": searches,
    }


def _line(campaign: str, target: str, source: str, one: Estimate, truth: float) -> str:
    covers = "yes" if one.low <= truth <= one.high else "no"
    telling = max(one.high - one.value, one.value - one.low) <= TELLING * one.value
    return (
        f"| {campaign} | `{one.estimator}` of {target} from the {source} log | {one.value:.4f} | "
        f"{one.low:.4f}-{one.high:.4f} | {one.gain:+.4f} ({one.gain_low:+.4f} to {one.gain_high:+.4f}) | "
        f"{one.effective:,.0f} | {one.weight_max:,.1f} | {covers} | {'yes' if telling else 'too few clicks'} |"
    )


if __name__ == "__main__":
    main()

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

Second on our own decision logs: `estimate_policies` estimates what policies would have earned, `agreement` compares that
with what they earned when they really ran.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.collection import ROOT
from honeyguide_orchestrator.off_policy import reward_model
from honeyguide_orchestrator.off_policy.empirical_likelihood import mean_interval
from honeyguide_orchestrator.off_policy.estimators import estimate
from honeyguide_orchestrator.off_policy.rounds import Estimate, Rounds

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
    return counts / counts.sum(axis=1, keepdims=True)


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


def main() -> None:
    """Estimates every campaign and writes benchmarks/results/off_policy.json and off_policy.md."""
    campaigns = read_campaigns()
    if campaigns is None:
        print(f"{COLLECTION}: skipped, there is no {ROOT / COLLECTION}")
        return
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

"""Running evidence on what is compared: experiments, policies in shadow, and the cost of exploration.

A decision counts once, when its window closes, with what was credited to it by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.experiment import Mode, Trial
from honeyguide_orchestrator.experiment_evidence import ExperimentEvidence
from honeyguide_orchestrator.exploration_cost import ExplorationCost
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.shadow_evidence import ShadowEvidence

KEPT_MAX = 20
"""Experiments, policies in shadow and exploring policies kept; beyond that the one begun first leaves."""

T = TypeVar("T")


@dataclass(slots=True)
class Comparisons:
    """What was found so far.

    experiments: by their definition, so that a changed one begins anew. shadows, explorations: by policy.
    """

    experiments: dict[str, ExperimentEvidence] = field(default_factory=dict)
    shadows: dict[str, ShadowEvidence] = field(default_factory=dict)
    explorations: dict[str, ExplorationCost] = field(default_factory=dict)

    def closed(self, record: DecisionRecord, rewards: Mapping[str, float], prices: Prices) -> None:
        """Takes in a decision, and what each of its documents earned."""
        cost = prices.of(record.calls, record.candidates_fetched)
        net = max(rewards.values(), default=0.0) - cost
        trial, shadow = record.trial, record.shadow
        if trial is not None:
            definition = replace(trial, side="", bucket=0, teams=())
            known = _kept(self.experiments, _key(definition), lambda: ExperimentEvidence(definition))
            known.closed(record, trial, rewards, cost)
        if trial is None or trial.mode is Mode.SPLIT:
            # Beside the rewards of an interleaved page, which also goes by another policy or ranker, nothing compares.
            if shadow is not None:
                compared = _kept(self.shadows, shadow.policy, ShadowEvidence)
                compared.closed(record, shadow, net, prices)
            if not record.propensity_estimated:
                _kept(self.explorations, record.policy, ExplorationCost).closed(record, net)

    def to_state(self) -> dict[str, Any]:
        """Everything found, as plain values."""
        return {
            "experiments": [evidence.to_state() for evidence in self.experiments.values()],
            "shadows": {policy: evidence.to_state() for policy, evidence in self.shadows.items()},
            "explorations": {policy: cost.to_state() for policy, cost in self.explorations.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Comparisons:
        """What `to_state` was asked of; an empty state is that of the beginning."""
        experiments = [ExperimentEvidence.from_state(one) for one in state.get("experiments", ())]
        return cls(
            {_key(one.trial): one for one in experiments},
            {policy: ShadowEvidence.from_state(one) for policy, one in state.get("shadows", {}).items()},
            {policy: ExplorationCost.from_state(one) for policy, one in state.get("explorations", {}).items()},
        )


def _key(trial: Trial) -> str:
    return f"{trial.experiment}: {trial.mode.value}, {trial.a.text} against {trial.b.text}"


def _kept(table: dict[str, T], key: str, begin: Callable[[], T]) -> T:
    if key not in table:
        if len(table) >= KEPT_MAX:
            del table[next(iter(table))]
        table[key] = begin()
    return table[key]

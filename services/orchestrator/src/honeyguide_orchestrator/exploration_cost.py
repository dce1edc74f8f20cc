"""What exploration costs: as the policy predicts it, and as it turned out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from honeyguide_orchestrator.decision_log import DecisionRecord
from honeyguide_orchestrator.weighted_difference import WeightedDifference


@dataclass(slots=True)
class ExplorationCost:
    """Running sums over the decisions of one policy.

    explored: of `decisions`, those that drew something else than what looked best. forgone: sum of the net reward that
    they were predicted to lose. explored_net: sum of the net reward of those. difference: of always drawing what looked
    best to what was drawn, net of cost; explored decisions count for it as often as chance let them be made, so that
    searches where exploring is likelier do not distort it.
    """

    decisions: int = 0
    explored: int = 0
    forgone: float = 0.0
    explored_net: float = 0.0
    difference: WeightedDifference = field(default_factory=WeightedDifference)

    def closed(self, record: DecisionRecord, net: float) -> None:
        """Takes in a decision that earned `net`."""
        exploration = record.exploration
        self.decisions += 1
        self.explored += exploration.explored
        self.forgone += exploration.forgone
        self.explored_net += net if exploration.explored else 0.0
        self.difference.add(0.0 if exploration.explored else 1.0 / exploration.best_propensity, net)

    def to_state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {
            "decisions": self.decisions,
            "explored": self.explored,
            "forgone": self.forgone,
            "explored_net": self.explored_net,
            "difference": self.difference.to_state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ExplorationCost:
        """What `to_state` was asked of."""
        return cls(**{**state, "difference": WeightedDifference.from_state(state["difference"])})

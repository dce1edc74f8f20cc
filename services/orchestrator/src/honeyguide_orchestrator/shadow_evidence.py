"""How a policy in shadow compares to the one that is obeyed: agreement, cost, and what it would have earned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from honeyguide_orchestrator.decision_log import DecisionRecord, LoggedShadow
from honeyguide_orchestrator.prices import Prices
from honeyguide_orchestrator.weighted_difference import WeightedDifference

PROPENSITY_MIN = 0.05
"""Of what would be drawn more seldom, a few decisions that hardly ever come up would stand for most, and no interval
knows of them before they do."""


@dataclass(slots=True)
class Asked:
    """Sums of what was asked, by depths: strategies called, candidates asked for, and their cost."""

    calls: float = 0.0
    candidates: float = 0.0
    cost: float = 0.0

    def add(self, depths: Mapping[str, int], prices: Prices) -> None:
        """Adds an allocation."""
        calls, candidates = len(depths), sum(depths.values())
        self.calls += calls
        self.candidates += candidates
        self.cost += prices.of(calls, candidates)


@dataclass(slots=True)
class ShadowEvidence:
    """Running sums over the decisions at which one policy stood in shadow.

    agreed: of `decisions`, those that asked the very same. supported: those at which the policy obeyed would have drawn
    what the shadow drew by a known probability of `PROPENSITY_MIN` or more: over them alone the rewards are compared.
    difference: the shadow's net reward less the one earned there.
    """

    decisions: int = 0
    agreed: int = 0
    supported: int = 0
    shadow: Asked = field(default_factory=Asked)
    obeyed: Asked = field(default_factory=Asked)
    difference: WeightedDifference = field(default_factory=WeightedDifference)

    def closed(self, record: DecisionRecord, shadow: LoggedShadow, net: float, prices: Prices) -> None:
        """Takes in a decision that earned `net`."""
        would, did = dict(shadow.depths), {one.name: one.depth for one in record.strategies if one.depth}
        self.decisions += 1
        self.agreed += would == did
        self.shadow.add(would, prices)
        self.obeyed.add(did, prices)
        if shadow.propensity >= PROPENSITY_MIN and not record.propensity_estimated:
            self.supported += 1
            self.difference.add(1.0 / shadow.propensity if shadow.drawn else 0.0, net)

    def to_state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ShadowEvidence:
        """What `to_state` was asked of."""
        parts = {"shadow": Asked(**state["shadow"]), "obeyed": Asked(**state["obeyed"])}
        return cls(**{**state, **parts, "difference": WeightedDifference.from_state(state["difference"])})

"""Target policies as people name them: `squarecb`, or `squarecb:exploration_share=0.1,exploration_gamma=200`."""

from __future__ import annotations

import math
from collections.abc import Mapping

from honeyguide.errors import InvalidArgument
from honeyguide_orchestrator.allocation_model import Costs
from honeyguide_orchestrator.off_policy.log_file import LogHead
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.policy import Policy, PolicyOptions

RANGES: Mapping[str, tuple[float, float]] = {
    "exploration_share": (0.0, 1.0),
    "exploration_share_known": (0.0, 1.0),
    "exploration_gamma": (1e-9, 1e9),
    "exploration_warm_up": (0.0, 1e6),
    "epsilon": (0.0, 1.0),
    "call_cost": (0.0, 1.0),
    "candidate_cost": (0.0, 1.0),
}
"""Options and what is allowed. A policy decides by its own costs, if given; it is judged by those of the log."""

NOT_IN_EARLIER_LOGS = {"exploration_warm_up": 0.0}


def target_policy(text: str, head: LogHead) -> Policy:
    """The policy, tuned as the log's system is but for the options given.

    Raises:
        InvalidArgument: an unknown policy or option, or a value that is not allowed.
    """
    name, _, rest = text.partition(":")
    if name not in POLICIES:
        raise InvalidArgument("policy", f"{name[:80]!r} is not one of {', '.join(POLICIES)}")
    values = {**NOT_IN_EARLIER_LOGS, **head.options}
    values.setdefault("exploration_share_known", values["exploration_share"])
    values |= {"call_cost": head.prices.call, "candidate_cost": head.prices.candidate}
    values |= options_of(rest, RANGES)
    return POLICIES[name](
        PolicyOptions(
            costs=Costs.of(head.depths, values["call_cost"], values["candidate_cost"]),
            exploration_share=values["exploration_share"],
            exploration_share_known=values["exploration_share_known"],
            gamma=values["exploration_gamma"],
            warm_up=values["exploration_warm_up"],
            epsilon=values["epsilon"],
        )
    )


def options_of(text: str, ranges: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Reads `name=value,name=value`.

    Raises:
        InvalidArgument: an unknown name, or a value out of its range.
    """
    values = {}
    for part in filter(None, text.split(",")):
        name, given, value = part.partition("=")
        if name not in ranges or not given:
            raise InvalidArgument("policy", f"{part[:80]!r} is not name=value with a name of {', '.join(ranges)}")
        low, high = ranges[name]
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise InvalidArgument("policy", f"{name}={value[:80]}: {low:g} to {high:g} is allowed")
        values[name] = number
    return values

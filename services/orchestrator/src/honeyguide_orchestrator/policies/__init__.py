"""The policies that can be configured. A new one is one file here and one line below."""

from __future__ import annotations

from collections.abc import Mapping

from honeyguide_orchestrator.policies.epsilon_greedy import EpsilonGreedy
from honeyguide_orchestrator.policies.fixed import FullDepth, Safe
from honeyguide_orchestrator.policies.greedy import Greedy
from honeyguide_orchestrator.policies.squarecb import SquareCB
from honeyguide_orchestrator.policies.thompson import Thompson
from honeyguide_orchestrator.policy import PolicyFactory

POLICIES: Mapping[str, PolicyFactory] = {
    "squarecb": lambda options: SquareCB(
        options.costs, options.exploration_share, options.exploration_share_known, options.gamma, options.warm_up
    ),
    "epsilon_greedy": lambda options: EpsilonGreedy(options.costs, min(options.epsilon, options.exploration_share)),
    "greedy": lambda options: Greedy(options.costs),
    "thompson": lambda options: Thompson(options.costs, options.exploration_share),
    "full_depth": lambda options: FullDepth(),
    "safe": lambda options: Safe(),
}

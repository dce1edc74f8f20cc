"""What each part is worth: Honeyguide without it, on the same streams."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Unpack

import numpy as np

from benchmarks.quality.simulation import PolicySettings, System
from honeyguide_orchestrator.allocation_model import AllocationModel, Costs
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.policy import Draw, Policy, PolicyOptions, Situation
from honeyguide_orchestrator.settings import OrchestratorSettings
from honeyguide_orchestrator.situation import FEATURES

MEMORY = frozenset({"memory.query", "memory.near", "memory.user", "memory.popular", "memory.fresh"})

CONTEXT_GROUPS: Mapping[str, Collection[str]] = {
    "look of the query": ("words", "characters", "digits", "question", "not_latin", "empty"),
    "what memory knows": ("known", "entropy", "top_share", "near_similarity", "in_vain", "always_in_vain"),
    "idf and coverage": ("idf_max", "coverage", "corrected"),
    "understanding": (
        "confidence",
        "text_intent",
        "named_documents",
        *(f for f in FEATURES if f.startswith("intent_")),
    ),
    "hashed words": tuple(f for f in FEATURES if f.startswith("word_")),
    "time": ("hour_sin", "hour_cos", "weekend", "season_sin", "season_cos"),
}
"""Groups of the context's features; users are anonymous in these streams, so theirs are constant."""


class Altered:
    """A policy that sees a changed model."""

    def __init__(self, policy: Policy, alter: Callable[[AllocationModel], AllocationModel]) -> None:
        self.name = policy.name
        self._policy = policy
        self._alter = alter
        self._seen: tuple[AllocationModel, AllocationModel] | None = None

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        return self._policy.draw(situation, self._altered(model), rng)

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`."""
        return self._policy.distribution(situation, self._altered(model), rng)

    def _altered(self, model: AllocationModel) -> AllocationModel:
        if self._seen is None or self._seen[0] is not model:
            self._seen = (model, self._alter(model))
        return self._seen[1]


def squarecb(costs: Costs, **options: Unpack[PolicySettings]) -> Policy:
    """Honeyguide's policy, with settings of its own if given."""
    settings = OrchestratorSettings(**options)
    chosen = PolicyOptions(
        costs,
        settings.exploration_share,
        settings.exploration_share_known,
        settings.exploration_gamma,
        settings.exploration_warm_up,
        settings.epsilon,
    )
    return POLICIES["squarecb"](chosen)


def without_overlap(model: AllocationModel) -> AllocationModel:
    """The model, blind for which strategies missed."""
    weights = model.weights.copy()
    weights[:, :, len(FEATURES) :] = 0
    return replace(model, weights=weights)


def ablations() -> dict[str, System]:
    """Systems by what is missing or different."""
    systems = {
        "honeyguide": System("honeyguide"),
        "without the bandit (full depth)": System("full_depth", "full_depth"),
        "without the bandit (safe)": System("safe", "safe"),
        "without memory": System("no memory", hidden=MEMORY, memory=False),
        "without impressions": System("no impressions", impressions=False),
        "without query understanding": System("no understanding", understanding=False),
        "without the online ranker (prior)": System("prior", ranker="prior"),
        "without exploration (greedy)": System("greedy", "greedy"),
        "without warm-up": System("no warm-up", options={"exploration_warm_up": 0.0}),
        "without overlap learning": System("no overlap", lambda costs: Altered(squarecb(costs), without_overlap)),
        "policy epsilon_greedy": System("epsilon_greedy", "epsilon_greedy"),
        "policy thompson": System("thompson", "thompson"),
        "ranker fusion": System("fusion", ranker="fusion"),
        "ranker linear": System("linear", ranker="linear"),
        "ranker lambdamart": System("lambdamart", ranker="lambdamart", trees=True),
    }
    for group, features in CONTEXT_GROUPS.items():
        systems[f"without context: {group}"] = System(group, masked=frozenset(features))
    everything = frozenset(FEATURES) - {"bias"}
    systems["without context: all of it"] = System("no context", masked=everything)
    return systems

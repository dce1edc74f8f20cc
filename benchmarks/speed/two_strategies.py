"""Full text and embeddings at full depth, and nothing else: what the bare loop asks, as a policy of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np

from honeyguide_orchestrator.allocation_model import AllocationModel
from honeyguide_orchestrator.distribution import Distribution
from honeyguide_orchestrator.policies import POLICIES
from honeyguide_orchestrator.policy import Draw, PolicyFactory, Situation, certain

ASKED = ("lexical.bm25", "vector.dense")
NAME = "two_at_full_depth"


class TwoAtFullDepth:
    """Asks `ASKED` for as much as the ladder allows."""

    name = NAME

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """See `Policy`."""
        chosen = np.array([name in ASKED for name in model.strategies]) & situation.allowed
        return certain(np.where(chosen, len(model.depths), 0))

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """See `Policy`."""
        return Distribution.certain(self.draw(situation, model, rng).rungs)


@contextmanager
def with_two_strategies() -> Iterator[None]:
    """Engines opened inside know the policy, for searches that name it."""
    policies = cast(dict[str, PolicyFactory], POLICIES)
    policies[NAME] = lambda options: TwoAtFullDepth()
    try:
        yield
    finally:
        del policies[NAME]

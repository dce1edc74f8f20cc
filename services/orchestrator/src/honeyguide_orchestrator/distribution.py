"""All that a policy may draw in one situation, each with its probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.allocation_model import Depths

Rungs = npt.NDArray[np.int8]
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution over allocations.

    allocations: [K, S] int8, rows of rungs, all different. probabilities: [K], in (0, 1], adding up to 1. estimated:
    they come from sampling, so that an allocation drawn seldom may be missing.
    """

    allocations: Rungs
    probabilities: Probabilities
    estimated: bool = False

    def probability(self, rungs: Depths | Rungs) -> float:
        """Probability of one allocation; 0 if it is never drawn."""
        return float(self.probabilities[(self.allocations == rungs).all(axis=1)].sum())

    @classmethod
    def certain(cls, rungs: Depths) -> Distribution:
        """Of a policy that does not draw."""
        return cls(rungs[None, :].astype(np.int8), np.ones(1))

    @classmethod
    def counted(cls, draws: Depths) -> Distribution:
        """Of draws [n, S], by how often each came up."""
        allocations, counts = np.unique(draws.astype(np.int8), axis=0, return_counts=True)
        return cls(allocations, counts / len(draws), estimated=True)

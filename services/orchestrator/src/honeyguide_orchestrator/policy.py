"""The seam of policies: given a situation, draw an allocation and say how likely it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from honeyguide_orchestrator.allocation_model import AllocationModel, Costs, Depths, Floats
from honeyguide_orchestrator.distribution import Distribution


@dataclass(frozen=True, slots=True)
class Situation:
    """What a policy decides on.

    x: context features, [F] float32. allowed: [S] bool, strategies whose needs the search meets.
    dependable: [S] bool, strategies of which at least one must be asked. exploring: [S] bool, exploration strategies.
    answered: [S], the rung at which a strategy has answered already, so that asking it costs nothing; 0 = it has not.
    """

    x: Floats
    allowed: npt.NDArray[np.bool_]
    dependable: npt.NDArray[np.bool_]
    exploring: npt.NDArray[np.bool_]
    answered: Depths

    @property
    def undecided(self) -> npt.NDArray[np.bool_]:
        """[S]: strategies that may be asked or not; one that has answered is always made use of."""
        undecided: npt.NDArray[np.bool_] = self.allowed & (self.answered == 0)
        return undecided

    @property
    def must_ask(self) -> npt.NDArray[np.bool_]:
        """Strategies one of which must be asked: the dependable ones, or any if none of those is allowed."""
        able = self.dependable & self.allowed
        return able if able.any() else self.allowed


@dataclass(frozen=True, slots=True)
class Exploration:
    """How far a draw is from the allocation that looked best.

    explored: it is another one. best_propensity: probability with which the policy draws the best-looking one, in
    (0, 1]. forgone: predicted net reward of the best-looking one less that of the one drawn.
    """

    explored: bool
    best_propensity: float
    forgone: float


NO_EXPLORATION = Exploration(explored=False, best_propensity=1.0, forgone=0.0)
"""Of a policy that draws one allocation only."""


@dataclass(frozen=True, slots=True)
class Draw:
    """An allocation and its probabilities.

    rungs: [S], 0 = not called, r = the r-th depth of the ladder. propensities: [S], marginal probability with which
    each strategy's rung was drawn. propensity: probability of the whole allocation. All in (0, 1]; `estimated` says
    that they come from sampling. distribution: all that might have been drawn; None = not known.
    """

    rungs: Depths
    propensities: npt.NDArray[np.float64]
    propensity: float
    estimated: bool = False
    exploration: Exploration = NO_EXPLORATION
    distribution: Distribution | None = None


class Policy(Protocol):
    """Decides. Stateless: everything learned is in the model."""

    @property
    def name(self) -> str:
        """The name under which it is configured and logged."""
        ...

    def draw(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Draw:
        """Draws an allocation that asks at least one of `situation.must_ask`."""
        ...

    def distribution(self, situation: Situation, model: AllocationModel, rng: np.random.Generator) -> Distribution:
        """All that `draw` may draw: exact, or by sampling where there is no closed form, and then marked so."""
        ...


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """What policies can be tuned with; see `OrchestratorSettings` for meaning and range."""

    costs: Costs
    exploration_share: float
    exploration_share_known: float
    gamma: float
    warm_up: float
    epsilon: float


PolicyFactory = Callable[[PolicyOptions], Policy]


def both(a: Draw, b: Draw) -> Draw:
    """A draw that asks for as much as either of two independent ones; nothing is known but a bound of its chances."""
    return Draw(
        np.maximum(a.rungs, b.rungs), a.propensities * b.propensities, a.propensity * b.propensity, estimated=True
    )


def certain(rungs: Depths) -> Draw:
    """The draw of a policy that does not draw."""
    return Draw(rungs, np.ones(len(rungs)), 1.0, distribution=Distribution.certain(rungs))


def middle_rung(rungs: int) -> int:
    """The rung in the middle of a ladder of so many above 0."""
    return (rungs + 1) // 2


def safe_rungs(situation: Situation, model: AllocationModel) -> Depths:
    """The safe allocation, which takes no learning: the middle of the ladder of every strategy that exploits."""
    asked = situation.allowed & (~situation.exploring | situation.must_ask)
    return np.where(asked, middle_rung(len(model.depths)), 0)


def with_dependable(
    rungs: Depths, order: Sequence[int], situation: Situation, model: AllocationModel, costs: Costs
) -> Depths:
    """The allocation, asked in that order, with the dependable strategy of highest predicted net reward added last if
    it asks none."""
    must_ask = situation.must_ask
    if rungs[must_ask].any() or not must_ask.any():
        return rungs
    net = model.additions(situation.x, rungs, order, costs)
    net[~must_ask] = -np.inf
    strategy, rung = divmod(int(np.argmax(net)), net.shape[1])
    extended = rungs.copy()
    extended[strategy] = rung + 1
    return extended

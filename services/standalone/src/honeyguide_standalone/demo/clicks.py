"""How simulated users click: a position-based model with noise, as people who look down a list and stop when happy.

A result at position r is looked at with probability (1 / r) ** BIAS; one looked at is clicked with a probability that
depends only on whether it would do: the examination hypothesis of the position-based model (Craswell, Zoeter, Taylor
and Ramsey, "An experimental comparison of click position-bias models", WSDM 2008; chapter 3 of Chuklin, Markov and de
Rijke, "Click Models for Web Search", 2015). As in that book's dynamic Bayesian network, whoever found what they
wanted looks no further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

BIAS = 0.5
CLICK_WANTED = 0.9
CLICK_OTHER = 0.03
LIKE_SHARE = 0.15
PLAY_SHARE = 0.5
PLAY_S = (20.0, 5_400.0)
GLANCE_S = 8.0


@dataclass(frozen=True, slots=True)
class Act:
    """One action on the result at a position (from 1): click, like or play, with seconds for a play."""

    position: int
    action: str
    seconds: float = 0.0


def act_on(shown: Sequence[str], wanted: frozenset[str], random: Random) -> list[Act]:
    """What somebody who wants any of `wanted` does with the document ids shown, in order."""
    acts: list[Act] = []
    for position, document_id in enumerate(shown, start=1):
        if random.random() >= (1.0 / position) ** BIAS:
            continue
        if document_id not in wanted:
            if random.random() < CLICK_OTHER:
                acts.append(Act(position, "click"))
                if random.random() < PLAY_SHARE:
                    acts.append(Act(position, "play", random.uniform(0.0, GLANCE_S)))
        elif random.random() < CLICK_WANTED:
            acts.append(Act(position, "click"))
            if random.random() < PLAY_SHARE:
                acts.append(Act(position, "play", random.uniform(*PLAY_S)))
            if random.random() < LIKE_SHARE:
                acts.append(Act(position, "like"))
            break
    return acts

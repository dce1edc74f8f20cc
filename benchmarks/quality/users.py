"""Click models: what simulated people do with a page. They see what is shown, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

CLICK_WANTED = 0.9
CLICK_RELATED = 0.15
"""Chance to click a document that is judged good for the query but is not the one wanted."""

CLICK_OTHER = 0.03


class ClickModel(Protocol):
    """Draws the positions (from 1) that are clicked."""

    def clicks(self, shown: Sequence[str], wanted: str, grades: Mapping[str, int], random: Random) -> list[int]:
        """Positions clicked on a page of document ids."""
        ...


@dataclass(frozen=True, slots=True)
class PositionBased:
    """Position r is looked at with probability r ** -bias, whatever stands elsewhere (position-based model: Craswell,
    Zoeter, Taylor and Ramsey, WSDM 2008; Joachims, Swaminathan and Schnabel, WSDM 2017, section 5). bias 0 = none;
    noise: chance to click what is looked at and neither wanted nor related."""

    bias: float = 0.7
    noise: float = CLICK_OTHER

    def clicks(self, shown: Sequence[str], wanted: str, grades: Mapping[str, int], random: Random) -> list[int]:
        """See `ClickModel`."""
        return [
            position
            for position, document in enumerate(shown, start=1)
            if random.random() < position**-self.bias
            and random.random() < _attraction(document, wanted, grades, self.noise)
        ]


@dataclass(frozen=True, slots=True)
class Cascade:
    """From the top down, to the wanted document or until patience ends (cascade model, Craswell et al. 2008, with the
    dynamic Bayesian network's perseverance, Chapelle and Zhang, WWW 2009)."""

    perseverance: float = 0.9

    def clicks(self, shown: Sequence[str], wanted: str, grades: Mapping[str, int], random: Random) -> list[int]:
        """See `ClickModel`."""
        clicked = []
        for position, document in enumerate(shown, start=1):
            if random.random() < _attraction(document, wanted, grades, CLICK_OTHER):
                clicked.append(position)
                if document == wanted:
                    break
            if random.random() >= self.perseverance:
                break
        return clicked


@dataclass(frozen=True, slots=True)
class Mixture:
    """Some people look down the list in one way, some in another."""

    first: ClickModel
    second: ClickModel
    first_share: float = 0.5

    def clicks(self, shown: Sequence[str], wanted: str, grades: Mapping[str, int], random: Random) -> list[int]:
        """See `ClickModel`."""
        model = self.first if random.random() < self.first_share else self.second
        return model.clicks(shown, wanted, grades, random)


PEOPLE: ClickModel = Mixture(PositionBased(), Cascade())


def _attraction(document: str, wanted: str, grades: Mapping[str, int], noise: float) -> float:
    if document == wanted:
        return CLICK_WANTED
    return CLICK_RELATED if document in grades else noise

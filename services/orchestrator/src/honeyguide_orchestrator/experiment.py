"""An experiment: two variants of policy and ranker, who of the users gets which, and what a search's part in it was.

*split*: every unit (a user; else a session; else a search by itself) gets one variant for as long as the experiment
lasts, and the rewards net of cost are compared. *interleave*: both variants rank every search, their lists are
interleaved on one page, and whose documents people act on is compared: no user sees one variant alone, which takes the
differences between users and queries out of the comparison and so needs far fewer searches (Chapelle, Joachims,
Radlinski and Yue, "Large-scale validation and analysis of interleaved search evaluation", 2012), but says nothing of
costs.

Units are told apart by a hash with the experiment's name: every replica gives a user the same variant, and users are
dealt anew in the next experiment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

BUCKETS = 100
"""Units are gathered in that many buckets a variant, whose means tell how much units differ."""

A, B = "a", "b"

_WORD = 4


class Mode(StrEnum):
    """How variants are compared."""

    SPLIT = "split"
    INTERLEAVE = "interleave"


class Variant(BaseModel):
    """A policy and a ranker by name; an empty one stands for the live one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: str = ""
    ranker: str = ""

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.policy} + {self.ranker}"


class Experiment(BaseModel):
    """What is compared.

    Attributes:
        name: letters, digits, `_`, `.` and `-`; another name deals the users anew.
        mode: split or interleave.
        share: of the units that take part, above 0 to 1; the others get the live policy and ranker.
        a: what is there; by default the live policy and ranker.
        b: what is new.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    mode: Mode = Mode.SPLIT
    share: float = Field(1.0, gt=0, le=1)
    a: Variant = Variant()
    b: Variant

    def over(self, policy: str, ranker: str) -> Experiment:
        """The experiment with the live policy and ranker written out."""
        variants = {
            name: Variant(policy=variant.policy or policy, ranker=variant.ranker or ranker)
            for name, variant in ((A, self.a), (B, self.b))
        }
        return self.model_copy(update=variants)

    def assign(self, unit: str) -> Trial | None:
        """The part of a search by this unit; None if the unit takes no part."""
        digest = blake2b(f"{self.name}\n{unit}".encode(), digest_size=3 * _WORD).digest()
        words = [int.from_bytes(digest[i : i + _WORD], "big") for i in range(0, len(digest), _WORD)]
        if words[0] >= self.share * 2 ** (8 * _WORD):
            return None
        side = (A, B)[words[1] % 2] if self.mode is Mode.SPLIT else ""
        return Trial(self.name, self.mode, self.a, self.b, side, words[2] % BUCKETS)


@dataclass(frozen=True, slots=True)
class Trial:
    """A search's part in an experiment, as it is logged.

    side: "a" or "b", the variant that served; empty if both were interleaved. bucket: of the unit, 0 to 99.
    teams: interleaved rows of the first page: 1 = a's, 2 = b's, 0 = neither's, which earns no credit.
    """

    experiment: str
    mode: Mode
    a: Variant
    b: Variant
    side: str
    bucket: int
    teams: tuple[int, ...] = ()

    @property
    def serving(self) -> Variant:
        """The variant that served, or the first of the two."""
        return self.b if self.side == B else self.a

    @property
    def rival(self) -> Variant | None:
        """The variant that the serving one is interleaved with."""
        return self.b if self.mode is Mode.INTERLEAVE else None

    def with_teams(self, teams: Sequence[int]) -> Trial:
        """This part, with whose document every row of the first page is."""
        return replace(self, teams=tuple(teams))

    def to_plain(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "experiment": self.experiment,
            "mode": self.mode.value,
            "a": self.a.model_dump(),
            "b": self.b.model_dump(),
            "side": self.side,
            "bucket": self.bucket,
            "teams": list(self.teams),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Trial:
        """What `to_plain` was asked of."""
        return cls(
            plain["experiment"],
            Mode(plain["mode"]),
            Variant(**plain["a"]),
            Variant(**plain["b"]),
            plain["side"],
            plain["bucket"],
            tuple(plain["teams"]),
        )

"""Decayed action mass: how much positive and negative action a pair has seen, at two half-lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

PACKED = np.dtype(
    [("pos_short", "<f4"), ("neg_short", "<f4"), ("pos_long", "<f4"), ("neg_long", "<f4"), ("last_s", "<f8")]
)


@dataclass(frozen=True, slots=True)
class HalfLives:
    """The two half-lives, in seconds, and the weight of the short one, in [0, 1], when both are mixed."""

    short_s: float
    long_s: float
    short_share: float


@dataclass(frozen=True, slots=True)
class Masses:
    """The pairs of one owner as of one time; entry i of every column belongs to target i.

    `positive` and `net` (positive less negative) mix both half-lives; one fresh action of weight 1 counts 1.
    `short` and `long` are net masses at each half-life. `last_s` is the time of the newest action.
    """

    targets: list[bytes]
    positive: Doubles
    net: Doubles
    short: Doubles
    long: Doubles
    last_s: Doubles

    def __len__(self) -> int:
        return len(self.targets)


NOTHING = Masses([], *(np.empty(0) for _ in range(5)))


def masses(stored: Sequence[bytes], now_s: float, lives: HalfLives) -> Masses:
    """Reads an owner's hash, targets and packed masses in turns, as of `now_s`.

    m(t) = m(last) 2^(-(t - last) / half-life); actions newer than `now_s` count as of now.
    """
    return masses_of_each([stored], now_s, lives)[0]


def masses_of_each(stored: Sequence[Sequence[bytes]], now_s: float, lives: HalfLives) -> list[Masses]:
    """Reads the hashes of several owners at once, which costs little more than one."""
    rows = np.frombuffer(b"".join([b"".join(each[1::2]) for each in stored]), PACKED)
    if not len(rows):
        return [NOTHING] * len(stored)
    last_s = rows["last_s"].astype(np.float64)
    age_s = np.maximum(0.0, now_s - last_s)
    fade_short, fade_long = np.exp2(age_s / -lives.short_s), np.exp2(age_s / -lives.long_s)
    share = lives.short_share
    positive = share * rows["pos_short"] * fade_short + (1 - share) * rows["pos_long"] * fade_long
    short = (rows["pos_short"].astype(np.float64) - rows["neg_short"]) * fade_short
    long = (rows["pos_long"].astype(np.float64) - rows["neg_long"]) * fade_long
    net = share * short + (1 - share) * long
    found, begin = [], 0
    for each in stored:
        end = begin + len(each) // 2
        cut = slice(begin, end)
        found.append(Masses(list(each[::2]), positive[cut], net[cut], short[cut], long[cut], last_s[cut]))
        begin = end
    return found

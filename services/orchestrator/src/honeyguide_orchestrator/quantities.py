"""Numbers, years, decades, dates and ranges in a query, by notation alone: digits and signs, no words of any language.

Known notations: 1994 · 3.5 · 1,000 · 90s, 90's, 1990s, 90er · 1990-1999, 1990-99, 1990..1999 · <1990, >=1990, =1990 ·
1990+ · 1994-05-23.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from honeyguide.text import fold
from honeyguide_orchestrator.language import has_digits

_QUANTITIES_MAX = 8
_NUMBER = r"(?:\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.\d{1,9})?"
_DASH = r"\s*(?:-|\u2010|\u2011|\u2012|\u2013|\u2014|\.\.)\s*"
_PATTERN = re.compile(
    r"(?<![^\W_])(?<!\d[.,])(?:"
    r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    rf"|(?P<from>{_NUMBER}){_DASH}(?P<to>{_NUMBER})"
    rf"|(?P<sign><=|>=|<|>|=|\u2264|\u2265)\s*(?P<bound>{_NUMBER})"
    r"|(?P<decade>\d{0,2}\d0)\s?['\u2019]?(?:s|er)"
    rf"|(?P<least>{_NUMBER})\+"
    rf"|(?P<plain>{_NUMBER})"
    r")(?![^\W_])(?![.,]\d)",
)
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A closed interval of numbers written in words `begin` to `end` (exclusive, counted from 0) of a query.

    Attributes:
        low: lower bound, -inf = open.
        high: upper bound, inf = open.
        unit: "number": any number (a whole one from 1000 to 2999 may be a year); "year": years for certain (a decade);
            "second": seconds since 1970-01-01 (a date).
        explicit: the notation says that it is a quantity; a bare number does not.
    """

    begin: int
    end: int
    low: float
    high: float
    unit: str = "number"
    explicit: bool = False

    def times(self) -> tuple[float, float] | None:
        """The interval as seconds since 1970-01-01, both included; None if it can't be one of time."""
        if self.unit == "second":
            return self.low, self.high
        bounds = [bound for bound in (self.low, self.high) if math.isfinite(bound)]
        if not all(1000 <= bound < 3000 for bound in bounds):
            return None
        low = -math.inf if self.low == -math.inf else _year_begins_s(math.ceil(self.low))
        high = math.inf if self.high == math.inf else _year_begins_s(math.floor(self.high) + 1) - 1e-6
        return (low, high) if low <= high else None


def find_quantities(query: str, now_s: float) -> tuple[Quantity, ...]:
    """The quantities written in a query, in order; at most 8.

    A decade of two digits may be of this century or the last ("20s"): both are given, unless it lies ahead of `now_s`.
    Word positions are those of `honeyguide.text.words`.
    """
    folded = fold(query)
    if not has_digits(folded):
        return ()
    words = [match.span() for match in _WORD.finditer(folded)]
    found: list[Quantity] = []
    for match in _PATTERN.finditer(folded):
        inside = [i for i, (begin, end) in enumerate(words) if begin < match.end() and match.start() < end]
        if inside:
            found.extend(_read(match, inside[0], inside[-1] + 1, now_s))
        if len(found) >= _QUANTITIES_MAX:
            break
    return tuple(found[:_QUANTITIES_MAX])


def _read(match: re.Match[str], begin: int, end: int, now_s: float) -> list[Quantity]:
    group = match.groupdict()
    if group["year"]:
        return _date(int(group["year"]), int(group["month"]), int(group["day"]), begin, end)
    if group["from"]:
        low, high = _number(group["from"]), _number(_with_prefix(group["to"], group["from"]))
        return [Quantity(begin, end, low, high, explicit=True)] if low <= high else []
    if group["sign"]:
        bound = _number(group["bound"])
        low, high = {
            "<": (-math.inf, math.nextafter(bound, -math.inf)),
            "<=": (-math.inf, bound),
            "\u2264": (-math.inf, bound),
            ">": (math.nextafter(bound, math.inf), math.inf),
            ">=": (bound, math.inf),
            "\u2265": (bound, math.inf),
            "=": (bound, bound),
        }[group["sign"]]
        return [Quantity(begin, end, low, high, explicit=True)]
    if group["decade"]:
        return [
            Quantity(begin, end, float(first), float(first + 9), "year", explicit=True)
            for first in _decades(group["decade"], now_s)
        ]
    if group["least"]:
        return [Quantity(begin, end, _number(group["least"]), math.inf, explicit=True)]
    number = _number(group["plain"])
    return [Quantity(begin, end, number, number)]


def _date(year: int, month: int, day: int, begin: int, end: int) -> list[Quantity]:
    try:
        first = date(year, month, day)
        low = datetime(first.year, first.month, first.day, tzinfo=UTC)
        high = low + timedelta(days=1, microseconds=-1)
    except (ValueError, OverflowError):  # 1994-13-40, or the last day there is
        return []
    return [Quantity(begin, end, low.timestamp(), high.timestamp(), "second", explicit=True)]


def _decades(digits: str, now_s: float) -> list[int]:
    if len(digits) == 4:
        return [int(digits)] if int(digits) >= 1000 else []
    if len(digits) != 2:
        return []
    this_year = datetime.fromtimestamp(min(max(now_s, 0.0), 2.5e11), UTC).year
    century = this_year // 100 * 100
    decades = (century + int(digits), century - 100 + int(digits))
    return [first for first in decades if first <= this_year]


def _with_prefix(digits: str, longer: str) -> str:
    # 1990-99 means 1990-1999: the shorter side goes on from the longer one.
    if digits.isdigit() and longer.isdigit() and len(digits) < len(longer) == 4 and _number(digits) < _number(longer):
        return longer[: len(longer) - len(digits)] + digits
    return digits


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _year_begins_s(year: int) -> float:
    return datetime(year, 1, 1, tzinfo=UTC).timestamp()

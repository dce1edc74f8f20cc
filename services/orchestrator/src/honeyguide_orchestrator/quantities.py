"""Numbers, years, decades, dates and ranges in a query: by notation, and by the English words that compare with them.

Known notations: 1994 · 3.5 · 1,000 · 90s, 90's, 1990s, 90er · 1990-1999, 1990-99, 1990..1999 · <1990, >=1990, =1990 ·
1990+ · 1994-05-23. A sign of money or its name may be written with a number: $100, 100 eur.

Known words are those of `_BEFORE`, `_BEHIND` and `_TO`: under 100 · at least 3.5 · before the 90s · since 1994-05-23 ·
100 or less · between 50 and 100 · 1990 to 1999.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from honeyguide.text import fold, words
from honeyguide_orchestrator.language import has_digits


class _Comparison(NamedTuple):
    """What words beside a number say of it.

    Attributes:
        sign: the notation that says the same.
        of_amount: they are said of amounts, hardly ever of times.
        doubtful: they are names as well (Air Max 90).
        or_itself: they may mean just that number as well (songs from 1985).
    """

    sign: str
    of_amount: bool = False
    doubtful: bool = False
    or_itself: bool = False


def _table(*rows: tuple[str, _Comparison]) -> dict[str, _Comparison]:
    return {phrase: comparison for phrases, comparison in rows for phrase in phrases.split(", ")}


_BEFORE = _table(
    ("under, below, less than, fewer than, lower than", _Comparison("<", of_amount=True)),
    ("cheaper than, smaller than, shorter than", _Comparison("<", of_amount=True)),
    ("before, earlier than, prior to", _Comparison("<")),
    ("at most, maximum, no more than, not more than, not over, not above", _Comparison("<=", of_amount=True)),
    ("max", _Comparison("<=", of_amount=True, doubtful=True)),
    ("up to, until, till, not after", _Comparison("<=")),
    ("over, above, more than, greater than, higher than", _Comparison(">", of_amount=True)),
    ("larger than, bigger than, longer than", _Comparison(">", of_amount=True)),
    ("after, later than, newer than", _Comparison(">")),
    ("at least, minimum, no less than, not less than, not under, not below", _Comparison(">=", of_amount=True)),
    ("min", _Comparison(">=", of_amount=True, doubtful=True)),
    ("since, not before, starting at, starting from", _Comparison(">=")),
    ("from", _Comparison(">=", or_itself=True)),
)
_BEHIND = _table(
    ("or less, or fewer, or lower, or cheaper, or under, or below", _Comparison("<=", of_amount=True)),
    ("and less, and under, and below, at most, maximum", _Comparison("<=", of_amount=True)),
    ("max", _Comparison("<=", of_amount=True, doubtful=True)),  # but 90 min are minutes
    ("or earlier, or before, and earlier, and before", _Comparison("<=")),
    ("or more, or higher, or over, or above, or up", _Comparison(">=", of_amount=True)),
    ("and more, and over, and above, and up, at least, minimum", _Comparison(">=", of_amount=True)),
    ("or later, or after, or newer, and later, and after, and newer, onwards, onward", _Comparison(">=")),
)
_PHRASE_WORDS_MAX = 3
_TO = frozenset({"to", "up to", "until", "till", "through"})
_COINS = frozenset("$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd\u20ba")
_MONEY = frozenset(
    {"eur", "euro", "euros", "usd", "dollar", "dollars", "bucks", "gbp", "pound", "pounds", "quid", "chf", "francs"}
    | {"jpy", "yen", "inr", "rupees", "cad", "aud"}
)
_SKIPPED = _MONEY | {"the", "year"}  # before the year 1990
# Most queries with a number have none of these, and so nothing is to be compared.
_TELLING = frozenset({"between", *_MONEY, *(phrase.split()[-1] for phrase in (*_BEFORE, *_BEHIND, *_TO))})

_QUANTITIES_MAX = 8
_NUMBER = r"(?:\d{1,3}(?:,\d{3}){1,4}|\d{1,15})(?:\.\d{1,9})?"
_DASH = r"\s*(?:-|\u2010|\u2011|\u2012|\u2013|\u2014|\.\.)\s*"
_COIN = rf"(?:[{''.join(sorted(_COINS))}]|(?:{'|'.join(sorted(_MONEY))})(?![^\W_]))"
_PATTERN = re.compile(
    r"(?<![^\W_])(?<!\d[.,])(?:"
    r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    rf"|(?P<from>{_NUMBER})(?:\s?{_COIN})?{_DASH}(?:{_COIN}\s?)?(?P<to>{_NUMBER})"
    rf"|(?P<sign><=|>=|<|>|=|\u2264|\u2265)\s*(?:{_COIN}\s?)?(?P<bound>{_NUMBER})"
    r"|(?P<decade>\d{0,2}\d0)\s?['\u2019]?(?:s|er)"
    rf"|(?P<least>{_NUMBER})(?:\s?{_COIN})?\+"
    rf"|(?P<plain>{_NUMBER})"
    rf")(?P<coin>{_COIN})?(?![^\W_])(?![.,]\d)",
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A closed interval of numbers written in words `begin` to `end` (exclusive, counted from 0) of a query.

    Attributes:
        low: lower bound, -inf = open.
        high: upper bound, inf = open.
        unit: "number": any number (a whole one from 1000 to 2999 may be a year); "year": years for certain (a decade);
            "second": seconds since 1970-01-01 (a date).
        explicit: the notation says that it is a quantity; a bare number does not, whatever words are beside it.
        of_amount: the words or a sign of money say that it is an amount, hardly a time.
        of_money: a sign or a name of money is written with it.
        doubtful: the words that compare are names as well.
        from_alone: written as "from" a number, which means that very number or all from it on; both are given.
    """

    begin: int
    end: int
    low: float
    high: float
    unit: str = "number"
    explicit: bool = False
    of_amount: bool = False
    doubtful: bool = False
    from_alone: bool = False
    of_money: bool = False

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


@dataclass(frozen=True, slots=True)
class _Written:
    """What is written in one notation, in words `begin` to `end`.

    Attributes:
        quantities: what it may mean, one or more.
        bare: a number, decade or date, which words may bound.
        digits: of a number, else "".
    """

    begin: int
    end: int
    quantities: Sequence[Quantity]
    bare: bool
    digits: str


def find_quantities(query: str, now_s: float) -> tuple[Quantity, ...]:
    """The quantities written in a query, in order; at most 8.

    A decade of two digits may be of this century or the last ("20s"): both are given, unless it lies ahead of `now_s`.
    Word positions are those of `honeyguide.text.words`. Words that compare with a number are words of its quantity.
    """
    folded = fold(query)
    if not has_digits(folded):
        return ()
    texts = words(query)
    written = _written(folded, texts, now_s)
    if _TELLING.isdisjoint(texts):
        found = [quantity for one in written for quantity in one.quantities]
    else:
        found = _compared(written, texts)
    return tuple(found[:_QUANTITIES_MAX])


def _written(folded: str, texts: Sequence[str], now_s: float) -> list[_Written]:
    begins: list[int] = []
    ends: list[int] = []
    position = 0
    for text in texts:
        begins.append(folded.index(text, position))
        position = begins[-1] + len(text)
        ends.append(position)
    found: list[_Written] = []
    for match in _PATTERN.finditer(folded):
        begin, end = bisect_right(ends, match.start()), bisect_left(begins, match.end())
        quantities = _read(match, begin, end, now_s) if begin < end else []
        if not quantities:
            continue
        if match["coin"] or not _COINS.isdisjoint(folded[max(0, match.start() - 2) : match.end() + 2]):
            quantities = [replace(quantity, of_amount=True, of_money=True) for quantity in quantities]
        bare = not (match["from"] or match["sign"] or match["least"])
        found.append(_Written(begin, end, quantities, bare, match["plain"] or ""))
        if len(found) == _QUANTITIES_MAX:
            break
    return found


def _compared(written: Sequence[_Written], texts: Sequence[str]) -> list[Quantity]:
    """What is written, as the words beside it say."""
    found: list[Quantity] = []
    taken, i = 0, 0  # words and notations before these are done with
    while i < len(written):
        quantities = _range(written[i], written[i + 1], texts, taken) if i + 1 < len(written) else []
        i += 2 if quantities else 1
        quantities = quantities or _bounded(written[i - 1], texts, taken)
        found.extend(quantities)
        taken = quantities[-1].end
    return found


def _range(one: _Written, other: _Written, texts: Sequence[str], taken: int) -> list[Quantity]:
    """Two numbers as the ends of a range; empty where the words don't make them such."""
    begin, end = _opening(one, texts, taken), _past(texts, other.end)
    middle = _past(texts, one.end)
    joint = " ".join(texts[middle : _back(texts, other.begin, middle, _SKIPPED)])
    between = texts[begin] == "between" and joint in ("and", "")
    if not (one.bare and other.bare and (between or joint in _TO)):
        return []
    found: list[Quantity] = []
    for first in one.quantities:
        for last in other.quantities:
            high = _number(_with_prefix(other.digits, one.digits)) if one.digits and other.digits else last.high
            if first.low <= high and (first.unit == "second") == (last.unit == "second"):
                unit, explicit = first.unit if first.unit == last.unit else "number", first.explicit or last.explicit
                of_money = first.of_money or last.of_money or not _MONEY.isdisjoint(texts[begin:end])
                joined = Quantity(begin, end, first.low, high, unit, explicit, of_money, of_money=of_money)
                found.append(joined)
    return found


def _bounded(one: _Written, texts: Sequence[str], taken: int) -> list[Quantity]:
    """What is written, as the words before or behind it bound it; as it is where they don't."""
    if one.bare:
        begin, end, comparison = _comparison(one, texts, taken)
        if comparison is None:
            return list(one.quantities)
    else:
        begin, end, comparison = _opening(one, texts, taken), _past(texts, one.end), None
    if taken and begin == taken + 1 and texts[taken] in ("and", "but"):  # over 50 and under 100
        begin = taken
    money = one.quantities[0].of_money or not _MONEY.isdisjoint(texts[begin:end])
    same = [replace(quantity, begin=begin, end=end, of_amount=money, of_money=money) for quantity in one.quantities]
    return same if comparison is None else [bounded for quantity in same for bounded in _apply(comparison, quantity)]


def _apply(comparison: _Comparison, quantity: Quantity) -> list[Quantity]:
    low, high = _interval(comparison.sign, quantity.low, quantity.high)
    bounded = replace(
        quantity,
        low=low,
        high=high,
        of_amount=quantity.of_amount or comparison.of_amount,
        doubtful=comparison.doubtful and not quantity.of_amount,
    )
    if comparison.or_itself and not quantity.of_amount:
        return [replace(quantity, from_alone=True), replace(bounded, from_alone=True)]
    return [bounded]


def _comparison(one: _Written, texts: Sequence[str], taken: int) -> tuple[int, int, _Comparison | None]:
    # With the words it begins and ends at, those of what is written included.
    begin, before = _comparison_before(texts, _back(texts, one.begin, taken, _SKIPPED), taken)
    end = _past(texts, one.end)
    last, behind = _comparison_behind(texts, end)
    if before is None:
        return _back(texts, one.begin, taken, _MONEY), last, behind
    if before.or_itself and behind is not None:  # from 1985 onwards
        return begin, last, behind
    return begin, end, before


def _opening(one: _Written, texts: Sequence[str], taken: int) -> int:
    # Where "from" or "between" begins, if one of them is there; else where the name of money does.
    begin = _back(texts, one.begin, taken, _SKIPPED)
    if begin > taken and texts[begin - 1] in ("from", "between"):
        return begin - 1
    return _back(texts, one.begin, taken, _MONEY)


def _comparison_before(texts: Sequence[str], end: int, taken: int) -> tuple[int, _Comparison | None]:
    for begin in range(max(taken, end - _PHRASE_WORDS_MAX), end):
        comparison = _BEFORE.get(" ".join(texts[begin:end]))
        if comparison is not None:
            return begin, comparison
    return end, None


def _comparison_behind(texts: Sequence[str], begin: int) -> tuple[int, _Comparison | None]:
    for end in range(min(len(texts), begin + _PHRASE_WORDS_MAX), begin, -1):
        phrase = " ".join(texts[begin:end])
        comparison = _BEHIND.get(phrase)
        of_next = phrase in _BEFORE and end < len(texts) and texts[end][0].isdigit()
        if comparison is not None and not of_next:  # tent 4 max 100
            return end, comparison
    return begin, None


def _back(texts: Sequence[str], begin: int, begin_min: int, over: Collection[str]) -> int:
    while begin > begin_min and texts[begin - 1] in over:
        begin -= 1
    return begin


def _past(texts: Sequence[str], end: int) -> int:
    while end < len(texts) and texts[end] in _MONEY:
        end += 1
    return end


def _read(match: re.Match[str], begin: int, end: int, now_s: float) -> list[Quantity]:
    group = match.groupdict()
    if group["year"]:
        return _date(int(group["year"]), int(group["month"]), int(group["day"]), begin, end)
    if group["from"]:
        low, high = _number(group["from"]), _number(_with_prefix(group["to"], group["from"]))
        return [Quantity(begin, end, low, high, explicit=True)] if low <= high else []
    if group["sign"]:
        bound = _number(group["bound"])
        low, high = _interval(group["sign"], bound, bound)
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


def _interval(sign: str, low: float, high: float) -> tuple[float, float]:
    """What lies on the side of an interval that the sign says, "=" being the interval itself."""
    match sign:
        case "<":
            return -math.inf, math.nextafter(low, -math.inf)
        case "<=" | "\u2264":
            return -math.inf, high
        case ">":
            return math.nextafter(high, math.inf), math.inf
        case ">=" | "\u2265":
            return low, math.inf
        case _:
            return low, high


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

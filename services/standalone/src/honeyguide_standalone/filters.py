"""Filters as people type them: type=film, genre=Drama|Comedy, genre!=Horror, year=1990..1999, released=2010-01-01.."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import TIME_MAX_S, number_of, time_to_proto
from honeyguide.errors import InvalidArgument

FORMS = (
    "type=film, genre=Drama, genre=Drama|Comedy, genre!=Horror (neither that nor others beside it), "
    "year=1994 or year=1990..1999, "
    "released=2010-01-31 or released=2010-01..2010-06 (of a range either side may be left out)"
)
TIMES = "2010, 2010-01, 2010-01-31 or 2010-01-31T18:30:00Z"
FLAGS = ("true", "false")

_YEAR = re.compile(r"\d{4}")
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = timedelta(microseconds=1)
"""The wire's precision: a span ends this much before the next begins."""

Span = tuple[datetime, datetime]
"""First and last moment of a year, month or day; twice the same of a moment."""


def parse_filters(
    texts: Iterable[str],
    excluded: Iterable[str] = (),
    times: Collection[str] = (),
    numbers: Collection[str] = (),
) -> document_pb2.Filter:
    """Reads filters; all of them must hold.

    A value that reads as a number (or true, false) also matches the text, since a command line does not say which.
    Bounds of a range are included, and a year, month or day is all of it, in UTC. `times` names the attributes known to
    be times: of these `2010` is a year, and a value the range of all that it spans; of others a date in a value is the
    text or its first moment. `numbers` names those known to be numbers, of which nothing else can be found (but true
    and false, which some documents may have instead).

    Raises:
        InvalidArgument: quoting the one that can't be read and the forms there are.
    """
    filter = document_pb2.Filter(excluded_document_ids=list(excluded))
    for text in texts:
        name, equals, wanted = (part.strip() for part in text.partition("="))
        unwanted = name.endswith("!")
        name = name.removesuffix("!").strip()
        if not name or not equals or not wanted:
            raise InvalidArgument("--filter", f"{text!r} can't be read; the forms are {FORMS}")
        if name == "type":
            if unwanted:
                raise InvalidArgument(
                    "--filter", f"{text!r} can't be had: name the types that are wanted, type=film|series"
                )
            filter.types.extend(type.strip() for type in wanted.split("|"))
            continue
        condition = (filter.excluded_attributes if unwanted else filter.attributes).add(attribute=name)
        kind = "time" if name in times else "number" if name in numbers else ""
        low, dots, high = wanted.partition("..")
        if dots:
            _read_range(text, low.strip(), high.strip(), kind, condition.range)
        elif kind == "time":
            _read_range(text, wanted, wanted, kind, condition.range)
        else:
            for part in wanted.split("|"):
                condition.any_of.values.extend(_values(text, part.strip(), kind))
    return filter


def doubts(wanted: document_pb2.Filter, attributes: Collection[str] | None, *, found: bool) -> Iterator[str]:
    """A line for each part of a filter that most likely does something else than was meant.

    `attributes` names those of the catalogue's configuration, None = it is not known. `found`: some document passed.
    """
    if attributes is None:
        yield from _doubtful_dates(wanted)
        return
    # What documents passed by is there, configured or not.
    conditions = [*wanted.excluded_attributes, *(() if found else wanted.attributes)]
    for name in dict.fromkeys(condition.attribute for condition in conditions):
        if name not in attributes:
            like = " or ".join(repr(one) for one in get_close_matches(name, attributes))
            hint = f"; did you mean {like}?" if like else ""
            yield f"--filter: the catalogue's configuration names no attribute {name!r}{hint}"


def _doubtful_dates(wanted: document_pb2.Filter) -> Iterator[str]:
    """One line at most: what is to be left out by a year, month or day would stay, were the attribute a time."""
    for condition in wanted.excluded_attributes:
        for value in condition.any_of.values:
            span = _span(value.text)
            if span and span[0] < span[1]:
                name, low, high = condition.attribute, span[0].date(), span[1].date()
                yield (
                    "--filter: dates are compared as times only where the catalogue is known (the data folder that "
                    f"`honeyguide index` was last used over); if {name!r} is a time, '{name}!={low}..{high}' works "
                    "everywhere"
                )
                return


def _read_range(text: str, low: str, high: str, kind: str, range: document_pb2.Range) -> None:
    bounds = [bound for bound in (low, high) if bound]
    if not bounds:
        raise InvalidArgument("--filter", f"{text!r} is a range without bounds; the forms are {FORMS}")
    # 2010..2010-06-30 can only be of times
    if not kind and any(number_of(bound) is None for bound in bounds):
        kind = "number or time"
    range.SetInParent()
    if low:
        range.min.CopyFrom(_bound(text, low, kind, last=False))
    if high:
        range.max.CopyFrom(_bound(text, high, kind, last=True))


def _bound(text: str, bound: str, kind: str, *, last: bool) -> document_pb2.Value:
    span = _span(bound) if "time" in kind else None
    if span is not None:
        return _time(span[1] if last else span[0])
    number = number_of(bound)
    if number is not None:
        return document_pb2.Value(number=number)
    wanted = {"time": f"a time ({TIMES})", "number": "a number"}.get(kind, f"a number or a time ({TIMES})")
    raise InvalidArgument("--filter", f"{bound!r} in {text!r} is not {wanted}")


def _span(text: str) -> Span | None:
    """What a year, a month, a day or an ISO 8601 time spans; None if it is none of these."""
    try:
        if _YEAR.fullmatch(text):
            year = datetime(int(text), 1, 1, tzinfo=UTC)
            return year, datetime.combine(date(int(text), 12, 31), time.max, UTC)
        if month := _MONTH.fullmatch(text):
            first = datetime(int(month[1]), int(month[2]), 1, tzinfo=UTC)
            return first, (first + timedelta(days=31)).replace(day=1) - _INSTANT
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment, (moment + timedelta(days=1) - _INSTANT if _DAY.fullmatch(text) else moment)


def _values(text: str, part: str, kind: str) -> list[document_pb2.Value]:
    values = [document_pb2.Value(text=part)]
    number = number_of(part)
    if number is not None:
        values.append(document_pb2.Value(number=number))
    elif kind == "number" and part.lower() not in FLAGS:
        raise InvalidArgument("--filter", f"{part!r} in {text!r} is not a number")
    elif span := _span(part):
        values.append(_time(span[0]))
    if part.lower() in FLAGS:
        values.append(document_pb2.Value(flag=part.lower() == "true"))
    return values


def _time(moment: datetime) -> document_pb2.Value:
    return document_pb2.Value(time=time_to_proto(min(moment.timestamp(), TIME_MAX_S)))

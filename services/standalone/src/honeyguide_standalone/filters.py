"""Filters as people type them: type=film, genre=Drama|Comedy, genre!=Horror, year=1990..1999, released=2010-01-01.."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import TIME_MAX_S, time_to_proto
from honeyguide.errors import InvalidArgument

FORMS = (
    "type=film, genre=Drama, genre=Drama|Comedy, genre!=Horror (neither that nor others beside it), "
    "year=1994 or year=1990..1999, "
    "released=2010-01-31 or released=2010-01-31..2010-06-30 (of a range either side may be left out)"
)
TIMES = "2010, 2010-01, 2010-01-31 or 2010-01-31T18:30:00Z"

_YEAR = re.compile(r"\d{4}")
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = timedelta(microseconds=1)
"""The wire's precision: a span ends this much before the next begins."""

Span = tuple[datetime, datetime]
"""First and last moment of a year, month or day; twice the same of a moment."""


def parse_filters(
    texts: Iterable[str], excluded: Iterable[str] = (), times: Collection[str] = ()
) -> document_pb2.Filter:
    """Reads filters; all of them must hold.

    A value that reads as a number (or true, false) also matches the text, since a command line does not say which.
    Bounds of a range are included, and a year, month or day is all of it, in UTC. `times` names the attributes known to
    be times: of these `2010` is a year, and a value the range of all that it spans; of others a date in a value is the
    text or its first moment.

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
        low, dots, high = wanted.partition("..")
        if dots:
            _read_range(text, low.strip(), high.strip(), name in times, condition.range)
        elif name in times:
            _read_range(text, wanted, wanted, True, condition.range)
        else:
            values = [value for part in wanted.split("|") for value in _values(part.strip())]
            condition.any_of.values.extend(values)
    return filter


def _read_range(text: str, low: str, high: str, is_time: bool, range: document_pb2.Range) -> None:
    bounds = [bound for bound in (low, high) if bound]
    if not bounds:
        raise InvalidArgument("--filter", f"{text!r} is a range without bounds; the forms are {FORMS}")
    # 2010..2010-06-30 can only be of times
    is_time = is_time or any(_number(bound) is None for bound in bounds)
    range.SetInParent()
    if low:
        range.min.CopyFrom(_bound(text, low, is_time, last=False))
    if high:
        range.max.CopyFrom(_bound(text, high, is_time, last=True))


def _bound(text: str, bound: str, is_time: bool, *, last: bool) -> document_pb2.Value:
    span = _span(bound) if is_time else None
    if span is not None:
        return _time(span[1] if last else span[0])
    number = _number(bound)
    if number is not None:
        return document_pb2.Value(number=number)
    wanted = f"a time ({TIMES})" if is_time else "a number or a time"
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


def _values(text: str) -> list[document_pb2.Value]:
    values = [document_pb2.Value(text=text)]
    number = _number(text)
    if number is not None:
        values.append(document_pb2.Value(number=number))
    elif span := _span(text):
        values.append(_time(span[0]))
    if text.lower() in {"true", "false"}:
        values.append(document_pb2.Value(flag=text.lower() == "true"))
    return values


def _time(moment: datetime) -> document_pb2.Value:
    return document_pb2.Value(time=time_to_proto(min(moment.timestamp(), TIME_MAX_S)))


def _number(text: str) -> float | None:
    try:
        number = math.nan if "_" in text else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None

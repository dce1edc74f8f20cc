"""Filters as people type them: type=film, genre=Drama|Comedy, year=1990..1999, released=2010-01-01.."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from honeyguide.api.retrieval.v1 import document_pb2
from honeyguide.documents import time_to_proto
from honeyguide.errors import InvalidArgument

FORMS = "type=film, genre=Drama, genre=Drama|Comedy, year=1994 or year=1990..1999 (either side may be left out)"


def parse_filters(texts: Iterable[str], excluded: Iterable[str] = ()) -> document_pb2.Filter:
    """Reads filters; all of them must hold.

    A value that reads as a number (or true, false) also matches the text, since a command line does not say which.

    Raises:
        InvalidArgument: quoting the one that can't be read and the forms there are.
    """
    filter = document_pb2.Filter(excluded_document_ids=list(excluded))
    for text in texts:
        name, equals, wanted = (part.strip() for part in text.partition("="))
        if not name or not equals or not wanted:
            raise InvalidArgument("--filter", f"{text!r} can't be read; the forms are {FORMS}")
        if name == "type":
            filter.types.extend(type.strip() for type in wanted.split("|"))
            continue
        condition = filter.attributes.add(attribute=name)
        low, dots, high = wanted.partition("..")
        if dots:
            _read_range(text, low.strip(), high.strip(), condition.range)
        else:
            values = [value for part in wanted.split("|") for value in _values(part.strip())]
            condition.any_of.values.extend(values)
    return filter


def _read_range(text: str, low: str, high: str, range: document_pb2.Range) -> None:
    if not low and not high:
        raise InvalidArgument("--filter", f"{text!r} is a range without bounds; the forms are {FORMS}")
    range.SetInParent()
    if low:
        range.min.CopyFrom(_bound(text, low))
    if high:
        range.max.CopyFrom(_bound(text, high))


def _bound(text: str, bound: str) -> document_pb2.Value:
    number = _number(bound)
    if number is not None:
        return document_pb2.Value(number=number)
    try:
        moment = datetime.fromisoformat(bound)
    except ValueError:
        raise InvalidArgument(
            "--filter", f"{bound!r} in {text!r} is neither a number nor a date such as 2010-01-31"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return document_pb2.Value(time=time_to_proto(moment.timestamp()))


def _values(text: str) -> list[document_pb2.Value]:
    values = [document_pb2.Value(text=text)]
    number = _number(text)
    if number is not None:
        values.append(document_pb2.Value(number=number))
    if text.lower() in {"true", "false"}:
        values.append(document_pb2.Value(flag=text.lower() == "true"))
    return values


def _number(text: str) -> float | None:
    try:
        number = math.nan if "_" in text else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None

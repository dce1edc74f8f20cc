"""What query understanding must know of the catalogue as a whole: its numeric attributes, and how large it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from honeyguide.api.retrieval.v1 import indexing_pb2 as pb
from honeyguide.documents import Document, comparable

NUMERIC_ATTRIBUTES_MAX = 64


@dataclass(frozen=True, slots=True)
class NumericAttribute:
    """An attribute with numbers or times for values.

    Attributes:
        name: the attribute.
        is_time: its values are times, in seconds since 1970-01-01.
        low: lowest value seen, -inf = none seen.
        high: highest value seen, inf = none seen.
        count: about how many documents carry it, 0 = not known.
    """

    name: str
    is_time: bool = False
    low: float = -math.inf
    high: float = math.inf
    count: int = 0

    def widened(self, other: NumericAttribute) -> NumericAttribute:
        """This attribute with what was seen elsewhere as well."""
        low, high = other.low, other.high
        if math.isfinite(self.low) and math.isfinite(self.high):
            low, high = min(self.low, low), max(self.high, high)
        return NumericAttribute(self.name, self.is_time, low, high, self.count + other.count)


@dataclass(frozen=True, slots=True)
class SeenNumeric:
    """The numeric attributes by name that some documents carried, and how many documents those were.

    One that was indexed ten times is ten documents here, and ten in the counts of its attributes.
    """

    attributes: Mapping[str, NumericAttribute]
    documents: int

    def within(self, document_count: int) -> dict[str, NumericAttribute]:
        """The attributes as so many documents carry them, 0 = not known."""
        if not document_count:
            return dict(self.attributes)
        # What was counted before documents were is measured by what is carried most.
        counted = max(self.documents, document_count, *(one.count for one in self.attributes.values()))
        return {
            name: replace(attribute, count=math.ceil(attribute.count * document_count / counted))
            for name, attribute in self.attributes.items()
        }


@dataclass(frozen=True, slots=True)
class CatalogFacts:
    """The numeric attributes understood in queries (at most 64, most used first), and how large the catalogue is.

    A `document_count` of 0 means that it is not known.
    """

    numeric: tuple[NumericAttribute, ...] = ()
    document_count: int = 0


def observe_numeric(documents: Iterable[Document]) -> SeenNumeric:
    """The numeric attributes of some documents, with the ranges of their values."""
    seen: dict[str, NumericAttribute] = {}
    count = 0
    for document in documents:
        count += 1
        for name, values in document.attributes.items():
            numbers = [n for n in map(comparable, values) if isinstance(n, float)]
            if not numbers:
                continue
            is_time = isinstance(values[0], datetime)
            here = NumericAttribute(name, is_time, min(numbers), max(numbers), 1)
            seen[name] = seen[name].widened(here) if name in seen else here
    return SeenNumeric(seen, count)


def gather_facts(configuration: pb.CatalogConfiguration, seen: SeenNumeric, document_count: int) -> CatalogFacts:
    """Puts together what the configuration says and what documents showed; the configuration has the last word.

    Numeric attributes that it calls recognized are the only ones; where it calls none so, all are.
    """
    numeric = seen.within(document_count)
    recognized: set[str] = set()
    for attribute in configuration.attributes:
        if attribute.kind in (pb.ATTRIBUTE_KIND_NUMBER, pb.ATTRIBUTE_KIND_TIME):
            is_time = attribute.kind == pb.ATTRIBUTE_KIND_TIME
            known = numeric.get(attribute.name)
            if known is None or known.is_time != is_time:
                known = NumericAttribute(attribute.name, is_time)
            numeric[attribute.name] = known
            if attribute.recognized:
                recognized.add(attribute.name)
        elif attribute.kind != pb.ATTRIBUTE_KIND_UNSPECIFIED:
            numeric.pop(attribute.name, None)
    wanted = [attribute for attribute in numeric.values() if not recognized or attribute.name in recognized]
    most_used = sorted(wanted, key=lambda attribute: (-attribute.count, attribute.name))
    return CatalogFacts(tuple(most_used[:NUMERIC_ATTRIBUTES_MAX]), document_count)

"""What is indexed of a document, and how: the catalogue's configuration turned into fields."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from honeyguide.api.retrieval.v1 import indexing_pb2 as pb
from honeyguide.documents import ATTRIBUTE_NAME_CHARS_MAX, ATTRIBUTES_MAX, Document, Value
from honeyguide.errors import InvalidArgument
from honeyguide_lexical.text_values import TextValue, text_value

LAYOUT_VERSION = 3
"""Raised whenever fields, analysers or the lexicon change: what is on disk is then rebuilt from the journal."""

TITLE_BOOST_DEFAULT = 2.0
BOOST_MAX = 1_000.0
EXTRA_FIELDS_MAX = 16
VALUES_RECOGNIZED_MAX = 200
"""Recognized values a document, over all its attributes: what a catalogue of sparse attributes costs is bounded."""

LANGUAGE = re.compile(r"[a-z]{2}")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which attributes are searched, with which boost, and which are further names or recognized in queries.

    `extra_boosts` are the distinct boosts of searchable attributes: each has one field, `extra<i>`.
    """

    language: str = "en"
    title_boost: float = TITLE_BOOST_DEFAULT
    extra_boosts: tuple[float, ...] = ()
    extra_fields: Mapping[str, str] | None = None
    aliases: frozenset[str] = frozenset()
    recognized: Mapping[str, bool] | None = None

    @property
    def fingerprint(self) -> str:
        """Changes whenever what is on disk has to be rebuilt."""
        parts = (
            LAYOUT_VERSION,
            self.language,
            self.extra_boosts,
            sorted((self.extra_fields or {}).items()),
            sorted(self.aliases),
            sorted((self.recognized or {}).items()),
        )
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def names(self, document: Document) -> Iterator[str]:
        """The document's title and its aliases."""
        if document.title:
            yield document.title
        for attribute in self.aliases:
            for value in document.attributes.get(attribute, ()):
                if isinstance(value, str) and value:
                    yield value

    def labels(self, document: Document) -> list[tuple[str, str, TextValue]]:
        """Attribute values that queries may name: attribute, value as written, and as read."""
        found: list[tuple[str, str, TextValue]] = []
        recognized = self.recognized
        for attribute, values in document.attributes.items():
            if attribute in self.aliases or (recognized is not None and not recognized.get(attribute, True)):
                continue
            found += [
                (attribute, value, read)
                for value in values
                if isinstance(value, str) and (read := text_value(value)).name
            ]
        return found[:VALUES_RECOGNIZED_MAX]


def layout_from(configuration: pb.CatalogConfiguration) -> Layout:
    """Reads the catalogue's configuration.

    Raises:
        InvalidArgument: naming the first part that is wrong.
    """
    language = configuration.language or "en"
    if not LANGUAGE.fullmatch(language):
        raise InvalidArgument("configuration.language", f"{language[:40]!r} is not an ISO 639-1 code such as en")
    title_boost = _boost("configuration.title_boost", configuration.title_boost, TITLE_BOOST_DEFAULT)
    if len(configuration.attributes) > ATTRIBUTES_MAX:
        raise InvalidArgument("configuration.attributes", f"at most {ATTRIBUTES_MAX:,} are allowed")
    boosts: dict[str, float] = {}
    aliases = set()
    recognized: dict[str, bool] = {}
    seen: set[str] = set()
    for i, attribute in enumerate(configuration.attributes):
        path = f"configuration.attributes[{i}]"
        if not 1 <= len(attribute.name) <= ATTRIBUTE_NAME_CHARS_MAX:
            raise InvalidArgument(f"{path}.name", f"is not a name of 1 to {ATTRIBUTE_NAME_CHARS_MAX} characters")
        if attribute.name in seen:
            raise InvalidArgument(f"{path}.name", f"{attribute.name!r} is configured twice")
        seen.add(attribute.name)
        boost = _boost(f"{path}.boost", attribute.boost, 1.0)
        if attribute.alias:
            aliases.add(attribute.name)
        elif attribute.searchable or attribute.kind == pb.ATTRIBUTE_KIND_TEXT:
            boosts[attribute.name] = boost
        recognized[attribute.name] = attribute.recognized or (
            attribute.kind in (pb.ATTRIBUTE_KIND_UNSPECIFIED, pb.ATTRIBUTE_KIND_KEYWORD)
        )
    extra_boosts = tuple(sorted(set(boosts.values())))
    if len(extra_boosts) > EXTRA_FIELDS_MAX:
        raise InvalidArgument(
            "configuration.attributes.boost", f"{len(extra_boosts)} different ones; at most {EXTRA_FIELDS_MAX}"
        )
    return Layout(
        language=language,
        title_boost=title_boost,
        extra_boosts=extra_boosts,
        extra_fields={name: f"extra{extra_boosts.index(boost)}" for name, boost in boosts.items()},
        aliases=frozenset(aliases),
        recognized=recognized,
    )


def text_of(value: Value) -> str:
    """An attribute value as full text is indexed; flags and times have none."""
    if isinstance(value, str):
        return text_value(value).text
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else str(value)
    return ""


def _boost(path: str, boost: float, default: float) -> float:
    if not math.isfinite(boost) or not 0 <= boost <= BOOST_MAX:
        raise InvalidArgument(path, f"{boost} is not a number from 0 to {BOOST_MAX:g}")
    return boost or default

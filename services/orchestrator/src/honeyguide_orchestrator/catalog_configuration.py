"""What a catalogue's configuration must be like."""

from __future__ import annotations

import math

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.documents import ATTRIBUTE_NAME_CHARS_MAX, TYPE_PATTERN, check_text
from honeyguide.errors import InvalidArgument

TYPES_MAX = 1_000
ATTRIBUTES_MAX = 10_000


def check_configuration(configuration: indexing_pb2.CatalogConfiguration) -> None:
    """Raises InvalidArgument, naming the first field that is wrong."""
    if len(configuration.types) > TYPES_MAX:
        raise InvalidArgument("types", f"{len(configuration.types):,} of them; at most {TYPES_MAX:,} are allowed")
    if len(configuration.attributes) > ATTRIBUTES_MAX:
        count = len(configuration.attributes)
        raise InvalidArgument("attributes", f"{count:,} of them; at most {ATTRIBUTES_MAX:,} are allowed")
    names: set[str] = set()
    for i, type in enumerate(configuration.types):
        if not TYPE_PATTERN.fullmatch(type.name):
            raise InvalidArgument(
                f"types[{i}].name", f"{type.name[:80]!r} is not 1 to 64 characters of a-z, 0-9, _ and -"
            )
        if type.name in names:
            raise InvalidArgument(f"types[{i}].name", f"{type.name} is there twice")
        names.add(type.name)
        for name in type.embedded_attributes:
            _check_attribute_name(f"types[{i}].embedded_attributes", name)
    names.clear()
    for i, attribute in enumerate(configuration.attributes):
        _check_attribute_name(f"attributes[{i}].name", attribute.name)
        if attribute.name in names:
            raise InvalidArgument(f"attributes[{i}].name", f"{attribute.name!r} is there twice")
        names.add(attribute.name)
        if attribute.kind not in indexing_pb2.AttributeKind.values():
            known = ", ".join(indexing_pb2.AttributeKind.keys())
            raise InvalidArgument(f"attributes[{i}].kind", f"{attribute.kind} is not one of {known}")
        _check_boost(f"attributes[{i}].boost", attribute.boost)
    _check_boost("title_boost", configuration.title_boost)
    language = configuration.language
    if language and not (len(language) == 2 and language.isascii() and language.isalpha() and language.islower()):
        raise InvalidArgument("language", f"{language[:20]!r} is not an ISO 639-1 code, like en")


def _check_attribute_name(path: str, name: str) -> None:
    if not 1 <= len(name) <= ATTRIBUTE_NAME_CHARS_MAX:
        raise InvalidArgument(path, f"{name[:80]!r} is not a name of 1 to {ATTRIBUTE_NAME_CHARS_MAX} characters")
    check_text(path, name, ATTRIBUTE_NAME_CHARS_MAX)


def _check_boost(path: str, boost: float) -> None:
    if not math.isfinite(boost) or boost < 0:
        raise InvalidArgument(path, f"{boost} is not a finite number of 0 or more")

"""The catalogue's configuration as people write it: catalog.yaml, or inferred from a sample of the documents."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2
from honeyguide.errors import InvalidArgument

KINDS = {
    "keyword": indexing_pb2.ATTRIBUTE_KIND_KEYWORD,
    "text": indexing_pb2.ATTRIBUTE_KIND_TEXT,
    "number": indexing_pb2.ATTRIBUTE_KIND_NUMBER,
    "flag": indexing_pb2.ATTRIBUTE_KIND_FLAG,
    "time": indexing_pb2.ATTRIBUTE_KIND_TIME,
}
KEYWORD_CHARS_MAX = 64
Kind = Literal["keyword", "text", "number", "flag", "time"]
Boost = Annotated[float, Field(ge=0, le=100)]
NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TypeEntry(_Part):
    """One document type; see `TypeConfiguration` of the API."""

    name: str = Field(pattern=NAME)
    embedded: bool = True
    embedded_attributes: list[str] = []


class AttributeEntry(_Part):
    """One attribute; see `AttributeConfiguration` of the API."""

    name: str = Field(min_length=1, max_length=128)
    kind: Kind
    searchable: bool = False
    recognized: bool = False
    boost: Boost = 0.0
    alias: bool = False


class Catalog(_Part):
    """A catalog.yaml as a whole; see `CatalogConfiguration` of the API."""

    types: list[TypeEntry] = []
    attributes: list[AttributeEntry] = []
    title_boost: Boost = 0.0
    language: Annotated[str, Field(pattern="^[a-z]{2}$")] = "en"

    def to_proto(self) -> indexing_pb2.CatalogConfiguration:
        """As the services take it."""
        return indexing_pb2.CatalogConfiguration(
            types=[
                indexing_pb2.TypeConfiguration(
                    name=entry.name, embedded=entry.embedded, embedded_attributes=entry.embedded_attributes
                )
                for entry in self.types
            ],
            attributes=[
                indexing_pb2.AttributeConfiguration(
                    name=entry.name,
                    kind=KINDS[entry.kind],
                    searchable=entry.searchable,
                    recognized=entry.recognized,
                    boost=entry.boost,
                    alias=entry.alias,
                )
                for entry in self.attributes
            ],
            title_boost=self.title_boost,
            language=self.language,
        )


def read_catalog(path: Path) -> Catalog:
    """Reads a catalog.yaml.

    Raises:
        InvalidArgument: the file is missing, is not YAML, or says something that is not allowed.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(str(path), f"cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise InvalidArgument(str(path), f"is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InvalidArgument(str(path), "is not a mapping with the keys types, attributes, title_boost and language")
    try:
        catalog = Catalog.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidArgument(f"{path}: {place}", first["msg"]) from None
    for part, names in (
        ("types", [entry.name for entry in catalog.types]),
        ("attributes", [entry.name for entry in catalog.attributes]),
    ):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise InvalidArgument(f"{path}: {part}", f"{twice[0]!r} is named twice; once is allowed")
    return catalog


def infer_catalog(sample: Iterable[document_pb2.Document]) -> Catalog:
    """A configuration that fits a sample of documents.

    Texts that all read as ISO 8601 times are times, short ones keywords (searched and recognized as well), long ones
    running text; an attribute with values of several kinds is the broadest of them.
    """
    types: dict[str, None] = {}
    seen: dict[str, set[str]] = defaultdict(set)
    for document in sample:
        types[document.type] = None
        for name, values in document.attributes.items():
            seen[name].update(_kind(value) for value in values.values)
    entries = []
    for name, kinds in sorted(seen.items()):
        broadest = next((kind for kind in ("text", "keyword", "time", "number", "flag") if kind in kinds), "keyword")
        entries.append(
            AttributeEntry(
                name=name,
                kind=cast(Kind, broadest),
                searchable=broadest in {"keyword", "text"},
                recognized=broadest == "keyword",
            )
        )
    return Catalog(types=[TypeEntry(name=name) for name in types if name], attributes=entries)


def describe(catalog: Catalog) -> str:
    """One line that tells the types and the attributes by kind."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for entry in catalog.attributes:
        by_kind[entry.kind].append(entry.name)
    parts = [f"types {', '.join(entry.name for entry in catalog.types) or 'none'}"]
    parts += [f"{kind}: {', '.join(names)}" for kind, names in by_kind.items()]
    return "; ".join(parts)


def _kind(value: document_pb2.Value) -> str:
    kind = value.WhichOneof("kind")
    if kind == "number" or kind == "flag" or kind == "time":
        return kind
    if len(value.text) > KEYWORD_CHARS_MAX:
        return "text"
    return "time" if _is_time(value.text) else "keyword"


def _is_time(text: str) -> bool:
    if len(text) < len("2000-01-01"):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True

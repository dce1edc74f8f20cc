"""The catalogue's configuration as people write it: catalog.yaml, or inferred from a sample of the documents."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from honeyguide.api.retrieval.v1 import document_pb2, indexing_pb2
from honeyguide.documents import parse_time
from honeyguide.errors import InvalidArgument

KINDS = {
    "keyword": indexing_pb2.ATTRIBUTE_KIND_KEYWORD,
    "text": indexing_pb2.ATTRIBUTE_KIND_TEXT,
    "number": indexing_pb2.ATTRIBUTE_KIND_NUMBER,
    "flag": indexing_pb2.ATTRIBUTE_KIND_FLAG,
    "time": indexing_pb2.ATTRIBUTE_KIND_TIME,
}
KEYWORD_CHARS_MAX = 64
LONG_SHARE_MAX = 0.1
"""Share of an attribute's texts that may be longer than a keyword before they all count as running text."""

IDENTIFIER_SHARE_MIN = 0.5
"""Share of an attribute's texts that are identifiers from which it is one that nobody types."""

UNWRITTEN_SHARE_MIN = 0.5
"""Share of a type's documents without a text from which their keywords are embedded beside the title."""

EMBEDDED_SHARE_MIN = 0.5
"""Share of a type's documents that carry a keyword which is embedded."""

EMBEDDED_MAX = 4
WRITTEN_ID = re.compile(r".*[0-9:].*", re.DOTALL)
"""An id of a document may be a word (of a genre, say): then it is one in attributes as well."""

IDENTIFIER = re.compile(r"[0-9a-f]{24,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|https?://\S+", re.IGNORECASE)
"""Digests, UUIDs and addresses."""

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

    @property
    def times(self) -> frozenset[str]:
        """Names of the attributes that are times: what `document_from_json` is to be told."""
        return self._of_kind("time")

    @property
    def numbers(self) -> frozenset[str]:
        """Names of the attributes that are numbers: what `document_from_json` is to be told."""
        return self._of_kind("number")

    @property
    def attribute_names(self) -> frozenset[str]:
        """Names of all attributes."""
        return frozenset(entry.name for entry in self.attributes)

    def _of_kind(self, kind: Kind) -> frozenset[str]:
        return frozenset(entry.name for entry in self.attributes if entry.kind == kind)

    def says_as(self, other: Catalog) -> bool:
        """True if both say the same, in whatever order."""
        return self._ordered() == other._ordered()

    def _ordered(self) -> Catalog:
        types = sorted(self.types, key=lambda entry: entry.name)
        return self.model_copy(
            update={"types": types, "attributes": sorted(self.attributes, key=lambda entry: entry.name)}
        )

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


EXAMPLES = {
    "types": "types: [{name: film, embedded: true, embedded_attributes: [genre]}]",
    "attributes": "attributes: [{name: genre, kind: keyword, searchable: true, recognized: true, boost: 2}]",
}
"""The parts that are lists, as they may look."""


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
        part, *_ = place = [str(step) for step in first["loc"]]
        allowed = ""
        if part in EXAMPLES:
            allowed = f"; for example {EXAMPLES[part]}"
        elif first["type"] == "extra_forbidden":
            allowed = f"; the keys are {', '.join(Catalog.model_fields)}"
        raise InvalidArgument(f"{path}: {'.'.join(place)}", f"{first['msg']}{allowed}") from None
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

    Texts that all read as ISO 8601 times are times, mostly short ones keywords (searched and recognized as well),
    others running text; an attribute with values of several kinds is the broadest of them that takes all. Identifiers
    (digests, UUIDs, addresses, ids of documents) are keywords to filter by only. Where most documents of a type have no
    text, their embedding is made of the title and the keywords that most of them carry.
    """
    documents = list(sample)
    ids = {document.id for document in documents}
    seen: dict[str, _Seen] = defaultdict(_Seen)
    for document in documents:
        for name, values in document.attributes.items():
            seen[name].take(values.values, ids)
    entries = {}
    for name, attribute in sorted(seen.items()):
        kind = attribute.kind
        words = kind in {"keyword", "text"} and not attribute.identifies
        entries[name] = AttributeEntry(name=name, kind=kind, searchable=words, recognized=words and kind == "keyword")
    keywords = {name for name, entry in entries.items() if entry.recognized}
    return Catalog(types=_types(documents, keywords), attributes=list(entries.values()))


def describe(catalog: Catalog) -> str:
    """One line that tells the types and the attributes by kind."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for entry in catalog.attributes:
        by_kind[entry.kind].append(entry.name)
    parts = [f"types {', '.join(entry.name for entry in catalog.types) or 'none'}"]
    parts += [f"{kind}: {', '.join(names)}" for kind, names in by_kind.items()]
    return "; ".join(parts)


@dataclass(slots=True)
class _Seen:
    """What an attribute's values were like."""

    kinds: set[str] = field(default_factory=set)
    texts: int = 0
    long: int = 0
    identifiers: int = 0

    def take(self, values: Iterable[document_pb2.Value], ids: Collection[str]) -> None:
        """Takes in the values that one document has; `ids` are those of all documents."""
        for value in values:
            kind = value.WhichOneof("kind")
            if kind == "number" or kind == "flag" or kind == "time":
                self.kinds.add(kind)
            elif value.text:
                self.texts += 1
                self.long += len(value.text) > KEYWORD_CHARS_MAX
                is_id = value.text in ids and WRITTEN_ID.fullmatch(value.text)
                self.identifiers += bool(is_id or IDENTIFIER.fullmatch(value.text))
                self.kinds.add("time" if _is_time(value.text) else "keyword")

    @property
    def kind(self) -> Kind:
        """The broadest kind of the values."""
        broadest = next((kind for kind in ("keyword", "time", "number", "flag") if kind in self.kinds), "keyword")
        if broadest == "time" and "flag" in self.kinds:
            return "keyword"  # no flag is a time
        if broadest == "keyword" and self.long > LONG_SHARE_MAX * self.texts and not self.identifies:
            return "text"
        return cast(Kind, broadest)

    @property
    def identifies(self) -> bool:
        """True if the values are identifiers rather than words."""
        return self.texts > 0 and self.identifiers >= IDENTIFIER_SHARE_MIN * self.texts


def _types(documents: Iterable[document_pb2.Document], keywords: Collection[str]) -> list[TypeEntry]:
    counts: Counter[str] = Counter()
    unwritten: Counter[str] = Counter()
    carried: dict[str, Counter[str]] = defaultdict(Counter)
    for document in documents:
        counts[document.type] += 1
        unwritten[document.type] += not document.text.strip()
        carried[document.type].update(name for name in document.attributes if name in keywords)
    entries = []
    for type, count in counts.items():
        common: list[str] = []
        if unwritten[type] >= UNWRITTEN_SHARE_MIN * count:
            by_count = sorted(carried[type].items(), key=lambda item: (-item[1], item[0]))
            common = [name for name, n in by_count[:EMBEDDED_MAX] if n >= EMBEDDED_SHARE_MIN * count]
        if type:
            entries.append(TypeEntry(name=type, embedded_attributes=common))
    return entries


def _is_time(text: str) -> bool:
    if len(text) < len("2000-01-01"):
        return False
    try:
        parse_time("", text)
    except InvalidArgument:
        return False
    return True

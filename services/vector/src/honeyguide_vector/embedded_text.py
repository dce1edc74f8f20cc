"""Which documents get an embedding, and of which text: what the catalogue's configuration says of both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from honeyguide.api.retrieval.v1 import indexing_pb2
from honeyguide.documents import Document, Value


@dataclass(frozen=True, slots=True)
class EmbeddingRules:
    """The embedded attributes of every configured type, None for a type that is not embedded.

    Types that are not configured are embedded by title and text.
    """

    types: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)

    def embeds(self, type: str) -> bool:
        """True if documents of this type get an embedding."""
        return self.types.get(type, ()) is not None

    def text_of(self, document: Document) -> str:
        """The text that the document's embedding is made of: title, embedded attributes, text. May be blank."""
        values = [
            _words_of(name, value)
            for name in self.types.get(document.type) or ()
            for value in document.attributes.get(name, ())
        ]
        parts = (document.title, ", ".join(value for value in values if value), document.text)
        return ". ".join(stripped for part in parts if (stripped := part.strip().rstrip(".")))

    @property
    def digest(self) -> str:
        """Differs between rules that differ."""
        return hashlib.sha256(repr(sorted(self.types.items(), key=lambda item: item[0])).encode()).hexdigest()


def rules_from_proto(configuration: indexing_pb2.CatalogConfiguration) -> EmbeddingRules:
    """What a catalogue's configuration says of embeddings."""
    return EmbeddingRules(
        {type.name: tuple(type.embedded_attributes) if type.embedded else None for type in configuration.types}
    )


def _words_of(name: str, value: Value) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return name if value else ""
    if isinstance(value, datetime):
        return value.date().isoformat()
    return f"{value:.12g}"

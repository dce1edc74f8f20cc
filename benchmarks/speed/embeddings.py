"""Embeddings of a catalogue and of queries, as the vector service makes them, for what is compared with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.quality.needs import Scene
from honeyguide.documents import document_from_proto
from honeyguide_vector.embedded_text import rules_from_proto
from honeyguide_vector.embedding_cache import EmbeddingCache, key_of
from honeyguide_vector.encoders import Encoders, open_encoders
from honeyguide_vector.settings import VectorSettings

Vectors = npt.NDArray[np.float32]


def cache_folder() -> Path:
    """Where embeddings are kept over runs; the services use it too."""
    return Path(os.environ["HONEYGUIDE_VECTOR_CACHE_DIR"])


def encoders() -> Encoders:
    """The encoders that the vector service uses by default."""
    return open_encoders(VectorSettings(), cache_folder())


def of_documents(of: Scene) -> tuple[list[str], Vectors]:
    """Ids of the documents that are embedded, and their embeddings [n, dimension]; encoded only if they never were."""
    rules = rules_from_proto(of.configuration)
    texts = {}
    for message in of.documents:
        document = document_from_proto(message)
        text = rules.text_of(document) if rules.embeds(document.type) else ""
        if text:
            texts[document.id] = text
    encoder = encoders().documents
    settings = VectorSettings()
    cache = EmbeddingCache(cache_folder() / "embeddings.sqlite", settings.embedding_cache_max)
    try:
        keys = {id: key_of(encoder.identity, text) for id, text in texts.items()}
        vectors = cache.fetch(list(keys.values()))
        missing = [id for id, key in keys.items() if key not in vectors]
        if missing:
            made = encoder.encode([texts[id] for id in missing])
            new = {keys[id]: vector for id, vector in zip(missing, made, strict=True)}
            cache.store(new)
            vectors.update(new)
    finally:
        cache.close()
    return list(keys), np.stack([vectors[key] for key in keys.values()])


def of_queries(texts: Sequence[str]) -> dict[str, Vectors]:
    """Embeddings by query, each encoded by itself."""
    encoder = encoders().queries
    return {text: encoder.encode([text])[0] for text in texts}

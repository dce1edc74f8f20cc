"""Settings of the vector service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from honeyguide.config import ReplicatedSettings


class VectorSettings(ReplicatedSettings):
    """Read from HONEYGUIDE_VECTOR_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix="HONEYGUIDE_VECTOR_", frozen=True, extra="ignore", protected_namespaces=()
    )

    data_dir: Path = Field(Path("honeyguide-data/vector"), description="folder of the journal and the saved graph")
    cache_dir: Path | None = Field(
        None,
        description="folder of what can be made again: quantised models and embeddings by text; unset = data_dir/cache."
        " Several services and several data folders may share it",
    )
    save_interval_s: float = Field(
        30.0, ge=0.05, le=86_400, description="seconds between saves of the graph, made only if it changed"
    )

    m: int = Field(32, ge=4, le=128, description="links of a document in the graph (connectivity)")
    ef_construction: int = Field(128, ge=8, le=4_096, description="candidates looked at when a document is added")
    segment_documents: int = Field(
        131_072,
        ge=1_024,
        le=100_000_000,
        description="documents a graph: larger graphs take longer to extend, more of them longer to search",
    )
    ef_search: int = Field(256, ge=8, le=4_096, description="candidates looked at in a search; more for larger depths")
    threads: int = Field(
        os.cpu_count() or 1, ge=1, le=256, description="threads that search, and that encode and add documents"
    )

    encoder_model: Path | None = Field(None, description="ONNX sentence encoder; unset = the all-MiniLM-L6-v2 shipped")
    encoder_tokenizer: Path | None = Field(None, description="its tokenizer.json; needed with encoder_model")
    encoder_tokens_max: int = Field(256, ge=8, le=8_192, description="tokens of a text that are read")
    encoder_pooling: Literal["mean", "cls"] = Field("mean", description="how token vectors become one: mean, or first")
    encoder_query_prefix: str = Field("", description='put before queries, for example "query: " for E5 models')
    encoder_document_prefix: str = Field("", description='put before documents, for example "passage: "')
    encoder_quantize: bool | None = Field(
        None, description="true: compute in int8, with a copy of the model made once; unset = only the model shipped"
    )
    encoder_batch: int = Field(32, ge=1, le=512, description="documents encoded at once")

    candidate_cache_max: int = Field(
        4_096,
        ge=0,
        le=10_000_000,
        description="lists of candidates kept until a document changes, some 4 KiB each; 0 = none",
    )
    query_cache_max: int = Field(20_000, ge=0, le=10_000_000, description="embeddings of queries kept in memory")
    query_batch_max: int = Field(
        8, ge=1, le=256, description="waiting queries encoded at once; 1 = an embedding never depends on other queries"
    )
    query_queue_max: int = Field(1_000, ge=1, le=100_000, description="queries waiting before further ones are refused")
    embedding_cache_max: int = Field(
        200_000, ge=0, le=100_000_000, description="embeddings of document texts kept on disk, 0 = none"
    )

    personal_weight: float = Field(
        0.3, ge=0, le=1, description="share of the taste in vector.personal, the query's rest"
    )
    taste_decay: float = Field(0.8, gt=0, le=1, description="weight of a document acted on against the next newer one")
    similar_documents_max: int = Field(5, ge=1, le=50, description="newest documents acted on that vector.similar asks")

"""Settings of the lexical service."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from honeyguide.config import ReplicatedSettings


class LexicalSettings(ReplicatedSettings):
    """Read from HONEYGUIDE_LEXICAL_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="HONEYGUIDE_LEXICAL_", frozen=True, extra="ignore")

    data_dir: Path = Field(Path("honeyguide-data/lexical"), description="folder of the journal, the index, the lexicon")
    commit_interval_s: float = Field(
        0.4, ge=0.01, le=60, description="longest time, in seconds, that an acknowledged change waits to be searchable"
    )
    writer_bytes: int = Field(
        96 * 2**20,
        ge=16 * 2**20,
        le=4 * 2**30,
        description="memory of the index writer, in bytes",
    )
    writer_threads: int = Field(1, ge=1, le=8, description="threads that build index segments")
    document_cache_bytes: int = Field(
        64 * 2**20,
        ge=0,
        le=2**40,
        description="memory for the documents handed out last, in bytes, about; 0 = none are kept",
    )
    candidate_cache_max: int = Field(
        4_096,
        ge=0,
        le=10_000_000,
        description="lists of candidates kept until the index changes, some 4 KiB each; 0 = none",
    )
    search_threads: int = Field(3, ge=1, le=64, description="searches that run at the same time")
    backlog_max: int = Field(
        5_000, ge=1, le=1_000_000, description="acknowledged documents waiting to be indexed before upserts wait too"
    )
    backlog_bytes_max: int = Field(2**27, ge=2**20, le=2**36, description="the same, in bytes as they were sent")

"""What can be set of the memory service."""

from __future__ import annotations

from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict

from honeyguide.config import ServerSettings


class MemorySettings(ServerSettings):
    """Read from HONEYGUIDE_MEMORY_<NAME>; where Redis is, from HONEYGUIDE_REDIS_<NAME> as well."""

    model_config = SettingsConfigDict(
        env_prefix="HONEYGUIDE_MEMORY_", frozen=True, extra="ignore", populate_by_name=True, validate_by_name=True
    )

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        validation_alias=AliasChoices("HONEYGUIDE_MEMORY_REDIS_URL", "HONEYGUIDE_REDIS_URL"),
        description="address of Redis or Valkey, redis:// or rediss:// or unix://",
    )
    cluster: bool = Field(
        False,
        validation_alias=AliasChoices("HONEYGUIDE_MEMORY_CLUSTER", "HONEYGUIDE_REDIS_CLUSTER"),
        description="true: redis_url is a node of a Redis Cluster",
    )
    key_prefix: str = Field("hg", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="begins every key (in its hash tag)")
    partitions: int = Field(
        16, ge=1, le=1024, description="hash tags that each kind of data is spread over; fixed once data is stored"
    )
    connections_max: int = Field(32, ge=1, le=10_000, description="connections to Redis; further calls wait for one")
    start_wait_s: float = Field(10.0, ge=0, le=600, description="seconds to wait for Redis at start")
    call_timeout_s: float = Field(5.0, gt=0, le=60, description="seconds that one answer of Redis may take")

    memory_bytes_max: int = Field(
        2**30, ge=2**26, description="bytes for all that is learned and predicted; records of documents come on top"
    )
    pairs_per_query_max: int = Field(200, ge=1, le=1_000, description="documents remembered for one query")
    pairs_per_user_max: int = Field(200, ge=1, le=1_000, description="documents remembered for one user or segment")
    pairs_per_word_max: int = Field(64, ge=1, le=1_000, description="documents remembered for one word of queries")
    completions_per_prefix_max: int = Field(300, ge=1, le=1_000, description="queries remembered for one prefix")
    predicted_per_document_max: int = Field(16, ge=0, le=100, description="queries predicted for one document")
    predicted_per_query_max: int = Field(20, ge=1, le=200, description="documents predicted for one query")
    listed_max: int = Field(
        16_000, ge=16, le=1_000_000, description="documents in each list (popular, fresh) of all or of one type"
    )
    session_s: float = Field(86_400.0, gt=0, description="seconds without action after which a session is forgotten")

    half_life_short_days: float = Field(3.0, gt=0, le=3_650, description="half-life of recent interest, in days")
    half_life_long_days: float = Field(42.0, gt=0, le=3_650, description="half-life of lasting interest, in days")
    half_life_trend_days: float = Field(1.0, gt=0, le=3_650, description="half-life of trending popularity, in days")
    short_share: float = Field(0.5, ge=0, le=1, description="weight of recent against lasting interest")
    prior_strength: float = Field(2.0, gt=0, le=1e6, description="actions that the prior of a query counts as")
    prior_predicted: float = Field(0.5, ge=0, description="weight of predicted pairs in the prior")
    prior_near: float = Field(0.25, ge=0, description="weight of near queries in the prior")
    prior_words: float = Field(0.15, ge=0, description="weight of the query's words in the prior")
    prior_popularity: float = Field(0.1, ge=0, description="weight of popularity in the prior")
    near_queries_max: int = Field(12, ge=1, le=100, description="near queries looked into")
    near_similarity_min: float = Field(0.3, ge=0, le=1, description="least similarity of a near query")

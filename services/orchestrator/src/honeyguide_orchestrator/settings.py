"""The orchestrator's settings, read from HONEYGUIDE_ORCHESTRATOR_<NAME>."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from honeyguide.config import ServerSettings
from honeyguide_orchestrator.experiment import Experiment

Rate = Annotated[float, Field(ge=0, le=1)]

ACTIONS = ("impression", "click", "play", "like", "favourite", "purchase", "skip", "dislike")


class OrchestratorSettings(ServerSettings):
    """What can be set; units are last in the names (s = seconds)."""

    model_config = SettingsConfigDict(env_prefix="HONEYGUIDE_ORCHESTRATOR_", frozen=True, extra="ignore")

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        validation_alias=AliasChoices("HONEYGUIDE_ORCHESTRATOR_REDIS_URL", "HONEYGUIDE_REDIS_URL", "redis_url"),
        description="Redis or Valkey that holds decisions, events and snapshots",
    )
    redis_cluster: bool = Field(
        False,
        validation_alias=AliasChoices(
            "HONEYGUIDE_ORCHESTRATOR_REDIS_CLUSTER", "HONEYGUIDE_REDIS_CLUSTER", "redis_cluster"
        ),
        description="true: redis_url is one node of a Redis Cluster",
    )
    redis_connections_max: int = Field(
        64, ge=1, le=10_000, description="connections to Redis; further calls wait for one"
    )
    redis_wait_s: float = Field(10.0, ge=0, le=600, description="seconds to wait for Redis at start")
    redis_timeout_s: float = Field(5.0, gt=0, le=60, description="seconds that one answer of Redis may take")
    key_prefix: str = Field(
        "hg", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$", description="of Redis keys"
    )
    retrievers_file: Path | None = Field(
        None,
        description="YAML file: service name -> gRPC target; reread when it changes, but not lexical, vector, memory",
    )
    learner: bool = Field(True, description="true: this process also runs the learner (if it gets the lease)")

    policy: str = Field("squarecb", description="the policy that decides")
    shadow_policy: str = Field("", description="a policy that decides and is logged, but not obeyed")
    ranker: str = Field("gated", description="the ranker that ranks")
    experiment: Experiment | None = Field(
        None,
        description='JSON such as {"name": "trees", "mode": "split", "share": 0.5, "b": {"ranker": "linear"}}: variant '
        "b is compared to a, by default the live policy and ranker; mode split or interleave; share of users in (0, 1]",
    )
    trees: bool = Field(True, description="fit a tree ranker now and then: seconds of one core (needs LightGBM)")
    depths: tuple[int, ...] = Field((5, 10, 20, 50, 100), description="rungs of the depth ladder above 0, ascending")
    call_cost: float = Field(0.0125, ge=0, le=1, description="cost of asking one strategy, in reward")
    candidate_cost: float = Field(0.00025, ge=0, le=1, description="cost of one candidate fetched, in reward")
    exploration_share: Rate = Field(
        0.05, description="exploration budget: share of searches that may be worse than what looks best or is safe"
    )
    exploration_share_known: Rate = Field(
        0.4,
        description="share of searches of queries acted on before in which SquareCB asks more; memory keeps the finds",
    )
    exploration_gamma: float = Field(
        60.0,
        gt=0,
        description="how sharply exploration shuns worse depths (SquareCB); grows with the root of decisions",
    )
    exploration_warm_up: float = Field(
        20.0,
        ge=0,
        le=1e6,
        description="decisions learned from, after which half of the searches still get the safe allocation; 0 = none",
    )
    epsilon: Rate = Field(0.1, description="exploration of the epsilon-greedy policy")
    swap_share: Rate = Field(0.05, description="share of first pages on which one adjacent pair is swapped, and logged")
    seed: int = Field(
        0,
        ge=0,
        description="of the random draws of searches; 0 = different in every process. Ids of decisions are not "
        "covered, nor what is drawn by them when learning",
    )

    understand_timeout_s: float = Field(0.1, gt=0, le=60, description="to understand a query; without it if late")
    retrieve_timeout_s: float = Field(0.5, gt=0, le=60, description="for all strategies; late ones are done without")
    log_timeout_s: float = Field(
        1.0, gt=0, le=60, description="to log a decision; the search is answered without, and nothing learned from it"
    )
    fetch_timeout_s: float = Field(
        1.0, gt=0, le=60, description="for the documents of a page; for the decision of a later one"
    )

    rewards: dict[str, float] = Field(
        {"click": 1.0, "like": 1.0, "favourite": 1.0, "purchase": 1.0, "skip": 0.0, "dislike": -1.0, "impression": 0.0},
        description="what an action says of its document, in [-1, 1]; plays go by play_full_s",
    )
    play_full_s: float = Field(30.0, gt=0, description="a play of this many seconds earns 1, a shorter one its share")
    feedback_stream_s: float = Field(600.0, gt=0, description="after which a feedback stream ends, to spread load")
    attribution_window_s: float = Field(1_800.0, gt=0, description="after a decision, in which its events count")
    open_decisions_max: int = Field(
        50_000,
        ge=100,
        description="decisions that the learner holds for that long at most, 20 to 40 kB each; the oldest close early",
    )
    decision_keep_s: float = Field(7 * 86_400.0, gt=0, description="how long decisions are kept")
    decisions_max: int = Field(
        100_000,
        ge=100,
        description="decisions kept at most, some 10 kB each; they should reach back over attribution_window_s",
    )
    events_max: int = Field(1_000_000, ge=1_000, description="events kept in the stream at most")
    event_partitions: int = Field(1, ge=1, le=256, description="partitions of the event stream; never lower it")

    learn_interval_s: float = Field(0.2, gt=0, le=60, description="pause between two looks for new events")
    snapshot_interval_s: float = Field(0.5, gt=0, le=600, description="least time between two snapshots")
    refresh_interval_s: float = Field(0.3, gt=0, le=60, description="between two looks for a new snapshot")
    lease_s: float = Field(5.0, gt=0.5, le=600, description="how long a learner that died keeps the lease")
    page_token_secret: SecretStr | None = Field(None, description="signs page tokens; unset = one kept in Redis")

    @field_validator("depths")
    @classmethod
    def _ascending(cls, depths: tuple[int, ...]) -> tuple[int, ...]:
        if not depths or list(depths) != sorted(set(depths)) or depths[0] < 1 or depths[-1] > 1_000:
            raise ValueError("must be 1 to 1,000, ascending, each once")
        return depths

    @field_validator("rewards")
    @classmethod
    def _known(cls, rewards: dict[str, float]) -> dict[str, float]:
        for action, reward in rewards.items():
            if action not in ACTIONS:
                raise ValueError(f"{action!r} is not one of {', '.join(ACTIONS)}")
            if not -1 <= reward <= 1:
                raise ValueError(f"{action} earns {reward}; -1 to 1 is allowed")
        return rewards

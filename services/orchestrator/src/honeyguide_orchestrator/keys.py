"""Names of the keys that the orchestrator keeps in Redis.

Keys that one script touches together share a hash tag, so that the same code runs on Redis Cluster.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys."""

    prefix: str

    def decision(self, decision_id: str) -> str:
        """Hash: one decision's record."""
        return f"{self.prefix}:{{d:{decision_id}}}:decision"

    def rewards(self, decision_id: str) -> str:
        """String: what was credited to one decision."""
        return f"{self.prefix}:{{d:{decision_id}}}:rewards"

    @property
    def decisions(self) -> str:
        """Stream: ids of decisions in the order made."""
        return f"{self.prefix}:{{decisions}}:stream"

    def events(self, partition: int) -> str:
        """Stream: feedback events of one partition."""
        return f"{self.prefix}:{{events:{partition}}}:stream"

    def events_seen(self, partition: int) -> str:
        """Sorted set: ids of the events taken lately in one partition, by arrival."""
        return f"{self.prefix}:{{events:{partition}}}:seen"

    @property
    def snapshot(self) -> str:
        """Hash: version and content of the newest snapshot."""
        return f"{self.prefix}:{{learner}}:snapshot"

    @property
    def lease(self) -> str:
        """String: who learns now."""
        return f"{self.prefix}:{{learner}}:lease"

    @property
    def page_token_secret(self) -> str:
        """String: what signs page tokens."""
        return f"{self.prefix}:page-token-secret"


def partition_of(event_id: str, partitions: int) -> int:
    """The partition of the event stream that an event belongs to."""
    return zlib.crc32(event_id.encode()) % partitions


def beginning_after(position: str) -> str:
    """Where reading a stream begins that goes on after a position ("0" = from the oldest kept)."""
    return "-" if position == "0" else f"({position}"

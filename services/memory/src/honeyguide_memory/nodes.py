"""Which partitions one script may touch together: all of them on one server, each alone on a Redis Cluster."""

from __future__ import annotations

from collections.abc import Sequence

from honeyguide_memory.layout import Layout


class Nodes:
    """Partitions in groups, such that all of a group are sure to be on one node."""

    def __init__(self, layout: Layout, cluster: bool) -> None:
        self._layout = layout
        self._cluster = cluster

    def place(self, partition: int) -> tuple[int, int]:
        """The group of a partition, and which of the group's tags is its own, from 1."""
        return (partition, 1) if self._cluster else (0, 1 + partition)

    def gram_keys(self, slots: Sequence[int]) -> list[list[bytes]]:
        """The keys of slots of the near index, those together that are on one node."""
        keys = self._layout.gram_keys(slots)
        if not self._cluster:
            return [keys] if keys else []
        by_partition: dict[int, list[bytes]] = {}
        for slot, key in zip(slots, keys, strict=True):
            by_partition.setdefault(self._layout.gram_partition(slot), []).append(key)
        return list(by_partition.values())

    def tags(self, family: str, group: int) -> list[bytes]:
        """The hash tags of a group."""
        tags = self._layout.tags(family)
        return [tags[group]] if self._cluster else tags

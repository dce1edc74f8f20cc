"""How `memory_bytes_max` is shared out, so that it holds whatever is stored."""

from __future__ import annotations

from honeyguide_memory.layout import BUCKETS, GRAM_SLOTS, Owner
from honeyguide_memory.settings import MemorySettings

# Shares of the whole; what is left over is for Redis's own tables.
SHARES = {
    Owner.QUERY: 0.35,
    Owner.WORD: 0.08,
    Owner.USER: 0.20,
    Owner.SEGMENT: 0.02,
    Owner.SESSION: 0.05,
    Owner.PREFIX: 0.05,
}
PREDICTED_SHARE = 0.12
NEAR_SHARE = 0.08
POSTING_BYTES = 24

NAMES = {
    Owner.QUERY: "queries",
    Owner.WORD: "words",
    Owner.USER: "users",
    Owner.SEGMENT: "segments",
    Owner.SESSION: "sessions",
    Owner.PREFIX: "prefixes",
}


class Budget:
    """Limits of one partition and of one entry, in the form in which the scripts take them."""

    def __init__(self, settings: MemorySettings) -> None:
        self.kinds = {kind.value: name for kind, name in NAMES.items()}
        partitions, whole = settings.partitions, settings.memory_bytes_max
        pairs_max = {
            Owner.QUERY: settings.pairs_per_query_max,
            Owner.WORD: settings.pairs_per_word_max,
            Owner.USER: settings.pairs_per_user_max,
            Owner.SEGMENT: settings.pairs_per_user_max,
            Owner.SESSION: 50,
            Owner.PREFIX: settings.completions_per_prefix_max,
        }
        self.kind_arguments: list[object] = [len(SHARES)]
        for kind, share in SHARES.items():
            rest_s = settings.session_s if kind is Owner.SESSION else 0
            self.kind_arguments += [kind.value, pairs_max[kind], int(whole * share / partitions), rest_s]
        self.bucket_bytes = max(1, int(whole * PREDICTED_SHARE / partitions / BUCKETS))
        self.postings_max = max(8, min(100, int(whole * NEAR_SHARE / GRAM_SLOTS / POSTING_BYTES)))
        # Two generations of every day of the window, of days beyond it, and of today.
        kept = 2 * (settings.event_window_days + 2) * partitions
        self.event_ids_a_day = max(1, settings.event_ids_max // kept)

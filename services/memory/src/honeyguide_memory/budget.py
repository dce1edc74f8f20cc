"""How `memory_bytes_max` is shared out, so that it holds whatever is stored."""

from __future__ import annotations

from honeyguide_memory.layout import BUCKETS, GRAM_SLOTS, Owner
from honeyguide_memory.settings import MemorySettings

# Shares of `memory_bytes_max`; what is left over is for Redis's own tables.
SHARES = {
    Owner.QUERY: 0.28,
    Owner.SHOWN: 0.07,
    Owner.WORD: 0.07,
    Owner.USER: 0.16,
    Owner.SEGMENT: 0.02,
    Owner.SESSION: 0.05,
    Owner.PREFIX: 0.05,
}
PREDICTED_SHARE = 0.10
NEAR_SHARE = 0.07
EVENT_IDS_SHARE = 0.09

POSTING_BYTES = 36
POSTINGS_MAX = 100
# Sets of event ids over all partitions of a family, and their sizes up to 500 ids (which Redis packs) and beyond; and
# those of the ids of pages.
EVENT_SETS = 4_096
PAGE_SETS = 512
EVENT_SET_PACKED_MAX = 500
EVENT_ID_PACKED_BYTES = 9
EVENT_ID_BYTES = 40

NAMES = {
    Owner.QUERY: "queries",
    Owner.SHOWN: "queries_shown",
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
            Owner.SHOWN: settings.pairs_per_query_max,
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
        self.postings_max = max(4, min(POSTINGS_MAX, int(whole * NEAR_SHARE / GRAM_SLOTS / POSTING_BYTES)))
        self.event_sets = max(1, EVENT_SETS // partitions)
        self.page_sets = max(1, PAGE_SETS // partitions)
        # Associations and documents each keep ids, and associations those of pages, in two generations.
        sets = (2 * self.event_sets + self.page_sets) * partitions
        bytes_each = whole * EVENT_IDS_SHARE / (2 * sets)
        packed = min(EVENT_SET_PACKED_MAX, int(bytes_each / EVENT_ID_PACKED_BYTES))
        self.event_ids_a_set = max(4, packed, int(bytes_each / EVENT_ID_BYTES))

"""Which key holds what; `docs/adr/0004-memory-in-redis.md` gives the reasons.

Every key begins with a hash tag `{prefix:family:partition}`, and every script stays under one tag. Families:

    a  associations: owners (queries, words, users ...) to targets; predicted pairs
    d  documents: records, popularity, lists
    n  near index: grams to queries

Beside them, under `{prefix:meta}`, the layout itself and the catalogue's configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

HASH_BYTES = 8
BUCKETS = 512
GRAM_SLOTS = 32_768
DOCUMENTS_KEPT = 16_384


class Owner(StrEnum):
    """Who remembers targets: documents, or for a prefix queries. SHOWN is a query too, and remembers impressions."""

    QUERY = "q"
    SHOWN = "i"
    WORD = "w"
    USER = "u"
    SEGMENT = "g"
    SESSION = "s"
    PREFIX = "p"


def digest(text: str) -> bytes:
    """Eight bytes that stand for a text; two of a billion texts are alike with a chance of 3%."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=HASH_BYTES).digest()


def event_number(event_id: str) -> float:
    """A whole number below 2^52 that stands for an event: scripts count in doubles."""
    return float(int.from_bytes(digest(event_id), "little") >> 12)


def owner_id(kind: Owner, name: str) -> bytes:
    """The id of an owner."""
    return digest(f"{kind}\0{name}")


def prediction_id(words: list[str]) -> bytes:
    """The id of a query for predicted pairs, which disregard the order of words."""
    return digest("\0".join(sorted(set(words))))


class Layout:
    """Names of keys under a prefix, over that many partitions a family."""

    def __init__(self, prefix: str, partitions: int) -> None:
        self.partitions = partitions
        self.document_partition = lru_cache(DOCUMENTS_KEPT)(self._document_partition)
        self._tags = {
            family: [f"{{{prefix}:{family}:{partition}}}".encode() for partition in range(partitions)]
            for family in ("a", "d", "n")
        }
        self.layout_key = f"{{{prefix}:meta}}layout".encode()
        self.catalogue_key = f"{{{prefix}:meta}}catalogue".encode()

    def tags(self, family: str) -> list[bytes]:
        """The hash tags of all partitions of a family."""
        return self._tags[family]

    def owner_partition(self, owner: bytes) -> int:
        """The partition that an owner, or a predicted query, lives in."""
        return int.from_bytes(owner, "little") % self.partitions

    def owner_tag(self, owner: bytes) -> bytes:
        """The hash tag of that partition."""
        return self._tags["a"][self.owner_partition(owner)]

    def owner_key(self, owner: bytes) -> bytes:
        """The hash of an owner: target to packed mass."""
        return self.owner_tag(owner) + b"o" + owner

    def bucket(self, query: bytes) -> int:
        """Number of the bucket that a query's predicted pairs are in."""
        return int.from_bytes(query, "little") // self.partitions % BUCKETS

    def bucket_key(self, query: bytes) -> bytes:
        """The hash of that bucket: query to packed pairs."""
        return self.owner_tag(query) + b"p%d" % self.bucket(query)

    def document_tag(self, document_id: bytes) -> bytes:
        """The hash tag that a document lives under."""
        return self._tags["d"][self.document_partition(document_id)]

    def gram_partition(self, slot: int) -> int:
        """The partition that a slot of the near index lives in."""
        return slot % self.partitions

    def gram_keys(self, slots: Sequence[int]) -> list[bytes]:
        """The keys of the queries posted under each slot, as one string each."""
        tags, partitions = self._tags["n"], self.partitions
        return [b"%bg%d" % (tags[slot % partitions], slot) for slot in slots]

    def _document_partition(self, document_id: bytes) -> int:
        return int.from_bytes(blake2b(document_id, digest_size=HASH_BYTES).digest(), "little") % self.partitions

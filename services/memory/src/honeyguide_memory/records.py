"""What memory keeps of a document: its type, what filters and features need, and a stamp of its predictions.

A record is packed into bytes: length of the type, the type, popularity and day of creation (float32), the stamp, then
hashes of all text and flag values (eight bytes each, attribute and folded value together) and all numbers and times
(hash of the attribute, four bytes, and a float64). So a record is small, and filters need no texts.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from honeyguide.documents import Condition, Document, Filter, comparable

RECORDS_KEPT = 16_384
_HEAD = struct.Struct("<ffHII")
_NUMBER = struct.Struct("<Id")


class Record(NamedTuple):
    """A document's record; values are unpacked when a filter asks for them."""

    type: str
    popularity: float
    created_day: float
    stamp: int
    packed: bytes
    values_at: int
    hash_count: int
    number_count: int

    @property
    def hashes(self) -> tuple[int, ...]:
        """Hashes of attribute and value, of text and flag values."""
        return struct.unpack_from(f"<{self.hash_count}Q", self.packed, self.values_at)

    @property
    def numbers(self) -> list[tuple[int, float]]:
        """Hash of the attribute and value, of numbers and times."""
        begin = self.values_at + 8 * self.hash_count
        return list(_NUMBER.iter_unpack(self.packed[begin : begin + _NUMBER.size * self.number_count]))


def pack_record(document: Document, stamp: int) -> bytes:
    """Packs a document's record."""
    hashes: set[int] = set()
    numbers: set[tuple[int, float]] = set()
    for name, values in document.attributes.items():
        for value in values:
            form = comparable(value)
            if isinstance(form, float):
                numbers.add((_name_hash(name), form))
            else:
                hashes.add(_value_hash(name, form))
    type = document.type.encode()
    return b"".join(
        (
            bytes([len(type)]),
            type,
            _HEAD.pack(min(document.popularity, 3e38), document.created_day, stamp, len(hashes), len(numbers)),
            struct.pack(f"<{len(hashes)}Q", *sorted(hashes)),
            *(_NUMBER.pack(name, number) for name, number in sorted(numbers)),
        )
    )


@lru_cache(RECORDS_KEPT)
def unpack_record(packed: bytes) -> Record:
    """Unpacks a record."""
    at = 1 + packed[0]
    popularity, created_day, stamp, hash_count, number_count = _HEAD.unpack_from(packed, at)
    type = packed[1:at].decode()
    return Record(type, popularity, created_day, stamp, packed, at + _HEAD.size, hash_count, number_count)


def stamp_of(packed: bytes) -> int:
    """The stamp of a record, without reading the rest."""
    stamp: int = _HEAD.unpack_from(packed, 1 + packed[0])[2]
    return stamp


class RecordFilter:
    """A filter, made ready for records; holds exactly where `Filter.matches` does on the document."""

    def __init__(self, filter: Filter) -> None:
        self._types = filter.types
        self._excluded = {id.encode() for id in filter.excluded_ids}
        self._conditions = [_ReadyCondition(condition) for condition in filter.conditions]
        self._excluded_conditions = [_ReadyCondition(condition) for condition in filter.excluded_conditions]

    def matches(self, document_id: bytes, record: Record) -> bool:
        """True if the document may be returned."""
        return (
            (not self._types or record.type in self._types)
            and document_id not in self._excluded
            and (not self._conditions or all(condition.matches(record) for condition in self._conditions))
            and not any(condition.matches(record) for condition in self._excluded_conditions)
        )


class _ReadyCondition:
    def __init__(self, condition: Condition) -> None:
        self._name = _name_hash(condition.attribute)
        self._low, self._high = condition.low, condition.high
        self._any_of = condition.any_of is not None
        hashes: set[int] = set()
        numbers: set[float] = set()
        for value in condition.any_of or ():
            if isinstance(value, str):
                hashes.add(_value_hash(condition.attribute, value))
            else:  # True equals 1.0 in Python, and so in the reference
                numbers.add(float(value))
                if value in (0.0, 1.0):
                    hashes.add(_value_hash(condition.attribute, bool(value)))
        self._hashes, self._numbers = frozenset(hashes), frozenset(numbers)

    def matches(self, record: Record) -> bool:
        if not self._any_of:
            return any(name == self._name and self._low <= value <= self._high for name, value in record.numbers)
        return not self._hashes.isdisjoint(record.hashes) or (
            bool(self._numbers) and any(name == self._name and value in self._numbers for name, value in record.numbers)
        )


@lru_cache(maxsize=4_096)
def _name_hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "little")


@lru_cache(maxsize=65_536)
def _value_hash(name: str, value: str | bool) -> int:
    text = f"{name}\0{'b' if isinstance(value, bool) else 't'}{value}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")

"""What memory keeps of a document: its type, what filters and features need, and a stamp of its predictions.

A record is packed into bytes: length of the type, the type, popularity and day of creation (float32), the stamp, then
hashes of all text and flag values (eight bytes each, attribute and folded value together) and all numbers and times
(hash of the attribute, four bytes, and a float64). So a record is small, and filters need no texts.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from honeyguide.documents import Condition, Document, Filter, comparable

_HEAD = struct.Struct("<ffHHH")
_NUMBERS = np.dtype([("name", "<u4"), ("value", "<f8")])


@dataclass(frozen=True, slots=True)
class Record:
    """A document's record. `hashes` are of text and flag values, `numbers` of numbers and times."""

    type: str
    popularity: float
    created_day: float
    stamp: int
    hashes: npt.NDArray[np.uint64]
    numbers: npt.NDArray[np.void]


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
            np.array(sorted(hashes), "<u8").tobytes(),
            np.array(sorted(numbers), _NUMBERS).tobytes(),
        )
    )


def unpack_record(packed: bytes) -> Record:
    """Unpacks a record."""
    at = 1 + packed[0]
    popularity, created_day, stamp, hash_count, number_count = _HEAD.unpack_from(packed, at)
    hashes_at = at + _HEAD.size
    return Record(
        type=packed[1:at].decode(),
        popularity=popularity,
        created_day=created_day,
        stamp=stamp,
        hashes=np.frombuffer(packed, "<u8", hash_count, hashes_at),
        numbers=np.frombuffer(packed, _NUMBERS, number_count, hashes_at + 8 * hash_count),
    )


class RecordFilter:
    """A filter, made ready for records; holds exactly where `Filter.matches` does on the document."""

    def __init__(self, filter: Filter) -> None:
        self._types = filter.types
        self._excluded = {id.encode() for id in filter.excluded_ids}
        self._conditions = [_ReadyCondition(condition) for condition in filter.conditions]

    def excludes(self, document_id: bytes) -> bool:
        """True if the id is excluded by name."""
        return document_id in self._excluded

    def matches(self, document_id: bytes, record: Record) -> bool:
        """True if the document may be returned."""
        return (
            (not self._types or record.type in self._types)
            and document_id not in self._excluded
            and all(condition.matches(record) for condition in self._conditions)
        )


class _ReadyCondition:
    def __init__(self, condition: Condition) -> None:
        self._name = _name_hash(condition.attribute)
        self._low, self._high = condition.low, condition.high
        self._hashes: npt.NDArray[np.uint64] | None = None
        if condition.any_of is not None:
            hashes: list[int] = []
            numbers: list[float] = []
            for value in condition.any_of:
                if isinstance(value, str):
                    hashes.append(_value_hash(condition.attribute, value))
                else:  # True equals 1.0 in Python, and so in the reference
                    numbers.append(float(value))
                    if value in (0.0, 1.0):
                        hashes.append(_value_hash(condition.attribute, bool(value)))
            self._hashes = np.array(hashes, "<u8")
            self._values = np.array(numbers, "<f8")

    def matches(self, record: Record) -> bool:
        values = record.numbers["value"][record.numbers["name"] == self._name]
        if self._hashes is not None:
            return bool(np.isin(self._hashes, record.hashes).any() or np.isin(values, self._values).any())
        return bool(((values >= self._low) & (values <= self._high)).any())


@lru_cache(maxsize=4_096)
def _name_hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "little")


def _value_hash(name: str, value: str | bool) -> int:
    text = f"{name}\0{'b' if isinstance(value, bool) else 't'}{value}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")

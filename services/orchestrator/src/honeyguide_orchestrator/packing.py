"""Plain values as compact bytes: MessagePack, compressed. Beside JSON, it takes bytes, and a tenth of the time."""

from __future__ import annotations

import threading
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
import zstandard

LEVEL = 1

T = TypeVar("T")

BROKEN = (msgspec.DecodeError, zstandard.ZstdError)
"""What `unpacked` raises for bytes that `packed` has not made."""


class _Codecs(threading.local):
    """Compressors are dear to make, and not to be shared by threads."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def packed(plain: Any) -> bytes:
    """Numbers, texts, bytes, lists and mappings as bytes."""
    return _codecs.compressor.compress(msgspec.msgpack.encode(plain, enc_hook=_plain))


def unpacked(raw: bytes) -> Any:
    """What `packed` was given; tuples come back as lists.

    Raises:
        one of `BROKEN`.
    """
    return msgspec.msgpack.decode(_codecs.decompressor.decompress(raw))


class Unpacker(Generic[T]):
    """Reads what `packed` was given as a type of msgspec's, at a fraction of the cost of taking mappings apart."""

    def __init__(self, type: type[T]) -> None:
        self._decoder = msgspec.msgpack.Decoder(type)

    def unpacked(self, raw: bytes) -> T:
        """The object.

        Raises:
            one of `BROKEN`, also for what is not of the type.
        """
        return self._decoder.decode(_codecs.decompressor.decompress(raw))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be packed")

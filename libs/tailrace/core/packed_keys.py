"""Keys in order, compressed as a whole since neighbours are alike: an array in JSON, of texts where a key is one."""

import zlib
from collections.abc import Sequence
from itertools import chain
from typing import cast

import orjson
from isal import isal_zlib

from tailrace.core.rows import RowKey

_COMPRESSION_LEVEL = 1


def packed_keys(keys: Sequence[RowKey]) -> bytes:
    """Keys, packed."""
    return isal_zlib.compress(orjson.dumps(_flat(keys)), _COMPRESSION_LEVEL)


def array_of(packed: bytes) -> bytes:
    """The array of keys that were packed."""
    return zlib.decompress(packed)


def unpacked_keys(packed: bytes) -> list[RowKey]:
    """The keys that were packed."""
    read: Sequence[str] | Sequence[Sequence[str]] = orjson.loads(array_of(packed))
    made = zip(read, strict=True) if read and isinstance(read[0], str) else map(tuple, read)
    return cast("list[RowKey]", list(made))


def _flat(keys: Sequence[RowKey]) -> Sequence[str | RowKey]:
    """Keys of one part as bare texts."""
    parts = list(chain.from_iterable(keys))
    return parts if len(parts) == len(keys) else keys

"""Keys in order, compressed as a whole since neighbours are alike: an array in JSON, of texts where a key is one."""

import zlib
from collections.abc import Sequence

from isal import isal_zlib

from tailrace.core.rows import RowKey
from tailrace.core.written_keys import array_of

_COMPRESSION_LEVEL = 1


def packed_keys(keys: Sequence[RowKey]) -> bytes:
    """Keys, packed."""
    return isal_zlib.compress(array_of(keys), _COMPRESSION_LEVEL)


def unpacked_array(packed: bytes) -> bytes:
    """The array of keys that were packed."""
    return zlib.decompress(packed)

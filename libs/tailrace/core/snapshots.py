"""What the destination holds by our account: entries sorted by key, in layers.

Hashes of algorithm 2, the current one, stand as they are. A hash that an earlier algorithm made carries its number in
front, so that it is compared as it was made: a new algorithm is told from a change in the data, and takes the place of
the old one as rows are seen.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import NamedTuple, cast

from xxhash import xxh3_64_digest

from tailrace.core.rows import UNKNOWN_SOURCE, Row, RowHash, RowKey, SourceHash

ALGORITHM = 2
"""2: XXH3 of the row's encoded JSON object, 8 bytes. 1: BLAKE2b of it, 8 bytes."""

HASH_BYTES = 8
KEY_SIZE_LIMIT_BYTES = 1024

UNKNOWN_VERSION = RowHash(bytes(HASH_BYTES))
"""Stands for whatever the destination may hold of a row: no version of it is the same."""

hash_of_body: Callable[[bytes], bytes] = xxh3_64_digest
"""What makes the hash of a row's encoded form, by the current algorithm."""

_FIRST = b"\x01"


class Entry(NamedTuple):
    """What is known of a key: the version delivered last, and the version that lies dead, if any.

    An entry with neither is a tombstone: in a layer above the base it says that the key is forgotten. `is_gone` marks
    a row that left the query and is to be deleted. `written` is the key as it was sent, see `core.keys`. `source` is
    the warehouse's hash of the row that became the version delivered.
    """

    key: RowKey
    delivered: RowHash | None = None
    dead: RowHash | None = None
    is_gone: bool = False
    written: bytes | None = None
    source: SourceHash = UNKNOWN_SOURCE

    @property
    def is_tombstone(self) -> bool:
        """Whether the key is forgotten."""
        return self.delivered is None and self.dead is None


def hash_row(body: bytes) -> RowHash:
    """The hash of a row's encoded form, by the current algorithm."""
    return RowHash(hash_of_body(body))


def hash_rows(bodies: Iterable[bytes]) -> list[RowHash]:
    """The hashes of many rows."""
    return cast("list[RowHash]", list(map(hash_of_body, bodies)))


def is_old(known: RowHash | None) -> bool:
    """Whether a hash was made by an earlier algorithm."""
    return known is not None and len(known) > HASH_BYTES


def of_first_algorithm(digest: bytes) -> RowHash:
    """A hash as algorithm 1 made it, marked as such."""
    return RowHash(digest) if digest == UNKNOWN_VERSION else RowHash(_FIRST + digest)


def is_version(known: RowHash | None, row: Row) -> bool:
    """Whether a known hash is of this version of the row, by the algorithm that made it."""
    if known is None or not is_old(known):
        return known == row.row_hash
    return known == _FIRST + blake2b(row.body, digest_size=HASH_BYTES).digest()

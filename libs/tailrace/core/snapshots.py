"""What the destination holds by our account: entries sorted by key, packed into pages.

An entry costs its key plus nine bytes before compression; neighbouring keys compress well. Pages carry the number of
the algorithm that made their hashes, so that a new one can be told from a change in the data. What an entry has beyond
key and hashes, few of them have.
"""

import heapq
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from operator import attrgetter
from typing import NamedTuple

from tailrace.core.rows import RowHash, RowKey

ALGORITHM = 1
"""1: BLAKE2b of the row's encoded JSON object, 8 bytes."""

ENTRIES_PER_PAGE = 1000
KEY_SIZE_LIMIT_BYTES = 1024

_HASH_BYTES = 8
_HAS_DELIVERED = 1
_HAS_DEAD = 2
_IS_GONE = 4
_HAS_WRITTEN = 8
_LENGTH_BYTES = 2
_WRITTEN_LENGTH_BYTES = 4
_PLAIN = (None, False, None)
_PLAIN_START = bytes((_HAS_DELIVERED, 1))
"""What most entries look like: a key of one part, delivered, and nothing more to say."""
_COMPRESSION_LEVEL = 1

UNKNOWN_VERSION = RowHash(bytes(_HASH_BYTES))
"""Stands for whatever the destination may hold of a row: no version of it is the same."""


class Entry(NamedTuple):
    """What is known of a key: the version delivered last, and the version that lies dead, if any.

    An entry with neither is a tombstone: in a layer above the base it says that the key is forgotten. `is_gone` marks
    a row that left the query and is to be deleted. `written` is the key as it was sent, see `core.keys`.
    """

    key: RowKey
    delivered: RowHash | None = None
    dead: RowHash | None = None
    is_gone: bool = False
    written: bytes | None = None

    @property
    def is_tombstone(self) -> bool:
        """Whether the key is forgotten."""
        return self.delivered is None and self.dead is None


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in key order, packed; how many of them were delivered once, and how many are gone."""

    first_key: RowKey
    last_key: RowKey
    entries: int
    delivered: int
    gone: int
    has_tombstones: bool
    body: bytes
    algorithm: int = ALGORITHM


def hash_row(body: bytes) -> RowHash:
    """The hash of a row's encoded form, by the current algorithm."""
    return RowHash(blake2b(body, digest_size=_HASH_BYTES).digest())


def pack(entries: Sequence[Entry]) -> Page:
    """One page of entries that are in key order; not empty."""
    undelivered = [entry.delivered for entry in entries].count(None)
    body = b"".join([_encode(entry) for entry in entries])
    return Page(
        first_key=entries[0].key,
        last_key=entries[-1].key,
        entries=len(entries),
        delivered=len(entries) - undelivered,
        gone=[entry.is_gone for entry in entries].count(True),
        has_tombstones=undelivered > 0 and any(entry.is_tombstone for entry in entries),
        body=zlib.compress(body, _COMPRESSION_LEVEL),
    )


def pages(entries: Iterable[Entry]) -> Iterator[Page]:
    """Entries in key order cut into full pages, the last one as it comes."""
    cut: list[Entry] = []
    for entry in entries:
        cut.append(entry)
        if len(cut) == ENTRIES_PER_PAGE:
            yield pack(cut)
            cut = []
    if cut:
        yield pack(cut)


def unpack(body: bytes) -> list[Entry]:
    """The entries of a page body, in key order."""
    raw = memoryview(zlib.decompress(body))
    entries: list[Entry] = []
    at = 0
    while at < len(raw):
        entry, at = _decode(raw, at)
        entries.append(entry)
    return entries


def overlay(base: Iterable[Entry], above: Iterable[Entry]) -> Iterator[Entry]:
    """The merge of two sorted layers: the upper entry wins, its tombstones remove."""
    last: RowKey | None = None
    for entry in heapq.merge(above, base, key=attrgetter("key")):
        if entry.key != last and not entry.is_tombstone:
            yield entry
        last = entry.key


def _encode(entry: Entry) -> bytes:
    if len(entry.key) == 1 and entry[2:] == _PLAIN and entry.delivered is not None:
        part = entry.key[0].encode()
        return b"".join((_PLAIN_START, len(part).to_bytes(_LENGTH_BYTES), part, entry.delivered))
    flags = (_HAS_DELIVERED if entry.delivered is not None else 0) | (_HAS_DEAD if entry.dead is not None else 0)
    parts = [part.encode() for part in entry.key]
    lengths = [len(part).to_bytes(_LENGTH_BYTES) for part in parts]
    more = b""
    if entry.is_gone:
        flags |= _IS_GONE
    if entry.written is not None:
        flags |= _HAS_WRITTEN
        more = len(entry.written).to_bytes(_WRITTEN_LENGTH_BYTES) + entry.written
    return b"".join((bytes((flags, len(parts))), *lengths, *parts, entry.delivered or b"", entry.dead or b"", more))


def _decode(raw: memoryview, at: int) -> tuple[Entry, int]:
    flags, parts = raw[at], raw[at + 1]
    at += 2
    ends = [int.from_bytes(raw[at + 2 * i : at + 2 * i + 2]) for i in range(parts)]
    at += _LENGTH_BYTES * parts
    key: list[str] = []
    for length in ends:
        key.append(str(raw[at : at + length], "utf-8"))
        at += length
    delivered, at = _hash_at(raw, at, present=bool(flags & _HAS_DELIVERED))
    dead, at = _hash_at(raw, at, present=bool(flags & _HAS_DEAD))
    written: bytes | None = None
    if flags & _HAS_WRITTEN:
        starts_at = at + _WRITTEN_LENGTH_BYTES
        at = starts_at + int.from_bytes(raw[at:starts_at])
        written = bytes(raw[starts_at:at])
    return Entry(RowKey(tuple(key)), delivered, dead, bool(flags & _IS_GONE), written), at


def _hash_at(raw: memoryview, at: int, *, present: bool) -> tuple[RowHash | None, int]:
    if not present:
        return None, at
    return RowHash(bytes(raw[at : at + _HASH_BYTES])), at + _HASH_BYTES

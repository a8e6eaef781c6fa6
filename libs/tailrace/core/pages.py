"""Entries packed into pages, the unit in which snapshots are stored.

A page is a column of keys, compressed as a whole since neighbours are alike, and a column of hashes, which nothing
compresses: an entry costs eight bytes and what is new in its key. The few entries that have more to say follow one by
one. Pages of algorithm 1 held nothing but such entries. Pages that hold the warehouse's hashes too are numbered 3: they
have a second column of eight bytes.

A few entries that lie above those of a page, in place of some, between them, or to forget some, are kept beside its
body: a body of their own, with its algorithm in front. The number of such a page is negative, so that nobody reads it
without them.
"""

import sys
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from struct import Struct
from typing import cast

import orjson
from isal import isal_zlib

from tailrace.core import entry_bytes
from tailrace.core.entry_columns import EntryColumns, Told, places_of
from tailrace.core.packed_keys import packed_keys, unpacked_array
from tailrace.core.rows import RowHash, RowKey, SourceHash
from tailrace.core.snapshots import ALGORITHM, HASH_BYTES, UNKNOWN_VERSION, Entry

ENTRIES_PER_PAGE = 1000
WITH_SOURCES = 3
"""The number of pages with the warehouse's hashes; those of rows are of the current algorithm."""

_COMPRESSION_LEVEL = 1
_HEAD = Struct(">III")
"""How many entries there are, how many bytes their keys take, how many of them are told one by one."""
_PLACE = Struct(">I")


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


def pages(entries: Sequence[Entry], *, evenly: bool = False) -> Iterator[Page]:
    """Entries in key order cut into full pages, the last one as it comes; or `evenly`, into as few of one size."""
    columns = EntryColumns.of(entries)
    if 0 < len(columns) <= ENTRIES_PER_PAGE:
        yield _pack(columns)
        return
    size = ceil(len(columns) / ceil(len(columns) / ENTRIES_PER_PAGE)) if evenly and columns else ENTRIES_PER_PAGE
    for at in range(0, len(columns), size):
        yield _pack(columns[at : at + size])


def unpack(body: bytes, algorithm: int = ALGORITHM, above: bytes | None = None) -> EntryColumns:
    """The entries of a page body of this algorithm, in key order, and with those that lie above them."""
    if above is not None:
        return unpack(body, -algorithm).overlaid(unpack_above(above))
    return _unpack_first(body) if algorithm < ALGORITHM else _unpack(body, has_sources=algorithm == WITH_SOURCES)


def looked_up(body: bytes, algorithm: int, keys: Sequence[RowKey]) -> list[Told | None]:
    """What the entries of a page body tell of some keys, which are in order; None where there is none of a key."""
    _, size_bytes, odd = _HEAD.unpack_from(body)
    if odd or algorithm < ALGORITHM:
        return unpack(body, algorithm).looked_up(keys)
    hashes_at = _HEAD.size + size_bytes
    known = orjson.loads(unpacked_array(body[_HEAD.size : hashes_at]))
    wanted = [key[0] for key in keys] if isinstance(known[0], str) else [[*key] for key in keys]
    starts = (None if at is None else hashes_at + at * HASH_BYTES for at in places_of(wanted, known))
    return [None if start is None else RowHash(body[start : start + HASH_BYTES]) for start in starts]


def pack_above(entries: EntryColumns) -> bytes:
    """A few entries in key order, tombstones among them, as they lie above a page."""
    page = _pack(entries)
    return page.algorithm.to_bytes() + page.body


def unpack_above(above: bytes) -> EntryColumns:
    """What lies above a page."""
    return unpack(above[1:], above[0])


def _pack(columns: EntryColumns) -> Page:
    odd = [] if columns.is_plain else [(at, one) for at, one in enumerate(columns.told) if isinstance(one, Entry)]
    return Page(
        first_key=columns.keys[0],
        last_key=columns.keys[-1],
        entries=len(columns),
        delivered=len(columns) - sum(entry.delivered is None for _, entry in odd),
        gone=sum(entry.is_gone for _, entry in odd),
        has_tombstones=any(entry.is_tombstone for _, entry in odd),
        body=_body(columns, odd),
        algorithm=ALGORITHM if columns.sources is None else WITH_SOURCES,
    )


def _body(columns: EntryColumns, odd: Sequence[tuple[int, Entry]]) -> bytes:
    keys = columns.packed_keys or packed_keys(columns.keys)
    hashes = _hashes(columns, odd)
    sources = b"" if columns.sources is None else _turned(array("q", columns.sources)).tobytes()
    told = b"".join([_PLACE.pack(at) + entry_bytes.encode(entry) for at, entry in odd])
    packed = isal_zlib.compress(told, _COMPRESSION_LEVEL) if odd else b""
    head = _HEAD.pack(len(columns), len(keys), len(odd))
    return b"".join((head, keys, hashes, sources, packed))


def _hashes(columns: EntryColumns, odd: Sequence[tuple[int, Entry]]) -> bytes:
    """What is told of entries, where some have more to say."""
    if not odd:
        return columns.hashes
    hashes = list(columns.told)
    for at, _ in odd:
        hashes[at] = UNKNOWN_VERSION
    return b"".join(cast("list[RowHash]", hashes))


def _unpack(body: bytes, *, has_sources: bool) -> EntryColumns:
    entries, size_bytes, odd = _HEAD.unpack_from(body)
    hashes_at = _HEAD.size + size_bytes
    ends_at = hashes_at + entries * HASH_BYTES
    columns = EntryColumns.packed(body[_HEAD.size : hashes_at], body[hashes_at:ends_at])
    sources_end = ends_at + entries * HASH_BYTES * has_sources
    if has_sources:
        columns.sources = cast("Sequence[SourceHash]", _turned(array("q", body[ends_at:sources_end])))
    if odd:
        told = list(columns.told)
        raw = memoryview(zlib.decompress(body[sources_end:]))
        at = 0
        while at < len(raw):
            [place] = _PLACE.unpack_from(raw, at)
            told[place], at = entry_bytes.decode(raw, at + _PLACE.size)
        return EntryColumns(
            columns.keys, told, is_plain=False, sources=columns.sources, packed_keys=columns.packed_keys
        )
    return columns


def _turned(numbers: "array[int]") -> "array[int]":
    """Numbers from the order of bytes that pages have to that of this machine, or back."""
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _unpack_first(body: bytes) -> EntryColumns:
    raw = memoryview(zlib.decompress(body))
    entries: list[Entry] = []
    at = 0
    while at < len(raw):
        entry, at = entry_bytes.decode(raw, at, is_first=True)
        entries.append(entry)
    return EntryColumns.of(entries)

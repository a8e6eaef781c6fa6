"""A single entry as bytes: what pages hold of entries that have more to say than a key and a hash."""

from tailrace.core.rows import RowHash, RowKey
from tailrace.core.snapshots import HASH_BYTES, Entry, is_old, of_first_algorithm

_HAS_DELIVERED = 1
_HAS_DEAD = 2
_IS_GONE = 4
_HAS_WRITTEN = 8
_DELIVERED_IS_OLD = 16
_DEAD_IS_OLD = 32
_LENGTH_BYTES = 2
_WRITTEN_LENGTH_BYTES = 4
_DEAD_ALONE = bytes((_HAS_DEAD, 1))
"""How an entry begins that has a version that lies dead, a key of one part, and nothing else."""


def encode(entry: Entry) -> bytes:
    """The entry, its key included."""
    if _is_dead_alone(entry):
        only = entry.key[0].encode()
        return b"".join((_DEAD_ALONE, len(only).to_bytes(_LENGTH_BYTES), only, entry.dead or b""))
    parts = [part.encode() for part in entry.key]
    lengths = [len(part).to_bytes(_LENGTH_BYTES) for part in parts]
    hashes = [(one or b"")[-HASH_BYTES:] for one in (entry.delivered, entry.dead)]
    more = b"" if entry.written is None else len(entry.written).to_bytes(_WRITTEN_LENGTH_BYTES) + entry.written
    return b"".join((bytes((_flags(entry), len(parts))), *lengths, *parts, *hashes, more))


def decode(raw: memoryview, at: int, *, is_first: bool = False) -> tuple[Entry, int]:
    """The entry at an offset, and where the next one begins; `is_first` where algorithm 1 made all hashes."""
    flags, parts = raw[at], raw[at + 1]
    at += 2
    ends = [int.from_bytes(raw[at + 2 * i : at + 2 * i + 2]) for i in range(parts)]
    at += _LENGTH_BYTES * parts
    key: list[str] = []
    for length in ends:
        key.append(str(raw[at : at + length], "utf-8"))
        at += length
    old = _DELIVERED_IS_OLD | _DEAD_IS_OLD if is_first else flags
    delivered, at = _hash_at(raw, at, present=flags & _HAS_DELIVERED, old=old & _DELIVERED_IS_OLD)
    dead, at = _hash_at(raw, at, present=flags & _HAS_DEAD, old=old & _DEAD_IS_OLD)
    written: bytes | None = None
    if flags & _HAS_WRITTEN:
        starts_at = at + _WRITTEN_LENGTH_BYTES
        at = starts_at + int.from_bytes(raw[at:starts_at])
        written = bytes(raw[starts_at:at])
    return Entry(RowKey(tuple(key)), delivered, dead, bool(flags & _IS_GONE), written), at


def _is_dead_alone(entry: Entry) -> bool:
    key, delivered, dead, is_gone, written, _ = entry
    has_nothing_else = delivered is None and written is None and not is_gone and len(key) == 1
    return has_nothing_else and dead is not None and len(dead) == HASH_BYTES


def _flags(entry: Entry) -> int:
    return (
        (_HAS_DELIVERED if entry.delivered is not None else 0)
        | (_HAS_DEAD if entry.dead is not None else 0)
        | (_IS_GONE if entry.is_gone else 0)
        | (_HAS_WRITTEN if entry.written is not None else 0)
        | (_DELIVERED_IS_OLD if is_old(entry.delivered) else 0)
        | (_DEAD_IS_OLD if is_old(entry.dead) else 0)
    )


def _hash_at(raw: memoryview, at: int, *, present: int, old: int) -> tuple[RowHash | None, int]:
    if not present:
        return None, at
    digest = bytes(raw[at : at + HASH_BYTES])
    return of_first_algorithm(digest) if old else RowHash(digest), at + HASH_BYTES

"""What one checkpoint writes, all of it or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple, NewType, Self

from tailrace.core.ids import SyncId
from tailrace.core.rows import Operation, RowHash, RowKey
from tailrace.core.runs import Books
from tailrace.core.snapshots import Entry

DedupeKey = NewType("DedupeKey", bytes)
"""Sixteen bytes that tell one failing row from another across runs."""

_DEDUPE_BYTES = 16


class Phase(StrEnum):
    """What a run goes through."""

    ROWS = "rows"
    DELETES = "deletes"  # of what left the query, once all of it was read


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run has got: behind a key, and past so many of the rows whose key is NULL, which come last."""

    after: RowKey | None = None
    null_rows: int = 0
    phase: Phase = Phase.ROWS


class NewDeadLetter(NamedTuple):
    """A row that was refused for good; `payload` is its encoded form, in clear. No key: it cannot be read again."""

    dedupe_key: DedupeKey
    row_key: RowKey | None
    operation: Operation
    error_code: str
    message: str
    record_keys: Mapping[str, object]
    payload: bytes
    row_hash: RowHash | None = None


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row as its dead letter keeps it; `payload` is what was to be sent, in clear."""

    dedupe_key: DedupeKey
    row_key: RowKey
    payload: bytes


@dataclass(frozen=True, slots=True)
class Rejections:
    """How many rows were sent, and how many of them the destination rejected: `in_a_row` since it accepted one.

    Of several shards together none are in a row.
    """

    sent: int = 0
    rejected: int = 0
    in_a_row: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(self.sent + other.sent, self.rejected + other.rejected)

    @property
    def accepted(self) -> int:
        """Rows that were sent and not rejected."""
        return self.sent - self.rejected


NOTHING_SENT = Rejections()


@dataclass(frozen=True, slots=True)
class Settlement:
    """Everything that became of the rows up to a position. `cleared` are letters that no longer hold.

    `watermark` is the value of the cursor up to which all rows are settled, see `core.watermarks`; it never falls.
    `rejections` are those of all rows that the shard has sent until then.
    """

    position: Position
    books: Books
    letters: Sequence[NewDeadLetter] = ()
    entries: Sequence[Entry] = ()
    cleared: Sequence[DedupeKey] = ()
    watermark: str | None = None
    rejections: Rejections = NOTHING_SENT

    @property
    def is_odd(self) -> bool:
        """Whether there is more to write than how far the run got, and which rows were delivered."""
        return bool(self.letters or self.cleared) or self.watermark is not None


def dedupe_key(key: RowKey) -> DedupeKey:
    """The dedupe key of a row that has a key of its own."""
    return _digest(b"key", *(part.encode() for part in key))


def dedupe_key_of_duplicate(key: RowKey, occurrence: int) -> DedupeKey:
    """The dedupe key of the n-th further row with a key."""
    return _digest(b"duplicate", str(occurrence).encode(), *(part.encode() for part in key))


def dedupe_key_of_unplaced(key: RowKey, occurrence: int) -> DedupeKey:
    """The dedupe key of the n-th row of a key whose cursor is NULL: rows of the key that have one are others."""
    return _digest(b"unplaced", str(occurrence).encode(), *(part.encode() for part in key))


def dedupe_key_of_event(place: RowKey, body: bytes) -> DedupeKey:
    """The dedupe key of a row that is sent for what it says, by its place in the reading and its content."""
    return _digest(b"event", *(part.encode() for part in place), body)


def dedupe_key_of_content(body: bytes, occurrence: int) -> DedupeKey:
    """The dedupe key of the n-th row of that content that has no key."""
    return _digest(b"content", str(occurrence).encode(), body)


def payload_binding(sync_id: SyncId, dedupe_key: DedupeKey) -> str:
    """What the payload of a dead letter is bound to: it opens in no other letter's place."""
    return f"{sync_id}:{dedupe_key.hex()}"


def _digest(*parts: bytes) -> DedupeKey:
    said = b"".join([len(part).to_bytes(8) + part for part in parts])
    return DedupeKey(blake2b(said, digest_size=_DEDUPE_BYTES).digest())

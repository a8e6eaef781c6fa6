"""Rows about which there is nothing to say but key, content and what happened to them: most of all rows.

They flow in columns. Whoever looks at one of them sees the same as if it had come alone.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import eq
from typing import NamedTuple, Self, cast, overload

from tailrace.connector_kit.copy_text import LineKeys
from tailrace.core.row_columns import NO_ROWS, RowColumns
from tailrace.core.rows import UNKNOWN_SOURCE, Change, DistinctKeys, Row, RowHash, RowKey, RowOutcome, SourceHash
from tailrace.core.settlements import DedupeKey
from tailrace.core.snapshots import KEY_SIZE_LIMIT_BYTES, UNKNOWN_VERSION, Entry
from tailrace.core.written_keys import WrittenKeys

_BYTES_PER_CHARACTER = 4
_NOT_KEPT = b""


class MappedRow(NamedTuple):
    """A row as the destination would get it, or what keeps it from being sent.

    `place` is where it stands in the reading; empty for a row that has no place, and comes last. `is_extra` is a row
    that no entry of the snapshot speaks of. `written` is what the snapshot keeps of the key, see `core.keys`, `source`
    the warehouse's hash of the row.
    """

    row: Row
    place: RowKey
    dedupe_key: DedupeKey | None = None
    problem: RowOutcome | None = None
    written: bytes | None = None
    is_extra: bool = False
    source: SourceHash = UNKNOWN_SOURCE


class RowChange(NamedTuple):
    """A row and what happened to it; `mapped` is None for one that is gone, `known` for one never seen.

    `change` is None for a row that has a problem: what it would have been does not matter.
    """

    change: Change | None
    mapped: MappedRow | None = None
    known: Entry | None = None


class PlainRows(Sequence[MappedRow]):
    """Rows that stand at their keys, each key once, without a problem."""

    __slots__ = ("columns",)

    def __init__(self, columns: RowColumns) -> None:
        self.columns = columns

    def listed(self) -> Self:
        """The same with keys that are looked at often."""
        columns = self.columns
        if isinstance(columns.keys, list):
            return self
        return type(self)(RowColumns(list(columns.keys), columns.bodies, columns.hashes, columns.sources))

    def __len__(self) -> int:
        return len(self.columns)

    @overload
    def __getitem__(self, at: int) -> MappedRow: ...

    @overload
    def __getitem__(self, at: slice) -> Self: ...

    def __getitem__(self, at: int | slice) -> MappedRow | Self:
        if isinstance(at, slice):
            return type(self)(self.columns[at])
        return _mapped(self.columns, at)


@dataclass(slots=True, eq=False)
class PlainChanges(Sequence[RowChange]):
    """Plain rows to which the same happened; `delivered` is what was known of each, None where nothing was.

    Where rows are unchanged, their columns hold the warehouse's hashes only if these are to be learnt.
    """

    change: Change
    columns: RowColumns
    delivered: Sequence[RowHash] | None = None

    def __len__(self) -> int:
        return len(self.columns)

    @overload
    def __getitem__(self, at: int) -> RowChange: ...

    @overload
    def __getitem__(self, at: slice) -> Self: ...

    def __getitem__(self, at: int | slice) -> RowChange | Self:
        if isinstance(at, slice):
            return type(self)(self.change, self.columns[at], None if self.delivered is None else self.delivered[at])
        mapped = _mapped(self.columns, at)
        known = None if self.delivered is None else Entry(mapped.place, self.delivered[at])
        return RowChange(self.change, mapped, known)


@dataclass(slots=True, eq=False)
class PlainUpdates(Sequence[RowChange]):
    """Plain rows that were all known: those at `places` changed, to `changed`, and the others did not.

    `delivered` is what was known of those that changed. Of the others nothing is kept but the key; only of those at
    `learnt_at` what is to be learnt, in `learnt`.
    """

    keys: Sequence[RowKey]
    places: Sequence[int]
    changed: RowColumns
    delivered: Sequence[RowHash]
    learnt_at: Sequence[int] = ()
    learnt: RowColumns = NO_ROWS

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> RowChange: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[RowChange]: ...

    def __getitem__(self, at: int | slice) -> RowChange | Sequence[RowChange]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        key, nth = self.keys[at], bisect_left(self.places, at)
        if nth < len(self.places) and self.places[nth] == at:
            return RowChange(Change.CHANGED, _mapped(self.changed, nth), Entry(key, self.delivered[nth]))
        nth = bisect_left(self.learnt_at, at)
        if nth < len(self.learnt_at) and self.learnt_at[nth] == at:
            return RowChange(Change.UNCHANGED, _mapped(self.learnt, nth), Entry(key, self.learnt.hashes[nth]))
        unchanged = MappedRow(Row(key, _NOT_KEPT, UNKNOWN_VERSION), key)
        return RowChange(Change.UNCHANGED, unchanged, Entry(key, UNKNOWN_VERSION))

    @property
    def size_bytes(self) -> int:
        """What bodies come to, and the lines that keys are yet to be cut from."""
        lines = self.keys.size_bytes if isinstance(self.keys, LineKeys) else 0
        return self.changed.size_bytes + self.learnt.size_bytes + lines

    def changes(self, first: int, end: int) -> PlainChanges:
        """Those that changed, from one to another of them."""
        return PlainChanges(Change.CHANGED, self.changed[first:end], self.delivered[first:end])

    def to_learn(self, at: int, end: int) -> RowColumns:
        """What is to be learnt of the rows from one to another."""
        return self.learnt[bisect_left(self.learnt_at, at) : bisect_left(self.learnt_at, end)]


def are_plain(keys: Sequence[RowKey | None], before: RowKey | None) -> bool:
    """Whether rows with these keys, after one with the key before, may be plain: each has one, short, of its own."""
    if isinstance(keys, DistinctKeys | WrittenKeys):
        return bool(keys) and keys[0] != before
    if not keys or None in keys or keys[0] == before or any(map(eq, keys, islice(keys, 1, None))):
        return False
    parts = chain.from_iterable(cast("Sequence[RowKey]", keys))
    return max(map(len, parts)) * len(keys[0] or ()) * _BYTES_PER_CHARACTER <= KEY_SIZE_LIMIT_BYTES


def _mapped(columns: RowColumns, at: int) -> MappedRow:
    row = columns[at]
    return MappedRow(row, row.key, source=UNKNOWN_SOURCE if columns.sources is None else columns.sources[at])

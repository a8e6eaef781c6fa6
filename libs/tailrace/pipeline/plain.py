"""Rows about which there is nothing to say but key, content and what happened to them: most of all rows.

They flow in columns. Whoever looks at one of them sees the same as if it had come alone.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from operator import eq
from typing import NamedTuple, Self, cast, overload

from tailrace.core.row_columns import RowColumns
from tailrace.core.rows import UNKNOWN_SOURCE, Change, DistinctKeys, Row, RowHash, RowKey, RowOutcome, SourceHash
from tailrace.core.settlements import DedupeKey
from tailrace.core.snapshots import KEY_SIZE_LIMIT_BYTES, Entry

_BYTES_PER_CHARACTER = 4


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


class PlainChanges(Sequence[RowChange]):
    """Plain rows to which the same happened; `delivered` is what was known of each, None where nothing was.

    Where rows are unchanged, their columns hold the warehouse's hashes only if these are to be learnt.
    """

    __slots__ = ("change", "columns", "delivered")

    def __init__(self, change: Change, columns: RowColumns, delivered: Sequence[RowHash] | None = None) -> None:
        self.change = change
        self.columns = columns
        self.delivered = delivered

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


class PlainUpdates(Sequence[RowChange]):
    """Plain rows that were all known, with what was known of them: those at `places` changed, the others did not."""

    __slots__ = ("columns", "delivered", "places")

    def __init__(self, columns: RowColumns, delivered: Sequence[RowHash], places: Sequence[int]) -> None:
        self.columns = columns
        self.delivered = delivered
        self.places = places

    def __len__(self) -> int:
        return len(self.columns)

    @overload
    def __getitem__(self, at: int) -> RowChange: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[RowChange]: ...

    def __getitem__(self, at: int | slice) -> RowChange | Sequence[RowChange]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        mapped = _mapped(self.columns, at)
        change = Change.CHANGED if at in self.places else Change.UNCHANGED
        return RowChange(change, mapped, Entry(mapped.place, self.delivered[at]))

    def changed(self, first: int, end: int) -> PlainChanges:
        """Those that changed, from one to another of them."""
        places = self.places[first:end]
        return PlainChanges(Change.CHANGED, self.columns.only(places), [self.delivered[at] for at in places])

    def parts(self) -> Iterator[PlainChanges]:
        """All of them, in stretches to which the same happened."""
        at = 0
        while at < len(self):
            first = bisect_left(self.places, at)
            end = first
            while end < len(self.places) and self.places[end] == at + end - first:
                end += 1
            if end > first:
                change, until = Change.CHANGED, at + end - first
            else:
                change, until = Change.UNCHANGED, self.places[first] if first < len(self.places) else len(self)
            yield PlainChanges(change, self.columns[at:until], self.delivered[at:until])
            at = until


def are_plain(keys: Sequence[RowKey | None], before: RowKey | None) -> bool:
    """Whether rows with these keys, after one with the key before, may be plain: each has one, short, of its own."""
    if isinstance(keys, DistinctKeys):
        return bool(keys) and keys[0] != before
    if not keys or None in keys or keys[0] == before or any(map(eq, keys, islice(keys, 1, None))):
        return False
    parts = chain.from_iterable(cast("Sequence[RowKey]", keys))
    return max(map(len, parts)) * len(keys[0] or ()) * _BYTES_PER_CHARACTER <= KEY_SIZE_LIMIT_BYTES


def _mapped(columns: RowColumns, at: int) -> MappedRow:
    row = columns[at]
    return MappedRow(row, row.key, source=UNKNOWN_SOURCE if columns.sources is None else columns.sources[at])

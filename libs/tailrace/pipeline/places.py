"""Where rows stand in a reading: the order in which they come, are compared, and are gone on behind.

The place of a row is its key. By a cursor, the value of the cursor comes before it. Rows without key columns have a
digest as their key, and those that are alike are numbered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import Column, ColumnKind, RowKey
from tailrace.core.syncs import SyncDefinition
from tailrace.core.watermarks import CURSOR_KINDS, readable, set_back, sortable

_NUMBER_DIGITS = 9


@dataclass(frozen=True, slots=True)
class CursorColumn:
    """The column of a cursor, found in the query."""

    name: str
    index: int
    kind: ColumnKind
    look_back_s: float

    def before(self, watermark: str) -> str:
        """The watermark less the look-back."""
        return set_back(self.kind, watermark, self.look_back_s)


@dataclass(frozen=True, slots=True)
class Order:
    """What makes a place: a cursor or none, and a key or the number of a row among those that are alike."""

    cursor: CursorColumn | None
    is_keyed: bool

    @property
    def is_by_key(self) -> bool:
        """Whether the place of a row is its key and nothing else."""
        return self.is_keyed and self.cursor is None

    def key_behind(self, place: RowKey) -> RowKey:
        """The key at a place."""
        return RowKey(place[self.cursor is not None : len(place) - (not self.is_keyed)])

    def value_at(self, place: RowKey) -> str | None:
        """The value of the cursor at a place, as a warehouse reads it."""
        return None if self.cursor is None else readable(self.cursor.kind, place[0])


class Places:
    """Gives rows their places, one after another as they come."""

    def __init__(self, order: Order) -> None:
        self._cursor = order.cursor
        self._is_keyed = order.is_keyed
        self._last: tuple[str, ...] = ()
        self._alike = 0

    def place(self, values: Sequence[object], key: RowKey | None) -> RowKey | None:
        """The place of the next row; None where a part of it is NULL."""
        if key is None:
            return None
        parts: tuple[str, ...] = key
        if self._cursor is not None:
            value = values[self._cursor.index]
            if value is None:
                return None
            parts = (sortable(self._cursor.kind, value), *key)
        if not self._is_keyed:
            self._alike = self._alike + 1 if parts == self._last else 0
            self._last = parts
            parts = (*parts, f"{self._alike:0{_NUMBER_DIGITS}d}")
        return RowKey(parts)


def order_of(definition: SyncDefinition, columns: Sequence[Column]) -> Order:
    """The order in which the rows of a sync are read.

    :raises SourceInvalid: `VERSION_COLUMN_MISSING`, `CURSOR_COLUMN_MISSING`, `CURSOR_TYPE`.
    """
    cursor, version = definition.cursor, definition.version_column
    is_keyed = bool(definition.key_columns)
    kinds = {column.name: column.kind for column in columns}
    if version is not None and version not in kinds:
        raise _missing(version, "version of a row", kinds, "VERSION_COLUMN_MISSING")
    if cursor is None:
        return Order(None, is_keyed)
    kind = kinds.get(cursor.column)
    if kind is None:
        raise _missing(cursor.column, "cursor", kinds, "CURSOR_COLUMN_MISSING")
    if kind not in CURSOR_KINDS:
        raise SourceInvalid(
            f"the cursor {cursor.column!r} is of kind {kind}: cast it to a number, a date or a timestamp in the query",
            code="CURSOR_TYPE",
        )
    return Order(CursorColumn(cursor.column, list(kinds).index(cursor.column), kind, cursor.look_back_s), is_keyed)


def _missing(column: str, what: str, there: Iterable[str], code: str) -> SourceInvalid:
    return SourceInvalid(f"the query has no column {column!r} for the {what}; it has: {', '.join(there)}", code=code)

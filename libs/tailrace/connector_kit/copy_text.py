"""Rows as PostgreSQL writes them in the text format of COPY: cells of bytes, read only as far as somebody looks.

https://www.postgresql.org/docs/current/sql-copy.html, "Text Format"
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast, overload

from tailrace.connector_kit.compiled import COPY_CELLS, CopyCells
from tailrace.core.rows import ColumnKind, DistinctKeys, RowKey
from tailrace.core.snapshots import KEY_SIZE_LIMIT_BYTES
from tailrace.core.written_keys import WrittenKeys

NULL = b"\\N"
TRUE = (b"t", b"true")
"""As PostgreSQL writes it, and as DuckDB does."""

Numbers: TypeAlias = Mapping[int, Sequence[float | None]]
"""The values of columns, by their places."""

_ASKED_ALONE = 4
"""So many keys of lines are cut alone; who asks for more is given of all of them."""

_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_CONTROL = bytes([*range(9), *range(11, 32)])
"""All control characters but those between cells and lines."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the cells of a line are: columns of these kinds, so many `extra` ones, and the texts of the key.

    `times` are the columns of dates with a time, written in ISO 8601 wherever they are looked at. The column that is
    the `key` has no other cell.
    """

    kinds: Sequence[ColumnKind]
    times: Sequence[int] = ()
    extra: int = 0
    key: int | None = None


class TextRows(Sequence[tuple[object, ...]]):
    """Rows of a block, a line of text for each; `numbers` are columns of floating point that are not in it."""

    __slots__ = ("_cells", "_count", "copy_cells", "layout", "numbers", "text")

    def __init__(
        self,
        text: bytes,
        layout: Layout,
        numbers: Numbers | None = None,
        *,
        copy_cells: CopyCells | None = COPY_CELLS,
    ) -> None:
        """Without `copy_cells` all is done in Python."""
        self.text = text
        self.layout = layout
        self.numbers = numbers or {}
        self.copy_cells = copy_cells
        self._count: int | None = None
        self._cells: list[Sequence[bytes]] | None = None

    @property
    def cells(self) -> list[Sequence[bytes]]:
        """The cells of each column, none of one whose values came as numbers; then the extra ones and the keys'."""
        if self._cells is None:
            self._cells = self._cut()
        return self._cells

    @property
    def is_clean(self) -> bool:
        """Whether no cell is NULL or holds a quote, a backslash or a control character."""
        return b"\\" not in self.text and b'"' not in self.text and not has_control(self.text)

    @property
    def cells_before_keys(self) -> int:
        """How many cells of a line stand before those of the key."""
        return len(self.layout.kinds) - len(self.numbers) + self.layout.extra - (self.layout.key is not None)

    @property
    def cells_of_columns(self) -> int:
        """How many cells of a line there are up to the last that a column has."""
        return self.cells_before_keys + (self.layout.key is not None)

    def cell_of(self, at: int) -> int:
        """Where in a line a column has its cell."""
        key = self.layout.key
        if at == key:
            return self.cells_before_keys
        return at - sum(number < at for number in self.numbers) - (key is not None and key < at)

    def __len__(self) -> int:
        if self._count is None:
            self._count = self.text.count(b"\n") + 1 if self.text else 0
        return self._count

    @overload
    def __getitem__(self, at: int) -> tuple[object, ...]: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[tuple[object, ...]]: ...

    def __getitem__(self, at: int | slice) -> tuple[object, ...] | Sequence[tuple[object, ...]]:
        if isinstance(at, slice):
            return list(map(self._row, range(len(self))[at]))
        return self._row(at)

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return zip(*map(self.column, range(len(self.layout.kinds))), strict=True)

    def column(self, at: int) -> list[object]:
        """The values of a column."""
        if at in self.numbers:
            return list(self.numbers[at])
        kind, column = self.layout.kinds[at], self._column(at)
        return [_value(kind, cell) for cell in column] if kind in _READERS else list(_texts(column))

    def extra_cells(self, at: int) -> Sequence[bytes]:
        """The cells of one of the extra columns."""
        if self._cells is not None or self.copy_cells is None:
            return self.cells[len(self.layout.kinds) + at]
        return self.copy_cells.cut_column(self.text, self.cells_before_keys - self.layout.extra + at)

    def keys(self) -> Sequence[RowKey | None]:
        """The keys, None where a part of one is NULL."""
        if self.copy_cells is not None:
            written = self.copy_cells.write_keys(self.text, self.cells_before_keys, KEY_SIZE_LIMIT_BYTES)
            if written is not None:
                array, starts = written
                return self._counted(WrittenKeys(array, memoryview(starts).cast("I")))
            cut = self.copy_cells.cut_keys(self.text, self.cells_before_keys, KEY_SIZE_LIMIT_BYTES)
            if cut is not None:
                return self._counted(DistinctKeys(cut))
        parts = list(map(_texts, self.cells[len(self.layout.kinds) + self.layout.extra :]))
        keys = list(zip(*parts, strict=True))
        if any(None in part for part in parts):
            return [None if None in key else RowKey(key) for key in keys]
        return cast("list[RowKey | None]", keys)

    def _counted(self, keys: Sequence[RowKey]) -> Sequence[RowKey]:
        self._count = len(keys)
        return keys

    def _column(self, at: int) -> Sequence[bytes]:
        if self._cells is not None or self.copy_cells is None:
            return self.cells[at]
        column = self.copy_cells.cut_column(self.text, self.cell_of(at))
        return _in_iso(column) if at in self.layout.times else column

    def _cut(self) -> list[Sequence[bytes]]:
        # Cells hold neither tabs nor line breaks, which are written as escapes.
        found = self.text.replace(b"\n", b"\t").split(b"\t") if self.text else []
        width = len(found) // len(self) if found else self.cells_of_columns
        cells: list[Sequence[bytes]] = [found[at::width] for at in range(width)]
        for at in sorted(self.numbers):
            cells.insert(at, ())
        if self.layout.key is not None:
            cells.insert(self.layout.key, cells[-1])
        for at in self.layout.times:
            cells[at] = _in_iso(cells[at])
        return cells

    def _row(self, at: int) -> tuple[object, ...]:
        return tuple(
            [
                self.numbers[place][at] if place in self.numbers else _value(kind, self.cells[place][at])
                for place, kind in enumerate(self.layout.kinds)
            ]
        )


class LineKeys(Sequence[RowKey]):
    """The keys of neighbouring lines, the last cell of each, cut where somebody asks for them; none has an escape."""

    __slots__ = ("_asked", "_count", "_end", "_keys", "_start", "_text")

    def __init__(self, text: bytes, start: int, end: int, count: int) -> None:
        """So many lines of the text, from one place to another."""
        self._text = text
        self._start = start
        self._end = end - text.endswith(b"\n", start, end)
        self._count = count
        self._keys: Sequence[RowKey] | None = None
        self._asked = 0

    @property
    def size_bytes(self) -> int:
        """What the lines take that they are cut from."""
        return self._end - self._start

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> RowKey: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[RowKey]: ...

    def __getitem__(self, at: int | slice) -> RowKey | Sequence[RowKey]:
        if at == self._count - 1:
            return key_of_line(self._text, self._start, self._end)
        if self._keys is None and self._asked < _ASKED_ALONE and isinstance(at, int) and at >= 0:
            self._asked += 1
            line = self._text[self._start : self._end].split(b"\n", at + 1)[at]
            return key_of_line(line, 0, len(line))
        if self._keys is None:
            lines = self._text[self._start : self._end].split(b"\n")
            self._keys = [key_of_line(line, 0, len(line)) for line in lines]
        return self._keys[at]


class TextKeys(Sequence[RowKey | None]):
    """The keys of rows, cut where somebody asks for them."""

    __slots__ = ("_cut", "_rows")

    def __init__(self, rows: TextRows) -> None:
        self._rows = rows
        self._cut: Sequence[RowKey | None] | None = None

    @property
    def cut(self) -> Sequence[RowKey | None]:
        """All of them."""
        if self._cut is None:
            self._cut = self._rows.keys()
        return self._cut

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> RowKey | None: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[RowKey | None]: ...

    def __getitem__(self, at: int | slice) -> RowKey | Sequence[RowKey | None] | None:
        return self.cut[at]

    def __iter__(self) -> Iterator[RowKey | None]:
        return iter(self.cut)


def key_of_line(text: bytes, start: int, end: int) -> RowKey:
    """The last cell of a line of the text, which is its key and has no escape."""
    return RowKey((text[text.rfind(b"\t", start, end) + 1 : end].decode(),))


def has_control(text: bytes) -> bool:
    """Whether there is a control character in cells; what separates them does not count."""
    return len(text.translate(None, _CONTROL)) != len(text)


def unescaped(cell: bytes) -> bytes:
    """What a cell stands for; it is not NULL."""
    if b"\\" not in cell:
        return cell
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), cell)


def _value(kind: ColumnKind, cell: bytes) -> object:
    return None if cell == NULL else _READERS.get(kind, _text)(cell)


def _text(cell: bytes) -> str:
    return unescaped(cell).decode()


def _boolean(cell: bytes) -> bool:
    return cell in TRUE


_READERS: dict[ColumnKind, Callable[[bytes], object]] = {
    ColumnKind.INTEGER: int,
    ColumnKind.FLOAT: float,
    ColumnKind.BOOLEAN: _boolean,
}


def _texts(column: Sequence[bytes]) -> Sequence[str | None]:
    whole = b"\n".join(column)
    if column and b"\\" not in whole:
        return whole.decode().split("\n")
    return [None if cell == NULL else _text(cell) for cell in column]


def _in_iso(column: Sequence[bytes]) -> Sequence[bytes]:
    """Times as PostgreSQL writes them in its style ISO, in UTC: a space before the time, and `+00` for the zone."""
    whole = b"\n".join(column)
    if b" " not in whole:
        return column
    if b" BC" in whole:
        return [cell.replace(b" ", b"T", 1).replace(b"+00", b"Z") for cell in column]
    return whole.replace(b" ", b"T").replace(b"+00", b"Z").split(b"\n")

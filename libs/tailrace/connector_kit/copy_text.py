"""Rows as PostgreSQL writes them in the text format of COPY: cells of bytes, read only as far as somebody looks.

https://www.postgresql.org/docs/current/sql-copy.html, "Text Format"
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, cast, overload

from tailrace.core.rows import ColumnKind, RowKey

NULL = b"\\N"

Numbers: TypeAlias = Mapping[int, Sequence[float | None]]
"""The values of columns, by their places."""

_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_CONTROL = bytes([*range(9), *range(11, 32)])
"""All control characters but those between cells and lines."""


class TextRows(Sequence[tuple[object, ...]]):
    """Rows of a block in columns of these kinds; behind them stand columns with the texts of their keys.

    `cells` are those of each column, none of one whose values came as numbers. `is_clean` where none of them is NULL or
    holds a quote, a backslash or a control character.
    """

    __slots__ = ("_count", "_numbers", "cells", "is_clean", "kinds")

    def __init__(
        self, text: bytes, kinds: Sequence[ColumnKind], times: Sequence[int], numbers: Numbers | None = None
    ) -> None:
        """`text` has a line a row; `numbers` are columns of floating point that are not in it.

        `times` are the columns of dates with a time, which are written in ISO 8601 from here on.
        """
        self.is_clean = b"\\" not in text and b'"' not in text and not has_control(text)
        self.kinds = kinds
        self._numbers = numbers or {}
        self._count = text.count(b"\n") + 1 if text else 0
        # Cells hold neither tabs nor line breaks, which are written as escapes.
        cells = text.replace(b"\n", b"\t").split(b"\t") if text else []
        width = len(cells) // self._count if text else len(kinds)
        self.cells: list[Sequence[bytes]] = [cells[at::width] for at in range(width)]
        for at in sorted(self._numbers):
            self.cells.insert(at, ())
        for at in times:
            self.cells[at] = _in_iso(self.cells[at])

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> tuple[object, ...]: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[tuple[object, ...]]: ...

    def __getitem__(self, at: int | slice) -> tuple[object, ...] | Sequence[tuple[object, ...]]:
        if isinstance(at, slice):
            return list(map(self._row, range(self._count)[at]))
        return self._row(at)

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return zip(*map(self.column, range(len(self.kinds))), strict=True)

    def column(self, at: int) -> list[object]:
        """The values of a column."""
        if at in self._numbers:
            return list(self._numbers[at])
        kind, column = self.kinds[at], self.cells[at]
        return [_value(kind, cell) for cell in column] if kind in _READERS else list(_texts(column))

    def keys(self) -> list[RowKey | None]:
        """The keys, None where a part of one is NULL."""
        parts = list(map(_texts, self.cells[len(self.kinds) :]))
        keys = list(zip(*parts, strict=True))
        if any(None in part for part in parts):
            return [None if None in key else RowKey(key) for key in keys]
        return cast("list[RowKey | None]", keys)

    def _row(self, at: int) -> tuple[object, ...]:
        return tuple(
            [
                self._numbers[place][at] if place in self._numbers else _value(kind, self.cells[place][at])
                for place, kind in enumerate(self.kinds)
            ]
        )


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
    return cell == b"true"


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

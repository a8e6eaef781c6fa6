"""Rows of text written as JSON by filling in a template: for columns and constants that go as they come.

What PostgreSQL escapes in the text format of COPY is escaped as JSON does it, but for quotes and some control
characters. The bytes are those that the exact encoder writes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import orjson

from tailrace.connector_kit.compiled import CellField, CopyCells, How, Known, Sifted
from tailrace.connector_kit.copy_text import NULL, TRUE, TextRows, has_control, unescaped
from tailrace.core.rows import ColumnKind
from tailrace.core.snapshots import hash_of_body

_HOW = {
    ColumnKind.BOOLEAN: How.TRUTH,
    ColumnKind.DECIMAL: How.DIGITS,
    ColumnKind.JSON: How.JSON,
    ColumnKind.TEXT: How.TEXT,
    ColumnKind.TIMESTAMP: How.TEXT,
}
_QUOTED = frozenset({ColumnKind.TEXT, ColumnKind.TIMESTAMP})


@dataclass(frozen=True, slots=True)
class TextField:
    """A field of the object: the column that it takes, or where there is none, its constant."""

    name: str
    index: int | None
    kind: ColumnKind
    constant: object = None


class Template:
    """Writes the rows of blocks, all of a block at once."""

    def __init__(self, fields: Sequence[TextField]) -> None:
        self._fields = fields
        self._taken = [(field.index, field.kind) for field in fields if field.index is not None]
        self._bare = list(self._pieces([False] * len(self._taken)))

    def bodies(self, rows: TextRows) -> list[bytes] | None:
        """The JSON objects of the rows; None where one of them holds what JSON cannot."""
        compiled = None if rows.copy_cells is None else self._by_cells(rows, rows.copy_cells)
        return self._by_columns(rows) if compiled is None else compiled

    def sift(self, rows: TextRows, start: int, known: Known) -> Sifted | None:
        """Compare the objects of lines from a place in the text on with those known; None where Python has to do it."""
        if rows.copy_cells is None or any(kind is ColumnKind.FLOAT for _, kind in self._taken):
            return None
        fields = self._cell_fields(rows)
        return rows.copy_cells.sift(
            rows.text, start, rows.cells_of_columns, fields, self._bare[-1], known, hash_of_body
        )

    def _by_cells(self, rows: TextRows, copy_cells: CopyCells) -> list[bytes] | None:
        """The same in compiled code; None where it leaves them to `_by_columns`."""
        fields = self._cell_fields(rows)
        for nth, (at, kind) in enumerate(self._taken):
            if kind is ColumnKind.FLOAT:
                written = _floats(rows.column(at))
                if written is None:
                    return None
                fields[nth] = fields[nth]._replace(how=How.GIVEN, given=list(written[0]))
        return copy_cells.write_objects(rows.text, rows.cells_of_columns, fields, self._bare[-1])

    def _cell_fields(self, rows: TextRows) -> list[CellField]:
        """What compiled code is to write of the text."""
        times = rows.layout.times
        return [
            CellField(piece, rows.cell_of(at), How.TIME if at in times else _HOW.get(kind, How.BARE))
            for (at, kind), piece in zip(self._taken, self._bare, strict=False)
        ]

    def _by_columns(self, rows: TextRows) -> list[bytes] | None:
        write = _clean if rows.is_clean else _written
        columns: list[Sequence[bytes]] = []
        quoted: list[bool] = []
        for at, kind in self._taken:
            written = _floats(rows.column(at)) if kind is ColumnKind.FLOAT else write(kind, rows.cells[at])
            if written is None:
                return None
            columns.append(written[0])
            quoted.append(written[1])
        first, *others = self._pieces(quoted)
        filled: list[Iterable[bytes]] = [repeat(first, len(rows))]
        for column, piece in zip(columns, others, strict=True):
            filled += column, repeat(piece)
        return list(map(b"".join, zip(*filled, strict=False)))

    def _pieces(self, quoted: Sequence[bool]) -> Iterator[bytes]:
        """What stands before each of the cells, in quotation marks or bare, and behind the last."""
        marks = iter(quoted)
        piece, between = b"{", b""
        for field in self._fields:
            piece += between + orjson.dumps(field.name) + b":"
            between = b","
            if field.index is None:
                piece += orjson.dumps(field.constant)
            else:
                mark = b'"' if next(marks) else b""
                yield piece + mark
                piece = mark
        yield piece + b"}"


def _clean(kind: ColumnKind, column: Sequence[bytes]) -> tuple[Sequence[bytes], bool] | None:
    """As `_written` does it, for cells of which none is NULL or has to be escaped."""
    if kind is ColumnKind.BOOLEAN:
        return _truths(column), False
    return None if kind is ColumnKind.DECIMAL and _is_unfit(b"".join(column)) else (column, kind in _QUOTED)


def _written(kind: ColumnKind, column: Sequence[bytes]) -> tuple[Sequence[bytes], bool] | None:
    """A column as it is filled in, and whether in quotation marks; None where JSON cannot hold a cell."""
    match kind:
        case ColumnKind.JSON:
            return [b"null" if cell == NULL else unescaped(cell) for cell in column], False
        case ColumnKind.TEXT | ColumnKind.TIMESTAMP:
            return _texts(column)
        case ColumnKind.BOOLEAN:
            return _truths(column), False
    column = _with_null(column)
    return None if kind is ColumnKind.DECIMAL and _is_unfit(b"".join(column)) else (column, False)


def _truths(column: Sequence[bytes]) -> Sequence[bytes]:
    return [b"null" if cell == NULL else b"true" if cell in TRUE else b"false" for cell in column]


def _texts(column: Sequence[bytes]) -> tuple[Sequence[bytes], bool]:
    whole = b"\n".join(column)
    # A vertical tab has an escape there, and none in JSON.
    if has_control(whole) or b"\\v" in whole:
        return [b"null" if cell == NULL else orjson.dumps(unescaped(cell).decode()) for cell in column], False
    if b'"' in whole:
        column = whole.replace(b'"', b'\\"').split(b"\n")
    if NULL in column:
        return [b"null" if cell == NULL else b'"%b"' % cell for cell in column], False
    return column, True


def _floats(values: Sequence[object]) -> tuple[Sequence[bytes], bool] | None:
    written = orjson.dumps(values)
    # It writes `null` for what JSON cannot hold, too.
    return None if written.count(b"null") != values.count(None) else (written[1:-1].split(b","), False)


def _with_null(column: Sequence[bytes]) -> Sequence[bytes]:
    return [b"null" if cell == NULL else cell for cell in column] if NULL in column else column


def _is_unfit(digits: bytes) -> bool:
    """Whether there is `NaN` or an infinity among numbers."""
    return b"N" in digits or b"y" in digits

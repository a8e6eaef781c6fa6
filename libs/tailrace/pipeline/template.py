"""Rows of text written as JSON by filling in a template: for columns and constants that go as they come.

What PostgreSQL escapes in the text format of COPY is escaped as JSON does it, but for quotes and some control
characters. The bytes are those that the exact encoder writes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from operator import itemgetter

import orjson

from tailrace.connector_kit.copy_text import NULL, TextRows, has_control, unescaped
from tailrace.core.rows import ColumnKind

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
        # A last place that is filled with nothing, since one place alone would be picked bare.
        self._pick = itemgetter(*(at for at, _ in self._taken), 0)
        self._decimals = [at for at, kind in self._taken if kind is ColumnKind.DECIMAL]
        self._may_be_clean = all(kind is not ColumnKind.FLOAT for _, kind in self._taken)
        self._clean = self._template([kind in _QUOTED for _, kind in self._taken]) + b"%.0b"

    def bodies(self, rows: TextRows) -> list[bytes] | None:
        """The JSON objects of the rows; None where one of them holds what JSON cannot."""
        if rows.is_clean and self._may_be_clean:
            if any(map(_is_unfit, (b"".join([cells[at] for cells in rows.cells]) for at in self._decimals))):
                return None
            return list(map(self._clean.__mod__, map(self._pick, rows.cells)))
        columns: list[Sequence[bytes]] = []
        quoted: list[bool] = []
        for at, kind in self._taken:
            written = _written(kind, [cells[at] for cells in rows.cells])
            if written is None:
                return None
            columns.append(written[0])
            quoted.append(written[1])
        return list(map(self._template(quoted).__mod__, zip(*columns, strict=True)))

    def _template(self, quoted: Sequence[bool]) -> bytes:
        """The object with places for cells, in quotation marks or bare."""
        marks = iter(quoted)
        return b"{" + b",".join([_name(field) + _place(field, marks) for field in self._fields]) + b"}"


def _name(field: TextField) -> bytes:
    return orjson.dumps(field.name).replace(b"%", b"%%") + b":"


def _place(field: TextField, marks: Iterator[bool]) -> bytes:
    if field.index is None:
        return orjson.dumps(field.constant).replace(b"%", b"%%")
    return b'"%b"' if next(marks) else b"%b"


def _written(kind: ColumnKind, column: Sequence[bytes]) -> tuple[Sequence[bytes], bool] | None:
    """A column as it is filled in, and whether in quotation marks; None where JSON cannot hold a cell."""
    match kind:
        case ColumnKind.FLOAT:
            return _floats(column)
        case ColumnKind.JSON:
            return [b"null" if cell == NULL else unescaped(cell) for cell in column], False
        case ColumnKind.TEXT | ColumnKind.TIMESTAMP:
            return _texts(column)
    column = _with_null(column)
    return None if kind is ColumnKind.DECIMAL and _is_unfit(b"".join(column)) else (column, False)


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


def _floats(column: Sequence[bytes]) -> tuple[Sequence[bytes], bool] | None:
    values = [None if cell == NULL else float(cell) for cell in column]
    if not all(value is None or isfinite(value) for value in values):
        return None
    return orjson.dumps(values)[1:-1].split(b","), False


def _with_null(column: Sequence[bytes]) -> Sequence[bytes]:
    return [b"null" if cell == NULL else cell for cell in column] if NULL in column else column


def _is_unfit(digits: bytes) -> bool:
    """Whether there is `NaN` or an infinity among numbers."""
    return b"N" in digits or b"y" in digits

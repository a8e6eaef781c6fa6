"""SQL for MySQL and MariaDB as a warehouse: a query wrapped so that its rows come in the order of their keys."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import ColumnKind

try:
    from pymysql.constants import FIELD_TYPE
except ImportError as error:
    raise ImportError("the driver for MySQL is not installed: pip install 'tailrace[mysql]'") from error

_BINARY = 63
_ROWS = "tailrace_rows"
_INTEGERS = (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR)
_TIMES = (FIELD_TYPE.TIMESTAMP, FIELD_TYPE.DATETIME, FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE)
KINDS: Mapping[int, ColumnKind] = {
    **dict.fromkeys(_INTEGERS, ColumnKind.INTEGER),
    **dict.fromkeys(_TIMES, ColumnKind.TIMESTAMP),
    **dict.fromkeys((FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), ColumnKind.DECIMAL),
    **dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), ColumnKind.FLOAT),
    FIELD_TYPE.JSON: ColumnKind.JSON,
}


# Without a character set of their own, and yet no bytes.
_WORDS = frozenset({FIELD_TYPE.TIME, FIELD_TYPE.NULL, *KINDS})
_TOKEN = re.compile(
    r"""
      '(?:[^'\\]|\\.|'')*'
    | "(?:[^"\\]|\\.|"")*"
    | `(?:[^`]|``)*`
    | --(?=\s|$)[^\n]*
    | \#[^\n]*
    | /\*.*?\*/
    | (?P<end>;)
    | .
    """,
    re.VERBOSE | re.DOTALL,
)


class FieldLike(Protocol):
    """A column as the server describes it."""

    name: str
    type_code: int
    charsetnr: int


def describing(query: str) -> str:
    """A statement that gives the columns of the query and none of its rows."""
    return f"SELECT * FROM (\n{_first_statement(query)}\n) AS {_ROWS} LIMIT 0"  # noqa: S608 - read-only by transaction


def reading_sql(reading: Reading, fields: Sequence[FieldLike]) -> tuple[str, Sequence[object]]:
    """The statement, and its arguments in the driver's form: a percent sign stands doubled."""
    order = _Order.of(reading, fields)
    selected = ", ".join([*map(_projection, fields), *order.keys])
    condition, arguments = _condition(reading, order)
    by = [_last(order.has_null), *map(_bytes, order.keys)]
    if order.cursor is not None:
        # Rows whose key has a NULL come last of those that have no place.
        by[1:1] = [f"(CASE WHEN {order.has_null} THEN NULL ELSE {order.cursor} END)", _last(order.key_has_null)]
    query = _first_statement(reading.query).replace("%", "%%")
    sql = f"""SELECT {selected} FROM (\n{query}\n) AS {_ROWS} {condition}
        ORDER BY {", ".join(by)}, (CASE WHEN {order.has_null} THEN {_digest(fields)} END)
    """  # noqa: S608 - read-only by transaction
    return sql, arguments


@dataclass(frozen=True, slots=True)
class _Order:
    """By what rows are ordered: the texts of their key, before them the value of a cursor; and which have no place."""

    keys: Sequence[str]
    key_has_null: str
    cursor: str | None
    since: str

    @property
    def has_null(self) -> str:
        return self.key_has_null if self.cursor is None else f"{self.key_has_null} OR {self.cursor} IS NULL"

    @classmethod
    def of(cls, reading: Reading, fields: Sequence[FieldLike]) -> "_Order":
        by_name = {field.name: field for field in fields}
        keys = [_text(by_name[name]) for name in reading.key_columns] or [_digest(fields)]
        has_null = " OR ".join(f"{_name(name)} IS NULL" for name in reading.key_columns) or "FALSE"
        if reading.cursor is None:
            return cls(keys, has_null, None, "")
        return cls(keys, has_null, *_compared(by_name[reading.cursor.column]))


def _compared(field: FieldLike) -> tuple[str, str]:
    """A cursor column, and the place of a value of it: compared as what they are, digit by digit."""
    column, kind = _name(field.name), KINDS.get(field.type_code)
    if kind is ColumnKind.FLOAT:
        # The shortest decimal of a FLOAT differs from the shortest of the same number as DOUBLE.
        return (f"(concat({column}) + 0e0)" if field.type_code == FIELD_TYPE.FLOAT else column), "(%s + 0e0)"
    if kind is ColumnKind.TIMESTAMP:
        return column, "CAST(%s AS DATETIME(6))"
    return column, "CAST(%s AS DECIMAL(65, 30))"


def _last(condition: str) -> str:
    """To order by: what meets the condition comes last. A bare condition that is constant would be no order to it."""
    return f"(CASE WHEN {condition} THEN 1 ELSE 0 END)"


def _condition(reading: Reading, order: _Order) -> tuple[str, Sequence[object]]:
    here = [_bytes(key) for key in order.keys]
    given = [_bytes("%s") for _ in order.keys]
    if reading.only is not None:
        wanted = ", ".join(f"({', '.join(given)})" for _ in reading.only)
        arguments = [part for key in reading.only for part in key]
        return (f"WHERE ({', '.join(here)}) IN ({wanted})" if wanted else "WHERE FALSE"), arguments
    since = None if reading.cursor is None else reading.cursor.since
    bounds: list[str] = []
    arguments = []
    if since is not None:
        arguments.append(since)
        bounds.append(f"{order.cursor} >= {order.since}")
    if reading.after is not None:
        if since is not None:
            arguments.append(since)
            here, given = [str(order.cursor), *here], [order.since, *given]
        arguments += reading.after
        bounds.append(f"({', '.join(here)}) {'>' if reading.key_columns else '>='} ({', '.join(given)})")
    return (f"WHERE ({' AND '.join(bounds)}) OR {order.has_null}" if bounds else ""), arguments


def _projection(field: FieldLike) -> str:
    is_number_or_time = field.type_code in KINDS and field.type_code != FIELD_TYPE.JSON
    return _name(field.name) if is_number_or_time else _text(field)


def _text(field: FieldLike) -> str:
    column = _name(field.name)
    is_binary = field.charsetnr == _BINARY and field.type_code not in KINDS
    return (
        f"lower(hex({column}))" if is_binary and field.type_code not in _WORDS else f"convert({column} USING utf8mb4)"
    )


def _digest(fields: Sequence[FieldLike]) -> str:
    """Of all of a row; NULL differs from every value."""
    parts = ", ".join(f"coalesce(hex({_text(field)}), '-')" for field in fields)
    return f"sha2(concat_ws(',', {parts}), 256)"


def _bytes(text: str) -> str:
    return f"CAST(convert({text} USING utf8mb4) AS BINARY)"


def _name(name: str) -> str:
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


def _first_statement(query: str) -> str:
    """The query up to its first semicolon outside strings, quoted names and comments."""
    end = next((token.start() for token in _TOKEN.finditer(query) if token["end"]), len(query))
    return query[:end]

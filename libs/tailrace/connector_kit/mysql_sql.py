"""SQL for MySQL and MariaDB as a warehouse: a query wrapped so that its rows come in the order of their keys."""

import re
from collections.abc import Mapping, Sequence
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
    by_name = {field.name: field for field in fields}
    keys = [_text(by_name[name]) for name in reading.key_columns]
    has_null = " OR ".join(f"{_name(name)} IS NULL" for name in reading.key_columns)
    selected = ", ".join([_projection(field) for field in fields] + keys)
    condition, arguments = _condition(reading, keys, has_null)
    row = ", ".join(f"coalesce(hex({_name(field.name)}), '-')" for field in fields)
    order = [f"({has_null})", *map(_bytes, keys), f"(CASE WHEN {has_null} THEN sha2(concat_ws(',', {row}), 256) END)"]
    query = _first_statement(reading.query).replace("%", "%%")
    sql = f"SELECT {selected} FROM (\n{query}\n) AS {_ROWS} {condition} ORDER BY {', '.join(order)}"  # noqa: S608 - read-only
    return sql, arguments


def _condition(reading: Reading, keys: Sequence[str], has_null: str) -> tuple[str, Sequence[object]]:
    here = ", ".join(map(_bytes, keys))
    given = ", ".join(_bytes("%s") for _ in keys)
    if reading.only is not None:
        if not reading.only:
            return "WHERE FALSE", ()
        wanted = ", ".join(f"({given})" for _ in reading.only)
        return f"WHERE ({here}) IN ({wanted})", [part for key in reading.only for part in key]
    if reading.after is not None:
        return f"WHERE ({here}) > ({given}) OR {has_null}", list(reading.after)
    return "", ()


def _projection(field: FieldLike) -> str:
    is_number_or_time = field.type_code in KINDS and field.type_code != FIELD_TYPE.JSON
    return _name(field.name) if is_number_or_time else _text(field)


def _text(field: FieldLike) -> str:
    column = _name(field.name)
    is_binary = field.charsetnr == _BINARY and field.type_code not in KINDS
    return (
        f"lower(hex({column}))" if is_binary and field.type_code not in _WORDS else f"convert({column} USING utf8mb4)"
    )


def _bytes(text: str) -> str:
    return f"CAST(convert({text} USING utf8mb4) AS BINARY)"


def _name(name: str) -> str:
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


def _first_statement(query: str) -> str:
    """The query up to its first semicolon outside strings, quoted names and comments."""
    end = next((token.start() for token in _TOKEN.finditer(query) if token["end"]), len(query))
    return query[:end]

"""SQL for MySQL and MariaDB as a warehouse: a query wrapped so that its rows come in the order of their keys."""

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from tailrace.connector_kit.key_samples import MOST_KEYS
from tailrace.connector_kit.row_order import RowOrder, within_bounds
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
    return f"SELECT * FROM {_rows_of(query)} LIMIT 0"  # noqa: S608 - read-only by transaction


def counting_sql(query: str) -> str:
    """A statement that counts the rows of the query."""
    return f"SELECT count(*) FROM {_rows_of(query)}"  # noqa: S608 - read-only by transaction


def sampling_sql(reading: Reading, fields: Sequence[FieldLike], part: float) -> str:
    """A statement that gives the texts of some keys, drawn at random; none with a NULL; as `reading_sql`."""
    order = _order_of(reading, fields)
    drawn = f"rand() < {part:.12f} AND NOT ({order.has_null}) ORDER BY rand() LIMIT {MOST_KEYS}"
    return f"SELECT {', '.join(order.keys)} FROM {_rows_of(reading.query).replace('%', '%%')} WHERE {drawn}"  # noqa: S608 - read-only by transaction


def reading_sql(reading: Reading, fields: Sequence[FieldLike]) -> tuple[str, Sequence[object]]:
    """The statement, and its arguments in the driver's form: a percent sign stands doubled."""
    order = _order_of(reading, fields)
    selected = ", ".join([*map(_projection, fields), *order.keys])
    keys = [_bytes(key) for key in order.keys]
    condition, arguments = within_bounds(reading, order, keys, [_bytes("%s") for _ in keys])
    by = order.by(keys)
    rows = _rows_of(reading.query).replace("%", "%%")
    sql = f"""SELECT {selected} FROM {rows} {condition}
        ORDER BY {", ".join(by)}, (CASE WHEN {order.has_null} THEN {_digest(fields)} END)
    """  # noqa: S608 - read-only by transaction
    return sql, arguments


def _order_of(reading: Reading, fields: Sequence[FieldLike]) -> RowOrder:
    by_name = {field.name: field for field in fields}
    keys = [_text(by_name[name]) for name in reading.key_columns] or [_digest(fields)]
    has_null = " OR ".join(f"{_name(name)} IS NULL" for name in reading.key_columns) or "FALSE"
    if reading.cursor is None:
        return RowOrder(keys, has_null, None, "")
    return RowOrder(keys, has_null, *_compared(by_name[reading.cursor.column]))


def _compared(field: FieldLike) -> tuple[str, str]:
    """A cursor column, and the place of a value of it: compared as what they are, digit by digit."""
    column, kind = _name(field.name), KINDS.get(field.type_code)
    if kind is ColumnKind.FLOAT:
        # The shortest decimal of a FLOAT differs from the shortest of the same number as DOUBLE.
        return (f"(concat({column}) + 0e0)" if field.type_code == FIELD_TYPE.FLOAT else column), "(%s + 0e0)"
    if kind is ColumnKind.TIMESTAMP:
        return column, "CAST(%s AS DATETIME(6))"
    return column, "CAST(%s AS DECIMAL(65, 30))"


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


def _rows_of(query: str) -> str:
    return f"(\n{_first_statement(query)}\n) AS {_ROWS}"


def _first_statement(query: str) -> str:
    """The query up to its first semicolon outside strings, quoted names and comments."""
    end = next((token.start() for token in _TOKEN.finditer(query) if token["end"]), len(query))
    return query[:end]

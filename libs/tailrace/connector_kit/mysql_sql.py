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
_WHOLE_AT_MOST = 1024
_INTEGERS = (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR)
_TIMES = (FIELD_TYPE.TIMESTAMP, FIELD_TYPE.DATETIME, FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE)
KINDS: Mapping[int, ColumnKind] = {
    **dict.fromkeys(_INTEGERS, ColumnKind.INTEGER),
    **dict.fromkeys(_TIMES, ColumnKind.TIMESTAMP),
    **dict.fromkeys((FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), ColumnKind.DECIMAL),
    **dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), ColumnKind.FLOAT),
    FIELD_TYPE.JSON: ColumnKind.JSON,
}


_TEXTS = (FIELD_TYPE.VARCHAR, FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.BLOB)
# Whose values an index finds by the texts that they were written as.
_SOUGHT = frozenset({*_INTEGERS, *_TEXTS})
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
    length: int


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
    return f"SELECT {', '.join(order.keys)} FROM {_rows_in(reading)} WHERE {drawn}"  # noqa: S608 - read-only by transaction


def reading_sql(
    reading: Reading, fields: Sequence[FieldLike], *more: str, were_seen: bool = False
) -> tuple[str, Sequence[object]]:
    """The statement, and its arguments in the driver's form: a percent sign stands doubled.

    It gives the columns of the query, more if there is more, then the texts of the key. Keys that `were_seen` are texts
    of values of their columns: an index on these can find them.
    """
    return _reading([*map(_projection, fields), *more], reading, fields, were_seen=were_seen)


def hashes_sql(reading: Reading, fields: Sequence[FieldLike], row_hash: str) -> tuple[str, Sequence[object]]:
    """The same with nothing but the hash before the texts of the key."""
    return _reading([row_hash], reading, fields, were_seen=False)


def lines_sql(reading: Reading, fields: Sequence[FieldLike], row_hash: str, rows: int) -> tuple[str, Sequence[object]]:
    """The same for a key of one column of whole numbers: a line of hash, tab and key, so many in one text.

    Each comes behind the bytes that it has to have: the server cuts a text that grows too long for it.
    """
    order, condition, arguments = _within(reading, fields)
    [key] = order.keys
    by = ", ".join(order.by([_bytes(key)]))
    line = f"concat({row_hash}, '\t', coalesce({key}, '\\\\N'))"
    numbered = f"row_number() OVER (ORDER BY {by})"
    sql = f"""SELECT CAST(sum(length(line) + 1) - 1 AS SIGNED), group_concat(line ORDER BY place SEPARATOR '\n') FROM (
        SELECT {line} AS line, {numbered} AS place, ({numbered} - 1) DIV {rows} AS part
        FROM {_rows_in(reading)} {condition}) AS tailrace_lines GROUP BY part ORDER BY part
    """  # noqa: S608 - read-only by transaction
    return sql, arguments


def knows_windows(version: str) -> bool:
    """Whether the server numbers rows: MySQL since 8.0, MariaDB since 10.2, which may pass for a MySQL 5.5.5."""
    numbers = [int(number) for number in re.findall("[0-9]+", version.removeprefix("5.5.5-"))[:2]]
    return numbers >= ([10, 2] if "mariadb" in version.lower() else [8, 0])


def is_whole_number(field: FieldLike) -> bool:
    """Whether its values are."""
    return field.type_code in _INTEGERS


def hash_of(fields: Sequence[FieldLike], names: Sequence[str], salt: bytes) -> str:
    """The first half of the MD5 of a salt and the values of these columns, signed.

    Each value has its length before it; where it may be long, its own MD5 stands for it, since the server makes NULL of
    a text that is too long. It is 0, which is no hash, if that happens all the same, or the only value is NULL.
    """
    by_name = {field.name: field for field in fields}
    parts = ", ".join(_part(by_name[name], or_else="NULL" if len(names) == 1 else "'-'") for name in names)
    return (
        f"coalesce(CAST(CAST(conv(left(md5(concat(x'{salt.hex()}', {parts})), 16), 16, 10) AS UNSIGNED) AS SIGNED), 0)"
    )


def _part(field: FieldLike, or_else: str) -> str:
    value = f"CAST({_text(field)} AS BINARY)"
    told = value if field.length <= _WHOLE_AT_MOST else f"unhex(md5({value}))"
    return f"coalesce(concat(length({value}), ':', {told}), {or_else})"


def _reading(
    selected: Sequence[str], reading: Reading, fields: Sequence[FieldLike], *, were_seen: bool
) -> tuple[str, Sequence[object]]:
    order, condition, arguments = _within(reading, fields)
    if were_seen:
        searches, sought = _searches(reading, fields)
        condition, arguments = condition + searches, [*arguments, *sought]
    by = order.by([_bytes(key) for key in order.keys])
    sql = f"""SELECT {", ".join([*selected, *order.keys])} FROM {_rows_in(reading)} {condition}
        ORDER BY {", ".join(by)}, (CASE WHEN {order.has_null} THEN {_digest(fields)} END)
    """  # noqa: S608 - read-only by transaction
    return sql, arguments


def _order_of(reading: Reading, fields: Sequence[FieldLike]) -> RowOrder:
    by_name = {field.name: field for field in fields}
    return RowOrder.of(
        reading,
        text=lambda name: _text(by_name[name]),
        quoted=_name,
        digest=lambda: _digest(fields),
        cursor=lambda name: _compared(by_name[name]),
    )


def _compared(field: FieldLike) -> tuple[str, str]:
    """A cursor column, and the place of a value of it: compared as what they are, digit by digit."""
    column, kind = _name(field.name), KINDS.get(field.type_code)
    if kind is ColumnKind.FLOAT:
        # The shortest decimal of a FLOAT differs from the shortest of the same number as DOUBLE.
        return (f"(concat({column}) + 0e0)" if field.type_code == FIELD_TYPE.FLOAT else column), "(%s + 0e0)"
    if kind is ColumnKind.TIMESTAMP:
        return column, "CAST(%s AS DATETIME(6))"
    return column, "CAST(%s AS DECIMAL(65, 30))"


def _within(reading: Reading, fields: Sequence[FieldLike]) -> tuple[RowOrder, str, Sequence[object]]:
    order = _order_of(reading, fields)
    keys = [_bytes(key) for key in order.keys]
    return order, *within_bounds(reading, order, keys, [_bytes("%s") for _ in keys])


def _searches(reading: Reading, fields: Sequence[FieldLike]) -> tuple[str, Sequence[object]]:
    """What the values of keys are among besides, whose texts are."""
    by_name = {field.name: field for field in fields}
    condition, arguments = "", list[object]()
    for part, name in enumerate(reading.key_columns):
        field = by_name[name]
        texts = [key[part] for key in reading.only or ()]
        if texts and field.type_code in _SOUGHT:
            place = "unhex(%s)" if _is_binary(field) else "%s"
            condition += f" AND {_name(name)} IN ({', '.join([place] * len(texts))})"
            arguments += map(int, texts) if field.type_code in _INTEGERS else texts
    return condition, arguments


def _projection(field: FieldLike) -> str:
    is_number_or_time = field.type_code in KINDS and field.type_code != FIELD_TYPE.JSON
    return _name(field.name) if is_number_or_time else _text(field)


def _text(field: FieldLike) -> str:
    column = _name(field.name)
    return f"lower(hex({column}))" if _is_binary(field) else f"convert({column} USING utf8mb4)"


def _is_binary(field: FieldLike) -> bool:
    return field.charsetnr == _BINARY and field.type_code not in _WORDS


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


def _rows_in(reading: Reading) -> str:
    return _rows_of(reading.query).replace("%", "%%")


def _first_statement(query: str) -> str:
    """The query up to its first semicolon outside strings, quoted names and comments."""
    end = next((token.start() for token in _TOKEN.finditer(query) if token["end"]), len(query))
    return query[:end]

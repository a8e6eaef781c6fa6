"""SQL for BigQuery as a warehouse: a query wrapped so that its rows come in the order of their keys, as exact text.

Its functions, types and format elements are those of https://cloud.google.com/bigquery/docs/reference/standard-sql.
ZetaSQL, the open reference of the language (PyPI: zetasql 0.1.5), takes all of it, and carries out all but GEOGRAPHY as
is meant here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tailrace.connector_kit.key_samples import MOST_KEYS
from tailrace.connector_kit.row_order import RowOrder, by_prefixes, within_bounds
from tailrace.connector_kit.select_text import require_beginning, tokens_of, without_semicolon
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import ColumnKind, RowKey

_ROWS = "tailrace_rows"
_KINDS: Mapping[str, ColumnKind] = {
    "INT64": ColumnKind.INTEGER,
    "FLOAT64": ColumnKind.FLOAT,
    "BOOL": ColumnKind.BOOLEAN,
    **dict.fromkeys(("NUMERIC", "BIGNUMERIC"), ColumnKind.DECIMAL),
    **dict.fromkeys(("DATE", "DATETIME", "TIMESTAMP"), ColumnKind.TIMESTAMP),
    **dict.fromkeys(("JSON", "STRUCT", "ARRAY"), ColumnKind.JSON),
}
# TO_JSON_STRING writes NULL as the text `null`.
_AS_JSON = "IF({0} IS NULL, NULL, TO_JSON_STRING({0}))"
_TEXTS: Mapping[str, str] = {
    "STRING": "{}",
    "BYTES": "TO_HEX({})",
    "TIME": "FORMAT_TIME('%H:%M:%E*S', {})",
    "DATETIME": "FORMAT_DATETIME('%E4Y-%m-%dT%H:%M:%E*S', {})",
    "TIMESTAMP": "FORMAT_TIMESTAMP('%E4Y-%m-%dT%H:%M:%E*SZ', {}, 'UTC')",
    "GEOGRAPHY": "ST_ASTEXT({})",
    **dict.fromkeys(("JSON", "STRUCT", "ARRAY"), _AS_JSON),
}
_AS_THEY_ARE = frozenset({"INT64", "FLOAT64", "BOOL"})
_ALIASES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
# A backslash keeps a quote from ending a string in raw strings too.
_TOKEN = re.compile(
    r'''
      """(?:[^\\]|\\.)*?"""
    | \'\'\'(?:[^\\]|\\.)*?\'\'\'
    | "(?:[^"\\]|\\.)*"
    | '(?:[^'\\]|\\.)*'
    | `(?:[^`\\]|\\.)*`
    | (?P<blank>\s+|(?:--|\#)[^\n]*|/\*.*?\*/)
    | (?P<system>@@\w+)
    | (?P<parameter>\?|@\w+)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<sign>.)
    ''',
    re.VERBOSE | re.DOTALL,
)
_BEGINNINGS = frozenset({"select", "with", "from"})


@dataclass(frozen=True, slots=True)
class Field:
    """A column as the server describes it; `type_name` is the name that SQL has for its type."""

    name: str
    type_name: str

    @property
    def kind(self) -> ColumnKind:
        """How its values arrive."""
        return _KINDS.get(self.type_name, ColumnKind.TEXT)


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL, and a value for each `?` in it."""

    sql: str
    arguments: Sequence[str | Sequence[str]] = ()


def field_of(name: str, type_name: str, mode: str) -> Field:
    """A column by what a schema says of it."""
    return Field(name, "ARRAY" if mode == "REPEATED" else _ALIASES.get(type_name, type_name))


def one_select(query: str) -> str:
    """The query without a semicolon at its end, if it looks as if it only read; the server looks again.

    :raises SourceInvalid: `SOURCE_QUERY`, it is no single SELECT, or wants arguments.
    """
    tokens = tokens_of(query, _TOKEN)
    require_beginning(tokens, _BEGINNINGS)
    select = without_semicolon(query, tokens)
    if any(token["parameter"] for token in tokens):
        raise SourceInvalid("the query has parameters (? or @name): write values into it", code="SOURCE_QUERY")
    return select


def counting_sql(query: str) -> Statement:
    """Counts the rows of the query."""
    return Statement(f"SELECT COUNT(*) AS n FROM {_rows_of(query)}")  # noqa: S608 - looked at


def sampling_sql(reading: Reading, fields: Sequence[Field], part: float) -> Statement:
    """Gives the texts of some keys, drawn at random; none with a NULL."""
    order = _order_of(reading, fields)
    keys = ", ".join(_aliased("k", order.keys))
    chosen = f"WHERE RAND() < {part:.9f} AND NOT ({order.has_null}) ORDER BY RAND() LIMIT {MOST_KEYS}"
    return Statement(f"SELECT {keys} FROM {_rows_of(reading.query)} {chosen}")  # noqa: S608 - looked at


def reading_sql(reading: Reading, fields: Sequence[Field]) -> Statement:
    """Gives the columns of the query, then the texts of the key; each by a name of ours, since names come once."""
    order = _order_of(reading, fields)
    selected = ", ".join([*_aliased("c", map(_projection, fields)), *_aliased("k", order.keys)])
    keys = [_bytes(key) for key in order.keys]
    condition, arguments = _within(reading, order, keys)
    by = order.by(keys)
    by.append(f"(CASE WHEN {order.has_null} THEN {_digest(fields)} END)")
    sql = f"SELECT {selected} FROM {_rows_of(reading.query)} {condition} ORDER BY {', '.join(by)}"  # noqa: S608 - looked at
    return Statement(sql, arguments)


def _within(reading: Reading, order: RowOrder, keys: Sequence[str]) -> tuple[str, Sequence[str | Sequence[str]]]:
    if reading.only is not None:
        return _among(reading.only, order)
    return within_bounds(reading, order, keys, [_bytes("?") for _ in keys], by_prefixes)


def _rows_of(query: str) -> str:
    return f"(\n{one_select(query)}\n) AS {_ROWS}"


def _aliased(letter: str, expressions: Iterable[str]) -> list[str]:
    return [f"{expression} AS tailrace_{letter}{at}" for at, expression in enumerate(expressions)]


def _order_of(reading: Reading, fields: Sequence[Field]) -> RowOrder:
    by_name = {field.name: field for field in fields}
    return RowOrder.of(
        reading,
        text=lambda name: _text(by_name[name]),
        quoted=_name,
        digest=lambda: _digest(fields),
        cursor=lambda name: (_value(by_name[name]), _place(by_name[name])),
    )


def _value(field: Field) -> str:
    """A value as it is ordered: NaN, which BigQuery has before all numbers, as what has no place."""
    name = _name(field.name)
    return f"IF(IS_NAN({name}), NULL, {name})" if field.type_name == "FLOAT64" else name


def _place(field: Field) -> str:
    """An argument as a value of a cursor column."""
    if field.type_name == "DATE":
        # A value is written with its time of day, which a text of a date has not.
        return "CAST(CAST(? AS DATETIME) AS DATE)"
    if field.type_name == "TIMESTAMP":
        # A text without a zone is else one of the project's `default_time_zone`.
        return "TIMESTAMP(?, 'UTC')"
    return f"CAST(? AS {field.type_name})"


def _among(keys: Sequence[RowKey], order: RowOrder) -> tuple[str, Sequence[Sequence[str]]]:
    """Rows with some keys, by one argument: a query has 10,000 at most."""
    if not keys:
        return "WHERE FALSE", []
    written = [",".join(part.encode().hex() for part in key) for key in keys]
    here = f"ARRAY_TO_STRING([{', '.join(f'TO_HEX({_bytes(key)})' for key in order.keys)}], ',')"
    return f"WHERE {here} IN UNNEST(?) AND NOT ({order.key_has_null})", [written]


def _projection(field: Field) -> str:
    return _name(field.name) if field.type_name in _AS_THEY_ARE else _text(field)


def _text(field: Field) -> str:
    return _TEXTS.get(field.type_name, "CAST({} AS STRING)").format(_name(field.name))


def _digest(fields: Sequence[Field]) -> str:
    """Of all of a row; NULL differs from every value, and no collation has a say."""
    texts = ", ".join(f"IFNULL(TO_HEX({_bytes(_text(field))}), '-')" for field in fields)
    return f"TO_HEX(SHA256(ARRAY_TO_STRING([{texts}], ',')))"


def _bytes(text: str) -> str:
    # Bytes have no collation: they compare as the code points that they stand for.
    return f"CAST({text} AS BYTES)"


def _name(name: str) -> str:
    return f"{_ROWS}.`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"

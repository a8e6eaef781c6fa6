"""SQL for Snowflake as a warehouse: a query wrapped so that its rows come in the order of their keys, as exact text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.connector_kit.key_samples import MOST_KEYS
from tailrace.connector_kit.row_order import RowOrder, by_prefixes, within_bounds
from tailrace.connector_kit.select_text import require_beginning, tokens_of, without_semicolon
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import ColumnKind

_ROWS = "tailrace_rows"
# Of so many equal parts a row is drawn into one: what is random there is a whole number of 64 bits.
_GRAINS = 1_000_000_000
_TRIMMED = "REGEXP_REPLACE({}, '[.]?0+$', '')"
_MOMENT = _TRIMMED.format("TO_VARCHAR({}::TIMESTAMP_NTZ, 'YYYY-MM-DD\"T\"HH24:MI:SS.FF9')")
_TIME = _TRIMMED.format("TO_VARCHAR(TIMESTAMP_NTZ_FROM_PARTS('1970-01-01'::DATE, {}), 'HH24:MI:SS.FF9')")
_KINDS: Mapping[str, ColumnKind] = {
    "REAL": ColumnKind.FLOAT,
    "DECFLOAT": ColumnKind.DECIMAL,
    "BOOLEAN": ColumnKind.BOOLEAN,
    **dict.fromkeys(("DATE", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ", "TIMESTAMP"), ColumnKind.TIMESTAMP),
    **dict.fromkeys(("VARIANT", "OBJECT", "ARRAY", "MAP", "VECTOR"), ColumnKind.JSON),
}
_TEXTS: Mapping[str, str] = {
    "TEXT": "{}",
    "DATE": "TO_VARCHAR({}, 'YYYY-MM-DD')",
    "TIME": _TIME,
    **dict.fromkeys(("TIMESTAMP_NTZ", "TIMESTAMP"), _MOMENT),
    **dict.fromkeys(("TIMESTAMP_LTZ", "TIMESTAMP_TZ"), _MOMENT.format("CONVERT_TIMEZONE('UTC', {})") + " || 'Z'"),
    "BINARY": "LOWER(HEX_ENCODE({}))",
    **dict.fromkeys(("VARIANT", "OBJECT", "ARRAY", "MAP"), "TO_JSON({})"),
    "VECTOR": "TO_JSON({}::ARRAY)",
    **dict.fromkeys(("GEOGRAPHY", "GEOMETRY"), "ST_ASWKT({})"),
}
_AS_THEY_ARE = frozenset({"REAL", "BOOLEAN"})
_TOKEN = re.compile(
    r"""
      '(?:[^'\\]|\\.|'')*'
    | "(?:[^"]|"")*"
    | \$\$.*?\$\$
    | (?P<blank>\s+|--[^\n]*|//[^\n]*|/\*.*?\*/)
    | (?P<chain>->>)
    | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BEGINNINGS = frozenset({"select", "with"})
_HARMLESS = frozenset({"SYSTEM$TYPEOF"})


@dataclass(frozen=True, slots=True)
class Field:
    """A column as the server describes it; `scale` are the digits behind the point of a FIXED."""

    name: str
    type_name: str
    scale: int

    @property
    def kind(self) -> ColumnKind:
        """How its values arrive."""
        if self.type_name == "FIXED":
            return ColumnKind.DECIMAL if self.scale else ColumnKind.INTEGER
        return _KINDS.get(self.type_name, ColumnKind.TEXT)


def one_select(query: str) -> str:
    """The query without a semicolon at its end. Snowflake knows no transactions that only read, so this looks first.

    :raises SourceInvalid: `SOURCE_QUERY`, it is no single SELECT, wants arguments, or calls on the system.
    """
    tokens = tokens_of(query, _TOKEN)
    require_beginning(tokens, _BEGINNINGS)
    select = without_semicolon(query, tokens)
    if any(token["chain"] for token in tokens):
        raise SourceInvalid("the query must be one SELECT: another statement follows it", code="SOURCE_QUERY")
    if any(token["sign"] == "?" for token in tokens):
        raise SourceInvalid("the query has parameters (?): write values into it", code="SOURCE_QUERY")
    words = {(token["word"] or "").upper() for token in tokens}
    called = sorted(word for word in words - _HARMLESS if word.startswith("SYSTEM$"))
    if called:
        raise SourceInvalid(f"the query calls {', '.join(called)}, which may change things", code="SOURCE_QUERY")
    return select


def describing(query: str) -> str:
    """A statement that has the columns of the query, as a part of it: what changes something is no part of another."""
    return f"SELECT * FROM {_rows_of(query)}"  # noqa: S608 - looked at, and described alone before


def counting_sql(query: str) -> str:
    """A statement that counts the rows of the query."""
    return f"SELECT COUNT(*) FROM {_rows_of(query)}"  # noqa: S608 - looked at


def sampling_sql(reading: Reading, fields: Sequence[Field], part: float) -> str:
    """A statement that gives the texts of some keys, drawn at random; none with a NULL."""
    order = _order_of(reading, fields)
    drawn = f"ABS(MOD(RANDOM(), {_GRAINS})) < {round(part * _GRAINS)} AND NOT ({order.has_null})"
    chosen = f"WHERE {drawn} ORDER BY RANDOM() LIMIT {MOST_KEYS}"
    return f"SELECT {', '.join(order.keys)} FROM {_rows_of(reading.query)} {chosen}"  # noqa: S608 - looked at


def reading_sql(reading: Reading, fields: Sequence[Field]) -> tuple[str, Sequence[str]]:
    """The statement and its arguments; it gives the columns of the query, then the texts of the key."""
    order = _order_of(reading, fields)
    selected = ", ".join([*map(_projection, fields), *order.keys])
    keys = [_bytes(key) for key in order.keys]
    condition, arguments = within_bounds(reading, order, keys, [_bytes("?") for _ in keys], by_prefixes)
    by = order.by(keys)
    by.append(f"(CASE WHEN {order.has_null} THEN {_digest(fields)} END)")
    sql = f"SELECT {selected} FROM {_rows_of(reading.query)} {condition} ORDER BY {', '.join(by)}"  # noqa: S608 - looked at
    return sql, arguments


def _rows_of(query: str) -> str:
    return f"(\n{one_select(query)}\n) AS {_ROWS}"


def _order_of(reading: Reading, fields: Sequence[Field]) -> RowOrder:
    by_name = {field.name: field for field in fields}
    return RowOrder.of(
        reading,
        text=lambda name: _text(by_name[name]),
        quoted=_name,
        digest=lambda: _digest(fields),
        cursor=lambda name: (_name(name), _place(by_name[name])),
    )


def _place(field: Field) -> str:
    """An argument as a value of a cursor column: compared as what they are, digit by digit."""
    match field.type_name:
        case "FIXED":
            return f"CAST(? AS NUMBER(38, {field.scale}))"
        case "REAL":
            return "CAST(? AS FLOAT)"
        case "DATE":
            # A value is written with its time of day, which a text of a date has not.
            return "CAST(CAST(? AS TIMESTAMP_NTZ) AS DATE)"
        case _:
            return f"CAST(? AS {field.type_name})"


def _projection(field: Field) -> str:
    is_whole_number = field.type_name == "FIXED" and not field.scale
    return _name(field.name) if is_whole_number or field.type_name in _AS_THEY_ARE else _text(field)


def _text(field: Field) -> str:
    return _TEXTS.get(field.type_name, "TO_VARCHAR({})").format(_name(field.name))


def _digest(fields: Sequence[Field]) -> str:
    """Of all of a row; NULL differs from every value."""
    return f"SHA2(TO_JSON(ARRAY_CONSTRUCT({', '.join(map(_text, fields))})), 256)"


def _bytes(text: str) -> str:
    # Bytes have no collation: they compare as the code points that they stand for.
    return f"TO_BINARY({text}, 'UTF-8')"


def _name(name: str) -> str:
    # With where it comes from: a key column is selected twice, so its name alone would mean two things in ORDER BY.
    return f'{_ROWS}."' + name.replace('"', '""') + '"'

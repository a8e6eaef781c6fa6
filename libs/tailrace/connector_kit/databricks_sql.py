"""SQL for Databricks as a warehouse: a query wrapped so that its rows come in the order of their keys, as exact text.

Functions and types by https://docs.databricks.com/aws/en/sql/language-manual/. Values for comparing are named
parameters, all of type STRING.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from tailrace.connector_kit.key_samples import MOST_KEYS
from tailrace.connector_kit.row_order import RowOrder, by_prefixes, within_bounds
from tailrace.connector_kit.select_text import require_beginning, tokens_of, without_semicolon
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import ColumnKind, RowKey

Parameters = Mapping[str, str]
"""Values by the names of their markers."""

_ROWS = "tailrace_rows"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Neither the time zone of the session nor its ANSI mode has a say in any of these.
_MICROS = "unix_micros({})"
_MOMENT = "replace(CAST({} AS STRING), ' ', 'T')"
_SINCE_EPOCH = f"make_dt_interval(0, 0, 0, CAST(CAST({_MICROS} AS DECIMAL(24, 0)) / 1000000 AS DECIMAL(18, 6)))"
_UTC = "concat(" + _MOMENT.format(f"TIMESTAMP_NTZ '1970-01-01 00:00:00' + {_SINCE_EPOCH}") + ", 'Z')"
_JSON = (
    "to_json({}, map('timeZone', 'UTC', 'ignoreNullFields', 'false', "
    "'timestampFormat', 'yyyy-MM-dd\\'T\\'HH:mm:ss.SSSSSSXXX', "
    "'timestampNTZFormat', 'yyyy-MM-dd\\'T\\'HH:mm:ss.SSSSSS'))"
)
_MOMENTS = ("timestamp", "timestamp_ltz")
_KINDS: Mapping[str, ColumnKind] = {
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint"), ColumnKind.INTEGER),
    **dict.fromkeys(("float", "double"), ColumnKind.FLOAT),
    **dict.fromkeys(("date", "timestamp", "timestamp_ltz", "timestamp_ntz"), ColumnKind.TIMESTAMP),
    **dict.fromkeys(("array", "map", "struct", "variant"), ColumnKind.JSON),
    "decimal": ColumnKind.DECIMAL,
    "boolean": ColumnKind.BOOLEAN,
}
_TEXTS: Mapping[str, str] = {
    **dict.fromkeys(_MOMENTS, _UTC),
    "timestamp_ntz": _MOMENT,
    "binary": "lower(hex({}))",
    **dict.fromkeys(("array", "map", "struct"), _JSON),
    "variant": "to_json({})",
    **dict.fromkeys(("geography", "geometry"), "st_astext({})"),
}
_TOKEN = re.compile(
    r"""
      [rR]'[^']*' | [rR]"[^"]*"
    | '(?:[^'\\]|\\.)*'
    | "(?:[^"\\]|\\.)*"
    | `(?P<quoted>(?:[^`]|``)*)`
    | (?P<blank>\s+|--(?:\\\n|[^\r\n])*|/\*(?:(?!/\*|\*/).)*\*/)
    | (?P<open>/\*)
    | (?P<word>[^\W\d]\w*)
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BEGINNINGS = frozenset({"select", "with"})
_REACHING_OUT = frozenset({"http_request"})


@dataclass(frozen=True, slots=True)
class Field:
    """A column as the server describes it, such as `decimal(10,2)`."""

    name: str
    type_text: str

    @property
    def type_name(self) -> str:
        """The type without what stands in brackets or behind it: `array`, `interval`."""
        return re.split(r"[(<\s]", self.type_text.lower(), maxsplit=1)[0]

    @property
    def kind(self) -> ColumnKind:
        """How its values arrive."""
        return _KINDS.get(self.type_name, ColumnKind.TEXT)


def one_select(query: str) -> str:
    """The query without a semicolon at its end.

    That it is one query and nothing else, the server says: `describing` is no statement where it is not.

    :raises SourceInvalid: `SOURCE_QUERY`, it is no single SELECT, or calls what sends requests.
    """
    tokens = tokens_of(query, _TOKEN)
    require_beginning(tokens, _BEGINNINGS)
    if any(token["open"] for token in tokens):
        raise SourceInvalid("a comment of the query does not end, or has another in it", code="SOURCE_QUERY")
    select = without_semicolon(query, tokens)
    named = {(token["word"] or token["quoted"] or "").lower() for token in tokens}
    if called := sorted(named & _REACHING_OUT):
        raise SourceInvalid(f"the query calls {', '.join(called)}, which may change things", code="SOURCE_QUERY")
    return select


def describing(query: str) -> str:
    """A statement that tells the columns of the query alone, without running it."""
    return f"DESCRIBE QUERY {one_select(query)}"


def describing_part(query: str) -> str:
    """The same, where the query is a part of another."""
    return f"DESCRIBE QUERY SELECT * FROM {_rows_of(query)}"  # noqa: S608 - described alone before


def counting_sql(query: str) -> str:
    """A statement that counts the rows of the query."""
    return f"SELECT CAST(COUNT(*) AS STRING) AS n FROM {_rows_of(query)}"  # noqa: S608 - described alone before


def sampling_sql(reading: Reading, fields: Sequence[Field], part: float) -> str:
    """A statement that gives the texts of some keys, drawn at random; none with a NULL."""
    order = _order_of(reading, fields)
    chosen = f"WHERE rand() < {part:.9f} AND NOT ({order.has_null}) ORDER BY rand() LIMIT {MOST_KEYS}"
    return f"SELECT {_selected([], order.keys)} FROM {_rows_of(reading.query)} {chosen}"  # noqa: S608 - the same


def reading_sql(reading: Reading, fields: Sequence[Field]) -> tuple[str, Parameters]:
    """The statement and its parameters; it gives texts of the columns of the query, then of the key."""
    order = _order_of(reading, fields)
    keys = [_bytes(key) for key in order.keys]
    condition, parameters = _bounds(reading, fields, order, keys)
    by = order.by(keys)
    by.append(f"(CASE WHEN {order.has_null} THEN {_digest(fields)} END)")
    selected = _selected(map(_text, fields), order.keys)
    return f"SELECT {selected} FROM {_rows_of(reading.query)} {condition} ORDER BY {', '.join(by)}", parameters  # noqa: S608 - the same


def _rows_of(query: str) -> str:
    return f"(\n{one_select(query)}\n) AS {_ROWS}"


def _selected(values: Iterable[str], keys: Sequence[str]) -> str:
    named = [*(f"{value} AS c{at}" for at, value in enumerate(values))]
    return ", ".join([*named, *(f"{key} AS k{at}" for at, key in enumerate(keys))])


def _order_of(reading: Reading, fields: Sequence[Field]) -> RowOrder:
    by_name = {field.name: field for field in fields}
    return RowOrder.of(
        reading,
        text=lambda name: _text(by_name[name]),
        quoted=_name,
        digest=lambda: _digest(fields),
        cursor=lambda name: _compared(by_name[name]),
    )


def _compared(field: Field) -> tuple[str, str]:
    """A cursor column, and the place of a value of it."""
    if field.type_name in _MOMENTS:
        return _MICROS.format(_name(field.name)), "CAST(:since AS BIGINT)"
    return _name(field.name), f"CAST(:since AS {field.type_text})"


def _bounds(reading: Reading, fields: Sequence[Field], order: RowOrder, keys: Sequence[str]) -> tuple[str, Parameters]:
    if reading.only is not None:
        return _among(reading.only, keys)
    given = [_bytes(f":bound_{at}") for at in range(len(keys))]
    condition, _ = within_bounds(reading, order, keys, given, _by_named_prefixes)
    parameters = {f"after_{at}": part for at, part in enumerate(reading.after or ())}
    parameters |= {f"until_{at}": part for at, part in enumerate(reading.until or ())}
    if reading.cursor is not None and reading.cursor.since is not None:
        field = next(each for each in fields if each.name == reading.cursor.column)
        parameters["since"] = _since(field, reading.cursor.since)
    return condition, parameters


def _among(wanted: Sequence[RowKey], keys: Sequence[str]) -> tuple[str, Parameters]:
    """All keys are one parameter, so that their number has no limit of its own."""
    if not wanted:
        return "WHERE FALSE", {}
    parts = ", ".join(_bytes(f"wanted[{at}]") for at in range(len(keys)))
    listed = "SELECT explode(from_json(:only, 'ARRAY<ARRAY<STRING>>')) AS wanted"
    condition = f"WHERE ({', '.join(keys)}) IN (SELECT {parts} FROM ({listed}))"  # noqa: S608 - names of our own
    return condition, {"only": orjson.dumps(wanted).decode()}


def _by_named_prefixes(
    here: Sequence[str], given: Sequence[str], _: Sequence[str], last_sign: str
) -> tuple[str, Sequence[str]]:
    """The same for places that have names, those of the key by which a reading begins or ends."""
    side = ":until_" if last_sign == "<=" else ":after_"
    return by_prefixes(here, [each.replace(":bound_", side) for each in given], (), last_sign)


def _since(field: Field, value: str) -> str:
    match field.type_name:
        case name if name in _MOMENTS:
            moment = datetime.fromisoformat(value)
            return str((moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH) // timedelta(microseconds=1))
        case "timestamp_ntz":
            return value.removesuffix("Z")
        case "date":
            return value.partition("T")[0]
        case _:
            return value


def _text(field: Field) -> str:
    return _TEXTS.get(field.type_name, "CAST({} AS STRING)").format(_name(field.name))


def _digest(fields: Sequence[Field]) -> str:
    """Of all of a row; NULL differs from every value."""
    # A cast to STRING keeps the collation of a column, and an array of texts refuses to hold two of them.
    texts = (f"hex({_bytes(_text(field))})" for field in fields)
    return f"sha2(to_json(array({', '.join(texts)})), 256)"


def _bytes(text: str) -> str:
    # Bytes have no collation: they compare as the code points that they stand for.
    return f"encode({text}, 'UTF-8')"


def _name(name: str) -> str:
    return f"{_ROWS}.`" + name.replace("`", "``") + "`"

"""The statement that reads a query of DuckDB in the order of a key, or of a cursor and then of a key."""

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.connector_kit.warehouse import Reading

ROWS = "tailrace_rows"
"""The view that stands for the user's query."""


@dataclass(frozen=True, slots=True)
class ReadColumn:
    """A column of the query: its type in SQL, and how it is selected."""

    name: str
    type_name: str
    projection: str


def statement(reading: Reading, columns: Sequence[ReadColumn]) -> tuple[str, Sequence[object]]:
    """The SQL and its arguments; it gives the columns of the query, then the texts of the key."""
    order = _Order.of(reading, columns)
    selected = ", ".join([column.projection for column in columns] + order.keys)
    condition, arguments = _condition(reading, order)
    by = [_last(order.has_null), *order.keys]
    if order.cursor is not None:
        # Rows whose key has a NULL come last of those that have no place.
        by[1:1] = [f"(CASE WHEN {order.has_null} THEN NULL ELSE {order.cursor} END)", _last(order.key_has_null)]
    by.append(f"(CASE WHEN {order.has_null} THEN {ROWS}::VARCHAR END) COLLATE C")
    return f"SELECT {selected} FROM {ROWS} {condition} ORDER BY {', '.join(by)}", arguments  # noqa: S608 - quoted names


def quote_name(name: str) -> str:
    """A name as an identifier of DuckDB."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class _Order:
    """By what rows are ordered: the texts of their key, before them the value of a cursor; and which have no place."""

    keys: list[str]
    key_has_null: str
    cursor: str | None
    since: str

    @property
    def has_null(self) -> str:
        return self.key_has_null if self.cursor is None else f"{self.key_has_null} OR {self.cursor} IS NULL"

    @classmethod
    def of(cls, reading: Reading, columns: Sequence[ReadColumn]) -> "_Order":
        names = [quote_name(name) for name in reading.key_columns]
        keys = [f"{name}::VARCHAR COLLATE C" for name in names] or [f"md5({ROWS}::VARCHAR) COLLATE C"]
        has_null = " OR ".join(f"{name} IS NULL" for name in names) or "false"
        if reading.cursor is None:
            return cls(keys, has_null, None, "")
        [type_name] = [column.type_name for column in columns if column.name == reading.cursor.column]
        # A value is written with its time of day, which a text of a date has not.
        through = "VARCHAR::TIMESTAMP" if type_name == "DATE" else "VARCHAR"
        return cls(keys, has_null, quote_name(reading.cursor.column), f"?::{through}::{type_name}")


def _last(condition: str) -> str:
    """To order by: what meets the condition comes last. A bare condition that is constant would be no order to it."""
    return f"(CASE WHEN {condition} THEN 1 ELSE 0 END)"


def _condition(reading: Reading, order: _Order) -> tuple[str, Sequence[object]]:
    here = list(order.keys)
    if reading.only is not None:
        wanted = ", ".join("unnest(?::VARCHAR[])" for _ in here)
        columns = [[key[part] for key in reading.only] for part in range(len(here))]
        return f"WHERE NOT ({order.has_null}) AND ({', '.join(here)}) IN (SELECT {wanted})", columns
    since = None if reading.cursor is None else reading.cursor.since
    bounds: list[str] = []
    arguments: list[object] = []
    if since is not None:
        arguments.append(since)
        bounds.append(f"{order.cursor} >= {order.since}")
    if reading.after is not None:
        given = ["?::VARCHAR" for _ in here]
        if since is not None:
            arguments.append(since)
            here, given = [str(order.cursor), *here], [order.since, *given]
        arguments += reading.after
        bounds.append(f"({', '.join(here)}) {'>' if reading.key_columns else '>='} ({', '.join(given)})")
    return (f"WHERE ({' AND '.join(bounds)}) OR {order.has_null}" if bounds else ""), arguments

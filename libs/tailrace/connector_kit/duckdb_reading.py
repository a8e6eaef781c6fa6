"""The statement that reads a query of DuckDB in the order of a key, or of a cursor and then of a key."""

from collections.abc import Sequence

from tailrace.connector_kit.duckdb_values import ReadColumn, quote_name
from tailrace.connector_kit.key_samples import MOST_KEYS
from tailrace.connector_kit.row_order import RowOrder, within_bounds
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import ColumnKind

ROWS = "tailrace_rows"
"""The view that stands for the user's query."""

COUNT_ROWS = f"SELECT count(*) FROM {ROWS}"  # noqa: S608 - a constant


def statement(reading: Reading, columns: Sequence[ReadColumn]) -> tuple[str, Sequence[object]]:
    """The SQL and its arguments; it gives the columns of the query, then the texts of the key."""
    order = _order_of(reading, columns)
    return _ordered(", ".join([*(column.projection for column in columns), *order.keys]), reading, order)


def line_statement(reading: Reading, columns: Sequence[ReadColumn]) -> tuple[str, Sequence[object]]:
    """The same for a plain reading, all of a row in one text, as `copy_text` reads it; behind that, floating points.

    To write such a number, and to read it again, is more than to give it as it is.
    """
    order = _order_of(reading, columns)
    by_name = {column.name: column for column in columns}
    numbers = [column.projection for column in columns if column.kind is ColumnKind.FLOAT]
    cells = [column.cell for column in columns if column.kind is not ColumnKind.FLOAT]
    cells += [by_name[name].key_cell(text) for name, text in zip(reading.key_columns, order.keys, strict=True)]
    return _ordered(", ".join([f"concat_ws(chr(9), {', '.join(cells)})", *numbers]), reading, order)


def sampled_statement(reading: Reading, columns: Sequence[ReadColumn], part: float) -> str:
    """The SQL that gives the texts of some keys, drawn at random; none with a NULL."""
    order = _order_of(reading, columns)
    drawn = f"random() < {part:.12f} AND NOT ({order.has_null})"
    return f"SELECT {', '.join(order.keys)} FROM {ROWS} WHERE {drawn} ORDER BY random() LIMIT {MOST_KEYS}"  # noqa: S608 - quoted names


def _ordered(selected: str, reading: Reading, order: RowOrder) -> tuple[str, Sequence[object]]:
    condition, arguments = _condition(reading, order)
    by = order.by(order.keys)
    by.append(f"(CASE WHEN {order.has_null} THEN {ROWS}::VARCHAR END) COLLATE C")
    return f"SELECT {selected} FROM {ROWS} {condition} ORDER BY {', '.join(by)}", arguments  # noqa: S608 - quoted names


def _order_of(reading: Reading, columns: Sequence[ReadColumn]) -> RowOrder:
    types = {column.name: column.type_name for column in columns}
    return RowOrder.of(
        reading,
        text=lambda name: f"{quote_name(name)}::VARCHAR COLLATE C",
        quoted=quote_name,
        digest=lambda: f"md5({ROWS}::VARCHAR) COLLATE C",
        cursor=lambda name: (quote_name(name), _place(types[name])),
    )


def _place(type_name: str) -> str:
    """An argument as a value of a cursor column."""
    # A value is written with its time of day, which a text of a date has not.
    through = "VARCHAR::TIMESTAMP" if type_name == "DATE" else "VARCHAR"
    return f"?::{through}::{type_name}"


def _condition(reading: Reading, order: RowOrder) -> tuple[str, Sequence[object]]:
    here = order.keys
    if reading.only is not None:
        wanted = ", ".join("unnest(?::VARCHAR[])" for _ in here)
        columns = [[key[part] for key in reading.only] for part in range(len(here))]
        return f"WHERE NOT ({order.has_null}) AND ({', '.join(here)}) IN (SELECT {wanted})", columns
    return within_bounds(reading, order, here, ["?::VARCHAR" for _ in here])

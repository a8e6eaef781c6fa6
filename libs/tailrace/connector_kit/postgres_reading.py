"""The statement that reads a query of PostgreSQL in the order of a key, or of a cursor and then of a key."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tailrace.connector_kit.blocks import placed
from tailrace.connector_kit.key_samples import MOST_KEYS
from tailrace.connector_kit.row_order import RowOrder, within_bounds
from tailrace.connector_kit.sql import by_code_point, one_statement, quote_name
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import Block, RowKey

ROWS = '"tailrace_rows"'
"""The name of the user's query in the statement around it."""

_PLACE = "\0"
"""Stands for an argument until all of them are numbered; no name in PostgreSQL has it."""

SCALARS = frozenset(
    f'"pg_catalog"."{name}"'
    for name in (
        "int2",
        "int4",
        "int8",
        "numeric",
        "text",
        "varchar",
        "bpchar",
        "uuid",
        "date",
        "timestamp",
        "timestamptz",
    )
)
"""Types of which a text that a value was written as gives an equal value; none of them is composite."""


@dataclass(frozen=True, slots=True)
class ReadColumn:
    """A column of the query: how it is selected, and the quoted name of its type."""

    name: str
    projection: str
    type_name: str


def copied_statement(reading: Reading, columns: Sequence[ReadColumn], encoding: str, *, is_ordered: bool = True) -> str:
    """The SQL for a COPY, which takes no arguments; the column that is the key comes last, and once."""
    sql, order, _ = _pieces(reading, columns, encoding, _literal, key_among(reading, columns))
    return f"{sql} {order}" if is_ordered else sql


def key_among(reading: Reading, columns: Sequence[ReadColumn]) -> int | None:
    """The place of the column that is the key, if a COPY writes both as the same text; a line has another cell too."""
    places = [at for at, column in enumerate(columns) if [column.name] == [*reading.key_columns]]
    is_shared = len(places) == 1 and len(columns) > 1 and columns[places[0]].type_name in SCALARS
    return places[0] if is_shared else None


def statement(
    reading: Reading,
    columns: Sequence[ReadColumn],
    encoding: str,
    *,
    were_seen: bool = False,
) -> tuple[str, Sequence[object]]:
    """The SQL and its arguments; it gives the columns of the query, then the texts of the key.

    Keys that `were_seen` are texts of values of their columns: an index on these can find them.
    """
    sql, order, arguments = _pieces(reading, columns, encoding, lambda number, _: f"${number}")
    if were_seen:
        sql += "".join(_searches(reading, columns))
    return f"{sql} {order}", arguments


def _pieces(
    reading: Reading,
    columns: Sequence[ReadColumn],
    encoding: str,
    place: Callable[[int, str], str],
    key_at: int | None = None,
) -> tuple[str, str, Sequence[object]]:
    """What is selected, in what order, and the arguments; the column at `key_at` stands for its key too.

    `place` gives what stands in it for an argument, by its number and its text.
    """
    order = _order_of(reading, columns)
    selected = [column.projection for column in columns]
    selected += order.keys if key_at is None else [selected.pop(key_at)]
    by = [by_code_point(text, encoding=encoding) for text in order.keys]
    if order.cursor is not None:
        # Rows whose key has a NULL come last of those that have no place.
        last = [order.key_has_null] if reading.key_columns else []
        by = [f"CASE WHEN {order.has_null} THEN NULL ELSE {order.cursor} END", *last, *by]
    elif len(order.keys) > 1:
        # NULL in any part puts the row last; as one expression, the sort can still abbreviate it.
        first = f"(CASE WHEN {order.has_null} THEN NULL ELSE {order.keys[0]} END)"
        selected[len(columns)], by[0] = first, by_code_point(first, encoding=encoding)
    condition, arguments = _condition(reading, order, encoding, place)
    sql = f"{wrapped(', '.join(selected), reading.query)} {condition}"
    at_last = f"(CASE WHEN {order.has_null} THEN ({ROWS}.*)::text END)"
    return sql, f'ORDER BY {", ".join(by)}, {at_last} COLLATE "C"', arguments


def sampled_statement(reading: Reading, columns: Sequence[ReadColumn], part: float) -> str:
    """The SQL that gives the texts of some keys, drawn at random; none with a NULL."""
    order = _order_of(reading, columns)
    drawn = f"random() < {part:.12f} AND NOT ({order.has_null})"
    return f"{wrapped(', '.join(order.keys), reading.query)} WHERE {drawn} ORDER BY random() LIMIT {MOST_KEYS}"


async def blocks_of(read: AsyncIterator[Sequence[Any]], width: int) -> AsyncIterator[Block]:
    """Records of columns, then keys, as blocks; so many are columns."""
    async for records in read:
        yield Block([record[:width] for record in records], placed([record[width:] for record in records]))


def wrapped(projections: str, query: str) -> str:
    """A statement that selects from the query."""
    return f"SELECT {projections} FROM (\n{one_statement(query)}\n) AS {ROWS}"  # noqa: S608 - read-only by transaction


def _order_of(reading: Reading, columns: Sequence[ReadColumn]) -> RowOrder:
    keys = [f"{ROWS}.{quote_name(name)}" for name in reading.key_columns]
    texts = [f'({key})::text COLLATE "C"' for key in keys] or [f'md5(({ROWS}.*)::text) COLLATE "C"']
    types = {column.name: column.type_name for column in columns}
    key_has_null = _any_is_null(keys, [types.get(name) for name in reading.key_columns])
    if reading.cursor is None:
        return RowOrder(texts, key_has_null, None, "")
    type_name = types[reading.cursor.column]
    cursor = f"{ROWS}.{quote_name(reading.cursor.column)}"
    return RowOrder(texts, key_has_null, cursor, f"{_PLACE}::text::{type_name}")


def _any_is_null(keys: Sequence[str], types: Sequence[str | None]) -> str:
    """The condition for rows with a NULL in their key: for most types one that an index answers.

    A composite value `IS NULL` where all that it holds is.
    """
    found = [f"{key} IS NULL" for key, name in zip(keys, types, strict=True) if name in SCALARS]
    others = [key for key, name in zip(keys, types, strict=True) if name not in SCALARS]
    return " OR ".join([*found, *([f"num_nulls({', '.join(others)}) > 0"] if others else ())]) or "false"


def _literal(_: int, text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _condition(
    reading: Reading, order: RowOrder, encoding: str, place: Callable[[int, str], str]
) -> tuple[str, Sequence[object]]:
    if reading.only is not None:
        return _only(reading.only, order.keys)
    here = [by_code_point(text, encoding=encoding) for text in order.keys]
    given = [by_code_point(f"{_PLACE}::text", encoding=encoding) for _ in here]
    condition, arguments = within_bounds(reading, order, here, given)
    first, *rest = condition.split(_PLACE)
    places = map(place, range(1, len(arguments) + 1), arguments)
    return first + "".join(map("".join, zip(places, rest, strict=True))), arguments


def _searches(reading: Reading, columns: Sequence[ReadColumn]) -> Iterator[str]:
    """What the values of keys are equal to besides, whose texts are equal to the arguments."""
    types = {column.name: column.type_name for column in columns}
    for number, name in enumerate(reading.key_columns, 1):
        if types[name] in SCALARS:
            yield f" AND {ROWS}.{quote_name(name)} = ANY (${number}::text[]::{types[name]}[])"


def _only(keys: Sequence[RowKey], texts: Sequence[str]) -> tuple[str, Sequence[object]]:
    columns = [[key[part] for key in keys] for part in range(len(texts))]
    wanted = ", ".join(f"${number}::text[]" for number in range(1, len(texts) + 1))
    return f"WHERE ({', '.join(texts)}) IN (SELECT * FROM unnest({wanted}))", columns  # noqa: S608 - quoted names

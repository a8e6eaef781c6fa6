"""The first rows of a query, as a person looks at them."""

from collections.abc import Sequence
from decimal import Decimal
from math import isfinite
from typing import Any

import orjson

from tailrace.connector_kit.sql import one_statement
from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import Column, ColumnKind

_TOO_LARGE = 2**63


async def read_first(warehouse: Warehouse, query: str, *, limit: int, limit_bytes: int) -> list[dict[str, Any]]:
    """So many rows of the query, by the names of its columns; in no order that means anything.

    :raises SourceInvalid: the warehouse refuses the query, or the rows are more bytes than may be looked at.
    """
    columns = await warehouse.columns(query)
    if limit == 0 or not columns:
        return []
    few = f"SELECT * FROM (\n{one_statement(query)}\n) AS first_rows LIMIT {limit}"  # noqa: S608 - the user's query
    rows: list[dict[str, Any]] = []
    async with warehouse.read(Reading(few, (columns[0].name,), rows_per_block=limit)) as blocks:
        async for block in blocks:
            rows += [_named(columns, row) for row in block.rows]
    if len(orjson.dumps(rows, default=str)) > limit_bytes:
        raise SourceInvalid(f"the rows have more than {limit_bytes} bytes: lower the limit", code="PREVIEW_TOO_LARGE")
    return rows


def _named(columns: Sequence[Column], row: tuple[object, ...]) -> dict[str, Any]:
    return {column.name: _shown(column.kind, value) for column, value in zip(columns, row, strict=False)}


def _shown(kind: ColumnKind, value: object) -> object:
    """As JSON can hold it, what is no number to it as PostgreSQL writes it; JSON arrives as text."""
    match value:
        case str() if kind is ColumnKind.JSON:
            return _read(value)
        case int() if abs(value) >= _TOO_LARGE:
            return str(value)
        case float() if not isfinite(value):
            return str(Decimal(value))
        case None | str() | int() | float():
            return value
        case _:
            return str(value)


def _read(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text

"""Databricks as a warehouse: one statement a reading, by the Statement Execution API, whose rows come in pieces.

Numbers keep every digit, times are ISO 8601 (UTC where the type has a zone, whatever the time zone of the session),
binary values are hexadecimal; arrays, maps, structs and variants are JSON. Keys compare as bytes of UTF-8, whatever
collations their columns have.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from pydantic import BaseModel

from tailrace.connector_kit.blocks import fetched_blocks
from tailrace.connector_kit.databricks_calls import calls_of
from tailrace.connector_kit.databricks_settings import DatabricksSettings
from tailrace.connector_kit.databricks_sql import (
    Field,
    counting_sql,
    describing,
    describing_part,
    reading_sql,
    sampling_sql,
)
from tailrace.connector_kit.databricks_statements import Statement, Statements
from tailrace.connector_kit.databricks_values import reader_of
from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.promised_columns import PromisedColumns, refuse_twins
from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.connector_kit.way_out import way_out
from tailrace.core.clock import SystemClock
from tailrace.core.rows import Block, Column, RowKey


class DatabricksWarehouse(Warehouse):
    """A SQL warehouse; no call depends on another, so there is no session."""

    name = "databricks"
    label = "Databricks"
    level, verified_against = Level.BRONZE, "a stand-in of its API over DuckDB; not verified against Databricks itself"
    settings_type = DatabricksSettings
    has_cursors = True
    reads_up_to_a_key = True

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._promised = PromisedColumns()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel) -> AsyncIterator[Self]:
        """Nothing is sent yet: whether it answers and lets in shows at the first statement."""
        if not isinstance(settings, DatabricksSettings):
            raise TypeError(f"{cls.__name__} opens with {DatabricksSettings.__name__}")
        yield cls(Statements(calls_of(settings, way_out(), SystemClock()), settings))

    async def check(self) -> None:
        await self._statements.all(Statement("SELECT 1 AS one", is_described=True))

    async def columns(self, query: str) -> Sequence[Column]:
        columns = _columns(await self._described(query))
        await self._statements.all(Statement(describing_part(query), is_described=True))
        self._promised.promise(query, columns)
        return columns

    @asynccontextmanager
    async def read(self, reading: Reading) -> AsyncIterator[AsyncIterator[Block]]:
        fields = await self._described(reading.query)
        self._promised.check(reading, _columns(fields))
        sql, parameters = reading_sql(reading, fields)
        values_of = reader_of(fields)
        async with self._statements.rows(Statement(sql, parameters, is_large=True)) as rows:

            async def fetch(at_most: int) -> Sequence[tuple[Any, ...]]:
                return [values_of(row) for row in await rows.fetch(at_most)]

            yield fetched_blocks(fetch, reading.rows_per_block, len(fields))

    async def rows_about(self, query: str) -> int:
        """How many rows a query has: counted."""
        await self._described(query)
        [[rows]] = await self._statements.all(Statement(counting_sql(query)))
        return int(rows or 0)

    async def key_sample(self, reading: Reading, *, part: float) -> Sequence[RowKey]:
        """Keys drawn at random, by a look at all rows that gives nothing else."""
        fields = await self._described(reading.query)
        self._promised.check(reading, _columns(fields))
        drawn = await self._statements.all(Statement(sampling_sql(reading, fields, part), is_large=True))
        return [RowKey(tuple(map(str, key))) for key in drawn]

    async def _described(self, query: str) -> Sequence[Field]:
        # Alone, before it stands in parentheses: a text that would close them early is no query.
        told = await self._statements.all(Statement(describing(query), is_described=True))
        fields = [Field(str(name), str(type_text)) for name, type_text, *_ in told]
        # Names are one to Databricks whatever their case: a reference to either would be ambiguous.
        refuse_twins([field.name.lower() for field in fields])
        return fields


def _columns(fields: Sequence[Field]) -> Sequence[Column]:
    return [Column(field.name, field.kind) for field in fields]

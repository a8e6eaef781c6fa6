"""BigQuery as a warehouse: one job a reading, spoken to by its REST API, whose rows come page by page.

Numbers keep every digit, times are ISO 8601 (UTC where the type has a zone), binary values are hexadecimal, and what is
nested is JSON. Keys compare as bytes of UTF-8, whatever collations their columns have. Not verified against BigQuery.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from pydantic import BaseModel

from tailrace.connector_kit.bigquery_calls import BigQueryCalls
from tailrace.connector_kit.bigquery_jobs import Jobs, Looked, Record
from tailrace.connector_kit.bigquery_settings import BigQuerySettings
from tailrace.connector_kit.bigquery_sql import Field, Statement, counting_sql, one_select, reading_sql, sampling_sql
from tailrace.connector_kit.blocks import fetched_blocks
from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.promised_columns import PromisedColumns, refuse_twins
from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.connector_kit.way_out import way_out
from tailrace.core.ahead import asked_ahead
from tailrace.core.rows import Block, Column, ColumnKind, RowKey

_NO_MORE: Sequence[Record] = []


class BigQueryWarehouse(Warehouse):
    """Jobs of one project; nothing is ever changed by them."""

    name = "bigquery"
    label = "BigQuery"
    level, verified_against = Level.BRONZE, "a stand-in of its REST API; not verified against BigQuery itself"
    settings_type = BigQuerySettings
    has_cursors = True
    reads_up_to_a_key = True

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._promised = PromisedColumns()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel) -> AsyncIterator[Self]:
        if not isinstance(settings, BigQuerySettings):
            raise TypeError(f"{cls.__name__} opens with {BigQuerySettings.__name__}")
        yield cls(Jobs(BigQueryCalls(settings, way_out()), settings))

    async def check(self) -> None:
        await self._jobs.look_at(Statement("SELECT 1 AS one"))

    async def columns(self, query: str) -> Sequence[Column]:
        looked = await self._looked_at(query)
        # As a part of another too: what has no name there, or changes something, is no part of one.
        await self._jobs.look_at(reading_sql(Reading(query, ()), looked.fields))
        columns = _columns(looked.fields)
        self._promised.promise(query, columns)
        return columns

    @asynccontextmanager
    async def read(self, reading: Reading) -> AsyncIterator[AsyncIterator[Block]]:
        looked = await self._looked_at(reading.query)
        columns = _columns(looked.fields)
        self._promised.check(reading, columns)
        kinds = [column.kind for column in columns]
        statement = reading_sql(reading, looked.fields)
        async with self._jobs.running(statement, looked.location) as job, asked_ahead(job.pages(kinds)) as pages:
            yield fetched_blocks(_Pieces(pages).fetch, reading.rows_per_block, len(columns))

    async def rows_about(self, query: str) -> int:
        """How many rows a query has: counted."""
        looked = await self._looked_at(query)
        [[rows]] = await self._jobs.all(counting_sql(query), looked.location, [ColumnKind.INTEGER])
        return int(rows)

    async def key_sample(self, reading: Reading, *, part: float) -> Sequence[RowKey]:
        """Keys drawn at random, by a look at all rows that gives nothing else."""
        looked = await self._looked_at(reading.query)
        self._promised.check(reading, _columns(looked.fields))
        drawn = await self._jobs.all(sampling_sql(reading, looked.fields, part), looked.location, [])
        return [*map(RowKey, drawn)]

    async def _looked_at(self, query: str) -> Looked:
        # Alone, before it stands in parentheses: a text that would close them early is no statement.
        looked = await self._jobs.look_at(Statement(one_select(query)))
        refuse_twins([field.name for field in looked.fields])
        return looked


class _Pieces:
    """Records of pages, as many at a time as are asked for."""

    def __init__(self, pages: AsyncIterator[Sequence[Record]]) -> None:
        self._pages = pages
        self._page: Sequence[Record] = ()
        self._at = 0

    async def fetch(self, at_once: int) -> Sequence[Record]:
        """The next ones; none at the end."""
        if self._at >= len(self._page):
            self._page, self._at = await anext(self._pages, _NO_MORE), 0
        self._at += at_once
        return self._page[self._at - at_once : self._at]


def _columns(fields: Sequence[Field]) -> Sequence[Column]:
    return [Column(field.name, field.kind) for field in fields]

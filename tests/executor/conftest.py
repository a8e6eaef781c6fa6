"""Executors on a real store, reading a real warehouse, writing to a service on loopback."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tests.executor.sink import Sink, open_sink
from tests.executor.yard import Yard, definition_of, make_sync, open_chassis
from tests.fixtures.bigquery import bigquery

__all__ = ["bigquery"]

QUERY = "SELECT id, email FROM people"


@pytest_asyncio.fixture
async def chassis(database_url: str) -> AsyncIterator[Chassis]:
    """What an executor is given."""
    async with open_chassis(database_url) as opened:
        yield opened


@pytest_asyncio.fixture
async def sink() -> AsyncIterator[Sink]:
    """A service that takes rows."""
    async with open_sink() as opened:
        yield opened


@pytest_asyncio.fixture
async def warehouse(empty_database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A warehouse with an empty table of people."""
    connection = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=30)
    await connection.execute("CREATE TABLE people (id int, email text)")
    yield connection
    await connection.close(timeout=10)


@pytest_asyncio.fixture
async def yard(
    chassis: Chassis, warehouse: "asyncpg.Connection[asyncpg.Record]", sink: Sink, empty_database_url: str
) -> Yard:
    """A workspace with one sync from the warehouse to the sink."""
    source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": empty_database_url})
    batches = {"url": sink.url, "rows_per_batch": 10, "requires_results": True}
    sync = await make_sync(chassis, source, ConnectionDraft("sink", batches, {}), definition_of(QUERY, ("id", "email")))
    return Yard(chassis, warehouse, sync)


@pytest_asyncio.fixture
async def tabled(
    yard: Yard, warehouse: "asyncpg.Connection[asyncpg.Record]", sink: Sink, empty_database_url: str
) -> Yard:
    """The same yard, whose source names a schema for what is known of rows."""
    await warehouse.execute("CREATE SCHEMA kept")
    options = {"url": "***", "allow_superuser": True, "snapshot_schema": "kept"}
    source = ConnectionDraft("warehouse", options, {"/url": empty_database_url})
    batches = {"url": sink.url, "rows_per_batch": 10, "requires_results": True}
    sync = await make_sync(
        yard.chassis, source, ConnectionDraft("sink", batches, {}), definition_of(QUERY, ("id", "email"))
    )
    return Yard(yard.chassis, warehouse, sync)


@pytest.fixture
def letters_sql() -> str:
    """How many letters are open, by code."""
    return "SELECT error_code, count(*)::int AS letters FROM dead_letters WHERE state = 'open' GROUP BY 1 ORDER BY 1"

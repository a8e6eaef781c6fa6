"""What PostgreSQL says when it cannot go on, and what a caller hears of it."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tailrace.core.errors import StoreUnavailable
from tailrace.store.database import Database
from tailrace.testing.eventually import eventually

_ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
_RAISE = "DO $$ BEGIN RAISE EXCEPTION 'asked for' USING ERRCODE = '{}'; END $$"


@pytest.mark.parametrize(
    "sqlstate",
    [
        pytest.param("08006", id="connection failure"),
        pytest.param("25006", id="read-only: a demoted primary"),
        pytest.param("40001", id="serialization failure"),
        pytest.param("40P01", id="deadlock"),
        pytest.param("53100", id="disk full"),
        pytest.param("53200", id="out of memory"),
        pytest.param("53300", id="too many connections"),
        pytest.param("55P03", id="lock not available"),
        pytest.param("57014", id="statement cancelled"),
        pytest.param("57P01", id="shut down by its administrator"),
        pytest.param("57P02", id="shut down by a crash"),
        pytest.param("57P03", id="still starting"),
        pytest.param("58030", id="input or output failed"),
    ],
)
async def test_server_that_cannot_go_on_is_an_outage(database: Database, sqlstate: str) -> None:
    with pytest.raises(StoreUnavailable):
        await database.execute(_RAISE.format(sqlstate))

    assert await database.fetchval("SELECT 1") == 1


async def test_mistake_in_a_statement_is_no_outage(database: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await database.execute("SELECT * FROM nowhere")

    assert await database.fetchval("SELECT 1") == 1


async def test_cancel_that_comes_as_the_connection_breaks_is_no_outage(database: Database) -> None:
    connections: list[Any] = []

    async def ask() -> None:
        async with database.connection() as connection:
            connections.append(connection)
            await connection.execute("SELECT pg_sleep(60)")

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(ask())
        await eventually(lambda: database.fetchval(_ASLEEP), 1)
        asking.cancel()
        connections[0]._con._transport.abort()

    assert asking.cancelled()
    assert await database.fetchval("SELECT 1") == 1

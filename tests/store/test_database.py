"""What PostgreSQL says when it cannot go on, and what a caller hears of it."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tailrace.core.errors import StoreUnavailable
from tailrace.store.database import Database
from tailrace.testing.eventually import eventually

_ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
_OPEN = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
_ASKED_FOR_TYPES = "SELECT count(*) FROM pg_prepared_statements WHERE statement ~ 'type[i]nfo'"
_ARRAYS = """
SELECT $1::boolean[], $2::smallint[], $3::int[], $4::bigint[], $5::bytea[], $6::timestamptz[], $7::uuid[]
"""
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


async def test_arrays_are_asked_for_once_and_not_by_each_connection(database: Database) -> None:
    given = ([True], [1], [2], [3], [b"4"], [datetime(2026, 1, 1, tzinfo=UTC)], [UUID(int=7)])

    async with database.connection(), database.connection() as second:
        told = await second.fetchrow(_ARRAYS, *given)
        asked = await second.fetchval(_ASKED_FOR_TYPES)

    assert tuple(told or ()) == given
    assert asked == 0


async def test_pool_that_is_opened_whole_has_all_its_connections(database_url: str) -> None:
    async with Database.open(database_url, application_name="rush", max_size=4) as pool:
        await pool.open_all()

        assert await pool.fetchval(_OPEN, "rush") == 4

"""The databases that every test relies on."""

import asyncpg
import pytest

from tests.fixtures.postgres import PostgresServer


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_each_test_gets_a_database_without_rows(database_url: str, turn: str) -> None:
    connection = await asyncpg.connect(database_url)

    await connection.execute("CREATE TABLE left_by_a_test (turn text)")

    assert await connection.fetchval("SELECT count(*) FROM left_by_a_test") == 0
    await connection.close()


async def test_database_has_the_schema_of_this_release(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)

    applied = await connection.fetchval("SELECT count(*) FROM schema_migrations")

    assert applied > 0
    await connection.close()


async def test_empty_database_has_no_tables(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)

    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")

    assert tables == []
    await connection.close()


async def test_database_goes_although_a_connection_is_still_open(postgres_server: PostgresServer) -> None:
    async with postgres_server.fresh_database() as name:
        forgotten = await asyncpg.connect(postgres_server.dsn(name))

    connection = await asyncpg.connect(postgres_server.url)
    assert not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name)
    await connection.close()
    forgotten.terminate()

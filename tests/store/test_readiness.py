import asyncpg
import pytest

from tailrace.core.errors import Invalid, StoreUnavailable
from tailrace.store.database import Database
from tailrace.store.migrations import upgrade
from tailrace.store.readiness import Readiness


async def test_upgraded_database_is_ready(database_url: str) -> None:
    async with Database.open(database_url, application_name="test") as database:
        readiness = Readiness(database, database_url)

        await readiness.check_writable()
        await readiness.check_schema()


async def test_read_only_database_is_not_ready(empty_database_url: str) -> None:
    await execute(
        empty_database_url, f"ALTER DATABASE {name_in(empty_database_url)} SET default_transaction_read_only = on"
    )

    async with Database.open(empty_database_url, application_name="test") as database:
        with pytest.raises(StoreUnavailable):
            await Readiness(database, empty_database_url).check_writable()


async def test_server_that_does_not_let_us_in_is_not_ready(database_url: str) -> None:
    foreign = database_url.replace(name_in(database_url), "nowhere")

    async with Database.open(foreign, application_name="test") as database:
        with pytest.raises(StoreUnavailable, match="InvalidCatalogNameError"):
            await Readiness(database, foreign).check_writable()


async def test_missing_migration_says_what_to_run(empty_database_url: str) -> None:
    async with Database.open(empty_database_url, application_name="test") as database:
        with pytest.raises(StoreUnavailable, match="tailrace db upgrade") as caught:
            await Readiness(database, empty_database_url).check_schema()

    assert caught.value.code == "SCHEMA_BEHIND"


async def test_altered_migration_is_not_ready(database_url: str) -> None:
    await execute(database_url, "UPDATE schema_migrations SET sha256 = 'other'")

    async with Database.open(database_url, application_name="test") as database:
        with pytest.raises(Invalid, match="was changed"):
            await Readiness(database, database_url).check_schema()


async def test_schema_at_head_is_not_asked_for_again(empty_database_url: str) -> None:
    await upgrade(empty_database_url)
    async with Database.open(empty_database_url, application_name="test") as database:
        readiness = Readiness(database, empty_database_url)
        await readiness.check_schema()

        await execute(empty_database_url, "DROP TABLE schema_migrations")

        await readiness.check_schema()


async def execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def name_in(dsn: str) -> str:
    return dsn.rpartition("/")[2].partition("?")[0]


async def test_server_that_does_not_let_us_in_is_told_from_one_that_is_away(empty_database_url: str) -> None:
    address, _, options = empty_database_url.partition("?")

    with pytest.raises(StoreUnavailable, match=r"does not let us in \(InvalidCatalogNameError\): check user"):
        await upgrade(f"{address}_of_nobody?{options}")

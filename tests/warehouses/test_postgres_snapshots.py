"""PostgreSQL keeps snapshots as the contract says, in the schema that a source names and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from tailrace.connector_kit.snapshot_keeping import KeepsSnapshots
from tailrace.core.errors import SourceInvalid, SourceUnavailable
from tailrace.core.snapshot_tables import TABLE_LOST, SnapshotTable
from tailrace.testing.snapshot_table_contract import SnapshotTableContract, SnapshotTableRig, entry, read
from tailrace.warehouses.duckdb import DuckDbWarehouse
from tailrace.warehouses.postgres import PostgresWarehouse
from tests.warehouses.postgres_rig import settings

TABLE = '"Kept \'here"."{}"'
KICK = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE application_name = 'tailrace' AND datname = current_database()
"""


class PostgresSnapshotRig(SnapshotTableRig):
    def __init__(self, admin: "asyncpg.Connection[asyncpg.Record]", url: str) -> None:
        self.admin = admin
        self.url = url

    def open(self, sync_id: str = "retl_sync_1") -> AbstractAsyncContextManager[SnapshotTable]:
        return PostgresWarehouse.open_snapshot(settings(self.url, snapshot_schema="Kept 'here"), sync_id)

    async def drop(self, sync_id: str = "retl_sync_1") -> None:
        await self.admin.execute(f"DROP TABLE {TABLE.format(sync_id)}")

    async def thin_out(self, sync_id: str = "retl_sync_1") -> None:
        await self.admin.execute(f"DELETE FROM {TABLE.format(sync_id)} WHERE key = '{{a}}'")


@pytest_asyncio.fixture
async def rig(
    empty_database_url: str, admin: "asyncpg.Connection[asyncpg.Record]"
) -> AsyncIterator[PostgresSnapshotRig]:
    await admin.execute('CREATE SCHEMA "Kept \'here"')
    yield PostgresSnapshotRig(admin, empty_database_url)


class TestPostgresSnapshots(SnapshotTableContract):
    """PostgreSQL keeps the contract."""


async def test_table_can_be_joined_by_whoever_owns_the_warehouse(rig: PostgresSnapshotRig) -> None:
    async with rig.open() as table:
        await table.make(1)
        await table.write(1, [entry("7"), entry("8")])

    known = await rig.admin.fetch(
        f"SELECT n, delivered FROM generate_series(6, 7) AS n JOIN {TABLE.format('retl_sync_1')} ON key[1] = n::text"
    )

    assert [tuple(row) for row in known] == [(7, b"12345678")]


async def test_table_with_another_column_is_refused_without_a_word_of_a_row(rig: PostgresSnapshotRig) -> None:
    async with rig.open() as table:
        await table.make(1)
        await rig.admin.execute(f"ALTER TABLE {TABLE.format('retl_sync_1')} ADD mine int NOT NULL")

        with pytest.raises(SourceInvalid) as refused:
            await table.write(1, [entry("ada@example.com")])

    assert (refused.value.code, "ada" in refused.value.message) == (TABLE_LOST, False)


async def test_connection_that_was_lost_is_made_anew(rig: PostgresSnapshotRig) -> None:
    async with rig.open() as table:
        await table.make(1)
        await rig.admin.execute(KICK)

        await table.write(1, [entry("a")])

        assert await read(table) == [entry("a")]


async def test_server_that_is_away_is_unavailable(rig: PostgresSnapshotRig) -> None:
    away = settings("postgresql://u@127.0.0.1:1/d", snapshot_schema="kept")
    async with PostgresWarehouse.open_snapshot(away, "retl_sync_1") as table:
        with pytest.raises(SourceUnavailable):
            await table.check()


async def test_role_that_may_make_no_tables_is_told_what_to_grant(rig: PostgresSnapshotRig) -> None:
    await rig.admin.execute('REVOKE ALL ON SCHEMA "Kept \'here" FROM CURRENT_USER')

    async with rig.open() as table:
        with pytest.raises(SourceInvalid, match="GRANT USAGE, CREATE ON SCHEMA") as refused:
            await table.make(1)

    assert refused.value.code == "SNAPSHOT_SCHEMA"


async def test_role_that_may_only_read_the_table_is_told_so(rig: PostgresSnapshotRig) -> None:
    async with rig.open() as table:
        await table.make(1)
        await rig.admin.execute(f"REVOKE ALL ON {TABLE.format('retl_sync_1')} FROM CURRENT_USER")

        with pytest.raises(SourceInvalid, match="may not do this") as refused:
            await table.write(1, [entry("a")])

    assert refused.value.code == "SNAPSHOT_SCHEMA"


async def test_server_that_only_reads_keeps_none(rig: PostgresSnapshotRig) -> None:
    await rig.admin.execute(
        "ALTER ROLE CURRENT_USER IN DATABASE {} SET default_transaction_read_only = on".format(
            '"' + urlsplit(rig.url).path.strip("/") + '"'
        )
    )

    async with rig.open() as table:
        with pytest.raises(SourceInvalid, match="a replica") as refused:
            await table.make(1)

    assert refused.value.code == "SNAPSHOT_SCHEMA"


async def test_check_of_a_source_passes_where_tables_may_be_made(rig: PostgresSnapshotRig) -> None:
    async with PostgresWarehouse.open(settings(rig.url, snapshot_schema="Kept 'here")) as warehouse:
        await warehouse.check()


async def test_check_of_a_source_tells_that_its_schema_is_missing(rig: PostgresSnapshotRig) -> None:
    async with PostgresWarehouse.open(settings(rig.url, snapshot_schema="nowhere")) as warehouse:
        with pytest.raises(SourceInvalid, match='CREATE SCHEMA "nowhere"'):
            await warehouse.check()


async def test_source_that_names_no_schema_keeps_none(rig: PostgresSnapshotRig) -> None:
    with pytest.raises(SourceInvalid, match="snapshot_schema"):
        async with PostgresWarehouse.open_snapshot(settings(rig.url), "retl_sync_1"):
            pass


def test_warehouses_tell_by_what_they_have_whether_they_keep_snapshots() -> None:
    assert isinstance(PostgresWarehouse, KeepsSnapshots)
    assert not isinstance(DuckDbWarehouse, KeepsSnapshots)

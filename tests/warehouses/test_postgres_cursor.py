"""What is new by a cursor is found by the indexes of the table."""

from typing import TypeAlias

import asyncpg

from tailrace.connector_kit.warehouse import Cursor, Reading
from tailrace.core.rows import Block
from tailrace.testing.eventually import eventually
from tailrace.warehouses.postgres import PostgresWarehouse
from tests.warehouses.postgres_rig import settings

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

TABLE = """
CREATE TABLE big AS
SELECT n AS id, timestamptz '2026-01-01' + n * interval '1 second' AS seen, repeat('x', 100) AS filling
FROM generate_series(1, 50000) AS n;
INSERT INTO big VALUES (NULL, '2026-01-01', 'no key'), (7, NULL, 'not seen');
CREATE INDEX ON big (seen);
CREATE INDEX ON big (id);
ANALYZE big
"""
SCANS = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'big'"
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


async def read_new(url: str, query: str, since: str | None) -> list[Block]:
    reading = Reading(query, ("id",), cursor=Cursor("seen", since))
    async with PostgresWarehouse.open(settings(url)) as warehouse, warehouse.read(reading) as blocks:
        return [block async for block in blocks]


async def test_what_is_new_is_found_without_a_look_at_all_rows(admin: Admin, empty_database_url: str) -> None:
    await admin.execute(TABLE)
    await admin.execute("SELECT pg_stat_force_next_flush()")
    before = await admin.fetchval(SCANS)

    blocks = await read_new(empty_database_url, "SELECT * FROM big", "2026-01-01 13:53:18+00")

    # What it leaves is told as its connection ends.
    await eventually(lambda: admin.fetchval(OTHERS), 0)
    assert await admin.fetchval(SCANS) == before
    assert [key for block in blocks for key in block.keys] == [("49998",), ("49999",), ("50000",), ("7",), None]
    assert [row[2] for block in blocks for row in block.rows][-2:] == ["not seen", "no key"]


async def test_key_that_holds_nothing_but_nulls_is_one(admin: Admin, empty_database_url: str) -> None:
    await admin.execute(
        "CREATE TYPE pair AS (one int, other int);"
        "CREATE TABLE pairs AS SELECT ROW(NULL, NULL)::pair AS id, timestamptz '2026-01-01' AS seen"
    )

    of_all = await read_new(empty_database_url, "TABLE pairs", None)

    assert [key for block in of_all for key in block.keys] == [("(,)",)]
    assert await read_new(empty_database_url, "TABLE pairs", "2026-01-02") == []

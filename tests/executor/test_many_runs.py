"""Many runs in a row over a table that changes in all ways: each sends what changed, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import asyncpg
import pytest

from tailrace.core.readings import AnyReading
from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tailrace.testing.mariadb_server import MariaDb
from tests.executor.changing import ChangingTable, Row
from tests.executor.modes import SNAPSHOT, VERSION
from tests.executor.mysql_people import MySqlRows, database_of_people
from tests.executor.yard import Yard, definition_of, make_sync

_PREPARE = """
ALTER TABLE people ADD at int;
ALTER TABLE people ADD PRIMARY KEY (id);
CREATE TABLE contacts (id int PRIMARY KEY, email text)
"""
_PUT = """
INSERT INTO people SELECT id, email, at FROM unnest($1::int[], $2::text[], $3::int[]) AS row (id, email, at)
ON CONFLICT (id) DO UPDATE SET email = excluded.email, at = excluded.at
"""
_REMOVE = "DELETE FROM people WHERE id = ANY ($1::int[])"


@dataclass(frozen=True, slots=True)
class PostgresRows:
    """People of PostgreSQL."""

    warehouse: "asyncpg.Connection[asyncpg.Record]"

    async def put(self, rows: Mapping[int, Row]) -> None:
        emails, moments = [row[0] for row in rows.values()], [row[1] for row in rows.values()]
        await self.warehouse.execute(_PUT, list(rows), emails, moments)
        await self.warehouse.execute("ANALYZE people")

    async def remove(self, ids: Sequence[int]) -> None:
        await self.warehouse.execute(_REMOVE, ids)


@pytest.mark.parametrize(
    ("reading", "rows", "runs", "seed"),
    [
        (SNAPSHOT, 4000, 14, 1),
        (SNAPSHOT, 4000, 14, 2),
        (VERSION, 4000, 14, 3),
        (SNAPSHOT, 70_000, 6, 4),
        (VERSION, 70_000, 8, 5),
    ],
    ids=lambda given: getattr(given, "type", str(given)),
)
async def test_every_run_sends_what_changed_and_nothing_else(  # noqa: PLR0917 - three fixtures, four parameters
    chassis: Chassis,
    warehouse: "asyncpg.Connection[asyncpg.Record]",
    empty_database_url: str,
    reading: AnyReading,
    rows: int,
    runs: int,
    seed: int,
) -> None:
    await warehouse.execute(_PREPARE)
    yard = await mirrored(chassis, warehouse, empty_database_url, reading)
    await hold(yard, ChangingTable(PostgresRows(warehouse), Random(seed), rows * 5 // 4), runs)


@pytest.mark.xdist_group("mariadb")
@pytest.mark.parametrize(
    ("reading", "query", "rows"),
    [
        (SNAPSHOT, "SELECT id, email, at FROM people", 15_000),
        (VERSION, "SELECT id, email, at FROM people", 15_000),
        (SNAPSHOT, "SELECT convert(id, char) AS id, email, at FROM people", 4000),
        (VERSION, "SELECT convert(id, char) AS id, email, at FROM people", 4000),
    ],
)
async def test_every_run_from_mysql_sends_what_changed_and_nothing_else(  # noqa: PLR0917 - four fixtures, three parameters
    chassis: Chassis,
    warehouse: "asyncpg.Connection[asyncpg.Record]",
    empty_database_url: str,
    mariadb: MariaDb,
    reading: AnyReading,
    query: str,
    rows: int,
) -> None:
    await warehouse.execute(
        f"CREATE TABLE contacts (id {'text' if 'char' in query else 'int'} PRIMARY KEY, email text)"
    )
    with database_of_people(mariadb) as (admin, name):
        server = {"host": "127.0.0.1", "port": mariadb.port, "user": name, "database": name, "tls": False}
        hashing = server | {"password": "***", "hashes_rows": True}
        source = ConnectionDraft("server", hashing, {"/password": "reads-only"})
        yard = await mirrored(chassis, warehouse, empty_database_url, reading, ("mysql", source, query))
        await hold(yard, ChangingTable(MySqlRows(admin), Random(6), rows), 10)


async def hold(yard: Yard, table: ChangingTable, runs: int) -> None:
    """Let the table change again and again, with a run behind each."""
    await table.fill()
    await yard.run()
    for _ in range(runs):
        sent, deleted = await table.change()
        run = await yard.run()

        assert (run.status, run.error_message) == (RunStatus.SUCCEEDED, None)
        assert (run.books.delivered, run.books.deleted, run.books.balance) == (sent, deleted, True)
        found = await yard.warehouse.fetch("SELECT id, email FROM contacts")
        assert {int(row["id"]): row["email"] for row in found} == {
            key: email for key, (email, _) in table.people.items()
        }


async def mirrored(
    chassis: Chassis,
    warehouse: "asyncpg.Connection[asyncpg.Record]",
    url: str,
    reading: AnyReading,
    elsewhere: tuple[str, ConnectionDraft, str] | None = None,
) -> Yard:
    """Contacts that mirror the people, in one database if those are not elsewhere."""
    here = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": url})
    connector, source, query = elsewhere or ("postgres", here, "SELECT id, email, at FROM people")
    target = ConnectionDraft("app", {"url": "***", "rows_per_batch": 500}, {"/url": url})
    definition = definition_of(query, ("id", "email")).model_copy(
        update={
            "object_name": "public.contacts",
            "sync_mode": SyncMode.MIRROR,
            "reading": reading,
            "max_delete_ratio": 1.0,
        }
    )
    sync = await make_sync(chassis, source, target, definition, (connector, "postgres"))
    return Yard(chassis, warehouse, sync)

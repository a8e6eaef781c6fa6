"""PostgreSQL for benchmarks, with a table that is made once and kept for the next time."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.store import migrations
from tailrace.store.database import ALL_WORKSPACES

DATA_DIR = "TAILRACE_BENCH_DIR"
"""Names the directory to keep the table in; else one under the system's temporary directory."""

_WAREHOUSE = "warehouse"
_KEPT_ROWS = 12_000_000
"""About 3 GB; other tables go before a new one makes it more."""

_BUILD_S = 900.0
_TABLES = "SELECT relname::text FROM pg_class WHERE relname ~ '^people_[0-9]+$' AND relkind = 'r'"
_BUILD = """
CREATE TABLE {0} AS SELECT n AS id, 'person' || n || '@example.com' AS email, 'First' || n % 1000 AS first_name,
  'Last' || n % 5000 AS last_name, 'Company ' || n % 20000 AS company, 'CH' AS country, n % 100 AS score,
  (n % 100000)::numeric / 100 AS spent, n % 3 = 0 AS active,
  timestamptz '2026-01-01' + n * interval '1 second' AS updated_at
FROM generate_series(1, {1}) AS n
"""
_INDEX = "CREATE UNIQUE INDEX IF NOT EXISTS {0}_id ON {0} (id)"
_COPY = (
    "DROP TABLE IF EXISTS {0}",
    "CREATE TABLE {0} AS TABLE {1}",
    "CREATE UNIQUE INDEX ON {0} (id)",
    "CREATE INDEX ON {0} (updated_at)",
    "VACUUM ANALYZE {0}",
)
_CHANGE = (
    "UPDATE {0} SET score = score + 1, updated_at = now() + id * interval '1 microsecond' WHERE id % 100 = 7",
    "DELETE FROM {0} WHERE id % 1000 = 13",
    "ANALYZE {0}",
)


@dataclass(frozen=True, slots=True)
class Ground:
    """A server, and the table of so many rows on it."""

    postgres: EmbeddedPostgres
    table: str
    rows: int

    @property
    def warehouse_url(self) -> str:
        """The database that holds the table."""
        return self.postgres.dsn(_WAREHOUSE)

    async def fresh_store(self, name: str) -> str:
        """A new database with our schema, in place of one of that name that an earlier benchmark left."""
        async with connected(self.postgres.superuser_dsn()) as connection:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        url = await self.postgres.ensure_database(name)
        await migrations.upgrade(url)
        return url


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the table that may be changed."""

    warehouse: "asyncpg.Connection[asyncpg.Record]"
    table: str

    async def change(self) -> None:
        """Change each hundredth row, with a newer `updated_at`, and remove each thousandth."""
        for statement in _CHANGE:
            await self.warehouse.execute(statement.format(self.table), timeout=_BUILD_S)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection that sees every workspace, for as long as the scope lasts."""
    connection = await asyncpg.connect(url, server_settings=ALL_WORKSPACES)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def open_ground(rows: int) -> AsyncIterator[Ground]:
    """A server with the table, for as long as the scope lasts.

    :raises Conflict: another benchmark uses the directory.
    """
    async with EmbeddedPostgres(data_dir()) as postgres:
        table = f"people_{rows}"
        async with connected(await postgres.ensure_database(_WAREHOUSE)) as warehouse:
            await make_table(warehouse, table, rows)
        yield Ground(postgres, table, rows)


async def make_table(warehouse: "asyncpg.Connection[asyncpg.Record]", table: str, rows: int) -> None:
    """Make the table where it is missing; others go if they would take too much room beside it."""
    kept = [row["relname"] for row in await warehouse.fetch(_TABLES)]
    if table in kept:
        await warehouse.execute(_INDEX.format(table), timeout=_BUILD_S)
        return
    if rows + sum(int(name.removeprefix("people_")) for name in kept) > _KEPT_ROWS:
        await warehouse.execute(f"DROP TABLE {', '.join(kept)}" if kept else "SELECT 1")
    async with warehouse.transaction():
        await warehouse.execute(_BUILD.format(table, rows), timeout=_BUILD_S)
        await warehouse.execute(_INDEX.format(table), timeout=_BUILD_S)
    await warehouse.execute(f"VACUUM ANALYZE {table}", timeout=_BUILD_S)


@asynccontextmanager
async def changing(warehouse: "asyncpg.Connection[asyncpg.Record]", table: str) -> AsyncIterator[Copy]:
    """A copy for as long as the scope lasts, indexed by `updated_at`."""
    copy = Copy(warehouse, f"{table}_changing")
    for statement in _COPY:
        await warehouse.execute(statement.format(copy.table, table), timeout=_BUILD_S)
    try:
        yield copy
    finally:
        await warehouse.execute(f"DROP TABLE {copy.table}")


def data_dir() -> Path:
    """Where the table is kept."""
    named = os.environ.get(DATA_DIR)
    return Path(named) if named else Path(tempfile.gettempdir()) / f"tailrace-bench-{os.getuid()}"

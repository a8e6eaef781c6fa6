"""Brings a database to the schema of this release, forward only, one runner at a time.

A migration is a file `NNNN_name.expand.sql` (the previous release still works) or `NNNN_name.contract.sql` (it no
longer does). A file that begins with `-- no-transaction` holds one statement that PostgreSQL refuses in a block.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from tailrace.core.errors import Invalid
from tailrace.store.database import ALL_WORKSPACES, unavailable
from tailrace.store.grants import grant

NO_TRANSACTION = "-- no-transaction"
_LOCK = 7_245_117_320_482_511
_CONNECT_S = 10.0
_STATEMENT_S = 600.0
_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
  name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """A file of SQL, known by its name and its content."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Hex digest of the content: an applied file never changes."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this release, in order."""
    folder = files("tailrace.store") / "migrations"
    named = sorted((entry.name, entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [Migration(name, sql) for name, sql in named]


async def upgrade(dsn: str) -> list[str]:
    """Apply what is missing, then give the roles of services what they need; gives the names applied.

    Several runners at once are safe, a crash leaves whole files.
    """
    connection = await _connect(dsn)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK, timeout=_STATEMENT_S)
        await connection.execute(_LEDGER)
        missing = await _missing(connection, shipped())
        for migration in missing:
            await _apply(connection, migration)
        await grant(connection)
        return [migration.name for migration in missing]
    finally:
        await connection.close(timeout=_CONNECT_S)


async def pending(dsn: str) -> list[str]:
    """The names of shipped migrations that the database lacks."""
    connection = await _connect(dsn)
    try:
        if await connection.fetchval("SELECT to_regclass('schema_migrations') IS NULL"):
            return [migration.name for migration in shipped()]
        return [migration.name for migration in await _missing(connection, shipped())]
    finally:
        await connection.close(timeout=_CONNECT_S)


async def _connect(dsn: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(
            dsn, timeout=_CONNECT_S, command_timeout=_STATEMENT_S, server_settings=ALL_WORKSPACES
        )
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise unavailable(error) from error


async def _missing(connection: asyncpg.Connection, known: Sequence[Migration]) -> list[Migration]:
    rows = await connection.fetch("SELECT name, sha256 FROM schema_migrations")
    applied: dict[str, str] = {row["name"]: row["sha256"] for row in rows}
    altered = [entry.name for entry in known if applied.get(entry.name, entry.sha256) != entry.sha256]
    if altered:
        raise Invalid(
            f"migration {altered[0]} was changed after it had been applied; restore the file and add a new one",
            code="MIGRATION_ALTERED",
        )
    return [migration for migration in known if migration.name not in applied]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    record = "INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)"
    if migration.sql.startswith(NO_TRANSACTION):
        await connection.execute(migration.sql)
        await connection.execute(record, migration.name, migration.sha256)
        return
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '2s'")
        await connection.execute(migration.sql)
        await connection.execute(record, migration.name, migration.sha256)

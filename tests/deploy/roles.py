"""A database with the roles that deploy/postgres/roles.sql makes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.store import migrations
from tailrace.store.database import Database
from tailrace.store.grants import ROLES

_SQL = (Path(__file__).parents[2] / "deploy" / "postgres" / "roles.sql").read_text()
_PASSWORD = "secret"
_TABLES = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v') AND relnamespace = 'public'::regnamespace"


@dataclass(frozen=True, slots=True)
class RolesDatabase:
    """Where it is: host, port and name."""

    place: str

    def url(self, name: str) -> str:
        """Its address for the role `tailrace_<name>`."""
        return f"postgresql://tailrace_{name}:{_PASSWORD}@{self.place}"


@asynccontextmanager
async def a_database_with_roles() -> AsyncIterator[RolesDatabase]:
    """A migrated database on a server of its own, since roles belong to the server."""
    async with EmbeddedPostgres(durable=False) as postgres:
        await _execute(postgres.superuser_dsn(), "CREATE DATABASE ours")
        passwords = [
            f"ALTER ROLE {role} PASSWORD '{_PASSWORD}'" for role in ("tailrace_owner", "tailrace_app", *ROLES.values())
        ]
        await _execute(postgres.superuser_dsn("ours"), _SQL, _SQL, *passwords)
        ours = RolesDatabase(postgres.superuser_dsn("ours").rpartition("@")[2])
        await migrations.upgrade(ours.url("owner"))
        yield ours


async def privileges(database: Database) -> dict[str, set[str]]:
    """By table, what the role of these connections may do to it."""
    return {
        row["relname"]: {
            privilege
            for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "REFERENCES")
            if await database.fetchval("SELECT has_table_privilege($1, $2)", row["relname"], privilege)
        }
        for row in await database.fetch(_TABLES)
    }


async def _execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=30)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close(timeout=10)

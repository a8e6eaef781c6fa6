"""Row level security, the second lock: proved by queries that forgot their filter, as a role that it binds."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.errors import StoreUnavailable
from tailrace.core.ids import WorkspaceId
from tailrace.store.database import Connection, Database, Within
from tailrace.store.isolation import OneWorkspace
from tests.store.conftest import A_WORKSPACE, Stage
from tests.store.letters import Grave

OTHERS = WorkspaceId("ws_others")
FULL = (
    "audit_heads",
    "audit_records",
    "connections",
    "dead_letters",
    "idempotency_keys",
    "models",
    "previews",
    "run_shards",
    "runs",
    "schedule_ticks",
    "sync_links",
    "sync_versions",
    "syncs",
    "tokens",
    "workspaces",
)
# Tables without a policy, and why nothing of a workspace can be seen through them.
OPEN = {
    "destination_slots": "leases by destination, without content",
    "inbox": "ids of events from outside",
    "outbox": "events on their way, which no operation reads",
    "outbox_shards": "leases",
    "rate_limits": "times by destination, without content",
    "schema_migrations": "names of files",
    "snapshot_targets": "numbers of versions",
    "snapshot_pages": "no operation reads them, and a policy would take their index away",
}
_TABLES = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
_GUARDED = f"""
{_TABLES} AND relrowsecurity AND relforcerowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid)
"""
_MORE = (
    "INSERT INTO tokens (id, workspace_id, name, role, secret_hmac) VALUES ('tok', $1, 'a', 'viewer', '')",
    "INSERT INTO idempotency_keys (workspace_id, key, request_sha256) VALUES ($1, 'k', '')",
    "INSERT INTO sync_versions (sync_id, version, definition) SELECT id, 1, '{}' FROM syncs WHERE workspace_id = $1",
    "INSERT INTO audit_heads (workspace_id, number, digest, seal) VALUES ($1, 0, '', '')",
    """
    INSERT INTO audit_records (workspace_id, number, at, actor, address, action, object_id, digest)
    VALUES ($1, 1, clock_timestamp(), '', '', '', '', '')
    """,
    """
    INSERT INTO models (id, workspace_id, source_id, name, kind, config, query, enabled)
    SELECT 'model', workspace_id, id, 'm', 'model', '{}', '', true FROM connections WHERE workspace_id = $1
    """,
    "INSERT INTO sync_links (sync_id, workspace_id, said) SELECT id, $1, '{}' FROM syncs WHERE workspace_id = $1",
    "INSERT INTO previews (id, workspace_id, rows) VALUES ('preview', $1, '')",
    """
    INSERT INTO schedule_ticks (sync_id, scheduled_for, outcome)
    SELECT id, clock_timestamp(), 'started' FROM syncs WHERE workspace_id = $1
    """,
)


@pytest_asyncio.fixture
async def full(stage: Stage, database: Database) -> Database:
    """A database with a row of a workspace in every guarded table."""
    await Grave(stage).bury("k")
    for statement in _MORE:
        await database.execute(statement, A_WORKSPACE)
    return database


@pytest_asyncio.fixture
async def nobody(full: Database, database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The role of the services, owner of the tables, that has named no workspace."""
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=10)
    if await connection.fetchval("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"):
        pytest.skip("TAILRACE_TEST_DATABASE_URL names a role that row level security does not bind")
    yield connection
    await connection.close(timeout=10)


async def _guarded(connection: "Connection | asyncpg.Connection") -> set[str]:
    return {row["relname"] for row in await connection.fetch(_GUARDED)}


async def _counts(connection: "Connection | asyncpg.Connection") -> dict[str, int]:
    return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in await _guarded(connection)}


async def test_every_table_has_a_policy_or_a_reason(nobody: asyncpg.Connection) -> None:
    tables = {row["relname"] for row in await nobody.fetch(_TABLES)}

    assert tables - await _guarded(nobody) == set(OPEN)


async def test_without_the_setting_nothing_is_seen(full: Database, nobody: asyncpg.Connection) -> None:
    async with full.connection() as connection:
        there_are = await _counts(connection)

    seen = await _counts(nobody)

    assert {table for table, count in there_are.items() if count} >= set(FULL)
    assert set(seen.values()) == {0}


async def test_without_the_setting_nothing_can_be_changed(nobody: asyncpg.Connection) -> None:
    touched = [
        await nobody.execute(statement)
        for statement in ("UPDATE syncs SET name = 'x'", "DELETE FROM idempotency_keys", "UPDATE runs SET sync_id = ''")
    ]

    assert touched == ["UPDATE 0", "DELETE 0", "UPDATE 0"]


async def test_narrowed_database_sees_its_workspace(full: Database, nobody: asyncpg.Connection) -> None:
    async with OneWorkspace(full, A_WORKSPACE, statement_s=5).connection() as connection:
        counts = await _counts(connection)

    assert {table for table, count in counts.items() if count} >= set(FULL)


async def test_query_without_a_filter_shows_nothing_of_others(full: Database, nobody: asyncpg.Connection) -> None:
    async with OneWorkspace(full, OTHERS, statement_s=5).connection() as connection:
        assert set((await _counts(connection)).values()) == {0}


@pytest.mark.parametrize(
    ("table", "whole"),
    [("run_shards", "run_id"), ("run_moments", "run_id"), ("schedule_ticks", "sync_id"), ("sync_versions", "sync_id")],
)
async def test_what_a_row_is_a_part_of_is_looked_up_by_its_key(
    full: Database, nobody: asyncpg.Connection, table: str, whole: str
) -> None:
    async with OneWorkspace(full, A_WORKSPACE, statement_s=5).connection() as connection:
        plan = await connection.fetch(f"EXPLAIN SELECT FROM {table}")

    assert f"id = {table}.{whole}" in str(plan)


async def test_row_of_another_workspace_cannot_be_written(full: Database, nobody: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await OneWorkspace(full, OTHERS, statement_s=5).execute(
            "INSERT INTO idempotency_keys (workspace_id, key, request_sha256) VALUES ($1, 'mine', '')", A_WORKSPACE
        )


async def test_own_row_cannot_be_given_away(full: Database, nobody: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await OneWorkspace(full, A_WORKSPACE, statement_s=5).execute("UPDATE tokens SET workspace_id = $1", OTHERS)


async def test_setting_ends_with_its_transaction(full: Database) -> None:
    async with full.connection() as connection:
        await OneWorkspace(Within(connection), OTHERS, statement_s=5).fetchval("SELECT 1")

        left = await connection.fetchval(
            "SELECT ARRAY[current_setting('app.workspace_id'), current_setting('statement_timeout')]"
        )

    assert left == ["*", "0"]


async def test_statement_that_takes_too_long_is_ended_by_the_server(full: Database) -> None:
    with pytest.raises(StoreUnavailable, match="QueryCanceledError"):
        await OneWorkspace(full, A_WORKSPACE, statement_s=0.05).execute("SELECT pg_sleep(4)")

"""The role that all services may log in as, where it is not the owner: it can do its work and nothing beyond."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.ids import WorkspaceId
from tailrace.store.audit import Audit, Deed
from tailrace.store.audit_chain import FIRST_ACTION, AuditChain
from tailrace.store.database import Database
from tailrace.store.isolation import OneWorkspace
from tailrace.store.secrets import SecretBox
from tailrace.store.tokens import NewToken, Role, Tokens
from tailrace.store.workspaces import Workspaces
from tests.cli.commands import tailrace
from tests.deploy.roles import a_database_with_roles, privileges

READ_ONLY = {"audit_records": {"SELECT", "INSERT"}, "schema_migrations": {"SELECT"}}
_ALL = {"SELECT", "INSERT", "UPDATE", "DELETE"}

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("roles")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app_url() -> AsyncIterator[str]:
    """Address of a migrated database for the role of the services."""
    async with a_database_with_roles() as ours:
        yield ours.url("app")


@pytest_asyncio.fixture(loop_scope="module")
async def app(app_url: str) -> AsyncIterator[Database]:
    async with Database.open(app_url, application_name="test") as database:
        yield database


async def test_it_may_do_to_each_table_what_is_written_here(app: Database) -> None:
    found = await privileges(app)

    assert found == {table: READ_ONLY.get(table, _ALL) for table in found}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_records SET actor = 'x'",
        "DELETE FROM audit_records",
        "TRUNCATE audit_records",
        "ALTER TABLE audit_records DISABLE TRIGGER ALL",
        "DROP POLICY in_sight ON connections",
        "ALTER TABLE connections NO FORCE ROW LEVEL SECURITY",
        "ALTER ROLE tailrace_app BYPASSRLS",
        "CREATE TABLE mine (id int)",
        "SET ROLE tailrace_owner",
        "DELETE FROM schema_migrations",
    ],
)
async def test_it_cannot_free_itself(app: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute(statement)


async def test_it_can_do_its_work(app: Database) -> None:
    box = SecretBox([bytes(32)])
    workspace = await Workspaces(app).create("a")
    narrowed = OneWorkspace(app, workspace.id, statement_s=5)

    _, text = await Tokens(narrowed, box).create(NewToken(workspace.id, "ci", Role.ADMIN))
    async with narrowed.transaction() as connection:
        await Audit(narrowed, box).append(connection, Deed(workspace.id, "token:t", "::1", FIRST_ACTION, "t"))

    identity = await Tokens(app, box).verify(text)
    assert identity is not None
    assert [verdict.fault async for verdict in AuditChain(app, box).verify()] == [None]


async def test_its_sessions_see_everything_also_without_a_start_parameter(app_url: str) -> None:
    connection = await asyncpg.connect(app_url, timeout=10, command_timeout=10)
    sight = await connection.fetchval("SELECT current_setting('app.workspace_id')")
    await connection.close(timeout=10)

    assert sight == "*"


async def test_narrowed_to_another_workspace_it_sees_nothing(app: Database) -> None:
    workspace = await Workspaces(app).create("b")
    elsewhere = OneWorkspace(app, WorkspaceId("ws_elsewhere"), statement_s=5)

    assert await Workspaces(app).get(workspace.id) == workspace
    assert await Workspaces(elsewhere).list() == []


async def test_commands_that_it_has_no_right_to_name_the_role_that_has(app_url: str) -> None:
    ended = await tailrace("db", "upgrade", environment={"TAILRACE_DATABASE_URL": app_url})

    assert (ended.code, ended.stdout) == (2, "")
    assert "permission denied" in ended.stderr
    assert "owns the tables" in ended.stderr
    assert "Traceback" not in ended.stderr

"""Suggestions and new fields on the command line, between two databases."""

from dataclasses import dataclass

import asyncpg
import pytest_asyncio

from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox
from tailrace.store.workspaces import Workspaces
from tests.cli.commands import Ended, tailrace
from tests.runtime.processes import SECRET_KEY, environment

TABLES = 'CREATE TABLE people (id int, full_name text); CREATE TABLE contacts (id int PRIMARY KEY, "FullName" text)'


@dataclass(frozen=True)
class Desk:
    """A workspace with a source of people and destinations, one of which makes fields."""

    database_url: str
    workspace_id: str
    source_id: str
    target_id: str
    http_id: str

    async def run(self, *arguments: str) -> Ended:
        given = ("mapping", *arguments, "--workspace", self.workspace_id, "--object", "public.contacts")
        return await tailrace(*given, environment=environment(self.database_url))


@pytest_asyncio.fixture
async def desk(database_url: str, empty_database_url: str) -> Desk:
    connection = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=30)
    await connection.execute(TABLES)
    await connection.close(timeout=10)
    sealed = {"/url": empty_database_url}
    async with Database.open(database_url, application_name="test") as database:
        workspace = (await Workspaces(database).create("Acme")).id
        connections = Connections(database, SecretBox.from_setting(SECRET_KEY))
        warehouse = ConnectionDraft("w", {"url": "***", "allow_superuser": True}, sealed)
        source = await connections.create(workspace, ConnectionKind.SOURCE, "postgres", warehouse)
        table = ConnectionDraft("t", {"url": "***"}, sealed)
        target = await connections.create(workspace, ConnectionKind.DESTINATION, "postgres", table)
        hook = ConnectionDraft("h", {"url": "https://api.example.com"}, {})
        http = await connections.create(workspace, ConnectionKind.DESTINATION, "http", hook)
    return Desk(database_url, workspace, source.id, target.id, http.id)


async def test_columns_are_suggested_for_fields(desk: Desk) -> None:
    query = ("--source", desk.source_id, "--query", "SELECT * FROM people", "--destination", desk.target_id)

    told = await desk.run("suggest", *query)
    listed = await desk.run("suggest", *query, "--json")

    assert (told.code, told.stdout) == (0, "full_name -> FullName  1.00\nid -> id  1.00\n")
    assert listed.json()["suggestions"][0]["source"] == "full_name"


async def test_field_is_made_once_and_told_in_the_audit(desk: Desk) -> None:
    field = ("--destination", desk.target_id, "--name", "tier", "--kind", "text")

    made, again = await desk.run("ensure-field", *field), await desk.run("ensure-field", *field)

    assert (made.code, made.stdout, again.stdout) == (0, "tier: text\n", "tier: text\n")
    async with Database.open(desk.database_url, application_name="test") as database:
        found = await database.fetch("SELECT action, object_id FROM audit_waiting WHERE action = 'ensureField'")
    assert [tuple(row) for row in found] == [("ensureField", desk.target_id)] * 2


async def test_what_cannot_be_is_a_misuse_that_says_what_to_do(desk: Desk) -> None:
    none = await desk.run("ensure-field", "--destination", desk.http_id, "--name", "tier", "--kind", "text")
    nowhere = await desk.run("ensure-field", "--destination", "conn_none", "--name", "tier", "--kind", "text")

    assert (none.code, none.stdout, none.stderr) == (2, "", "tailrace: HTTP makes no fields: make it there\n")
    assert nowhere.code != 0
    assert len(nowhere.stderr.splitlines()) == 1

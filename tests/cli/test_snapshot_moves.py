"""What is known of a sync's rows is moved into the warehouse and back, on the command line."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest_asyncio

from tailrace.core.ids import SyncId
from tailrace.core.rows import RowHash, RowKey
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import FieldMapping, ManualSchedule, SyncDefinition, SyncMode
from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox
from tailrace.store.syncs import NewSync, Syncs
from tailrace.store.workspaces import Workspaces
from tests.cli.commands import Ended, tailrace
from tests.runtime.processes import SECRET_KEY, environment
from tests.store.conftest import add_settled

DEEDS = "SELECT action, after FROM audit_waiting ORDER BY id"


@dataclass(frozen=True)
class Shelf:
    """A sync of which three rows are known, and its warehouse."""

    database: Database
    database_url: str
    warehouse: "asyncpg.Connection[asyncpg.Record]"
    sync_id: SyncId

    async def run(self, *arguments: str) -> Ended:
        return await tailrace("snapshots", *arguments, environment=environment(self.database_url))


@pytest_asyncio.fixture
async def shelf(database_url: str, empty_database_url: str) -> AsyncIterator[Shelf]:
    warehouse = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=30)
    await warehouse.execute("CREATE SCHEMA kept")
    async with Database.open(database_url, application_name="test") as database:
        workspace = (await Workspaces(database).create("Acme")).id
        connections = Connections(database, SecretBox.from_setting(SECRET_KEY))
        from_there = ConnectionDraft("w", {"url": "***", "snapshot_schema": "kept"}, {"/url": empty_database_url})
        source = await connections.create(workspace, ConnectionKind.SOURCE, "postgres", from_there)
        draft = ConnectionDraft("c", {"url": "https://api.example.com"}, {})
        destination = await connections.create(workspace, ConnectionKind.DESTINATION, "http", draft)
        definition = SyncDefinition(
            source_id=source.id,
            source_query="SELECT id FROM people",
            destination_id=destination.id,
            object_name="people",
            field_mappings=(FieldMapping(source="id", destination="id", key=True),),
            sync_mode=SyncMode.UPSERT,
        )
        sync = await Syncs(database).create(NewSync(workspace, "s", definition, ManualSchedule()))
        await add_settled(database, sync.id, [Entry(RowKey((key,)), RowHash(key.encode().ljust(8))) for key in "123"])
        yield Shelf(database, database_url, warehouse, sync.id)
    await warehouse.close(timeout=10)


async def test_snapshot_moves_there_and_back_and_both_are_told_in_the_audit(shelf: Shelf) -> None:
    there = await shelf.run("move", shelf.sync_id, "--to", "warehouse", "--json")
    rows = await shelf.warehouse.fetchval(f'SELECT count(*) FROM kept."{shelf.sync_id}"')
    shown = await shelf.run("show", shelf.sync_id)
    back = await shelf.run("move", shelf.sync_id, "--to", "store")

    assert (there.code, there.json()["entries"], rows) == (0, 3, 3)
    assert shown.stdout.startswith(f"3 rows in the warehouse of source {there.json()['place']}\n")
    assert (back.code, back.stdout) == (0, "place: store; entries: 3\n")
    assert await shelf.database.fetchval("SELECT sum(entries) FROM snapshot_pages") == 3
    assert await shelf.warehouse.fetchval("SELECT to_regclass($1)", f'kept."{shelf.sync_id}"') is None
    told = await shelf.database.fetch(DEEDS)
    assert [(row["action"], json.loads(row["after"])["entries"]) for row in told] == [("moveSnapshot", 3)] * 2


async def test_lost_table_is_refused_until_it_is_to_be_forgotten(shelf: Shelf) -> None:
    await shelf.run("move", shelf.sync_id, "--to", "warehouse")
    await shelf.warehouse.execute(f'DROP TABLE kept."{shelf.sync_id}"')

    refused = await shelf.run("move", shelf.sync_id, "--to", "store")
    forgot = await shelf.run("move", shelf.sync_id, "--to", "store", "--forget")

    assert (refused.code, "is not as it was left" in refused.stderr) == (2, True)
    assert (forgot.code, forgot.stdout) == (0, "place: store; forgotten: 3\n")


async def test_snapshot_of_a_warehouse_is_exported_and_imported(shelf: Shelf, tmp_path: object) -> None:
    file = f"{tmp_path}/people.jsonl.gz"
    await shelf.run("move", shelf.sync_id, "--to", "warehouse")

    written = await shelf.run("export", shelf.sync_id, "--to", file)
    read = await shelf.run("import", shelf.sync_id, "--from", file)
    shown = await shelf.run("show", shelf.sync_id, "--json")

    assert (written.code, read.code, read.stderr) == (0, 0, "")
    assert (shown.json()["entries"], shown.json()["kept_by"]) == (3, None)

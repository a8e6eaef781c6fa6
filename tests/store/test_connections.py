"""Sources and destinations, their secrets and who may see them."""

import asyncio
import os
from collections.abc import Awaitable

import pytest
import pytest_asyncio

from tailrace.core.errors import Conflict, Invalid, NotFound
from tailrace.core.ids import WorkspaceId
from tailrace.core.syncs import FieldMapping, ManualSchedule, SyncDefinition, SyncMode
from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections, StoredConnection
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox
from tailrace.store.syncs import NewSync, Syncs
from tailrace.store.workspaces import Workspaces
from tailrace.testing.eventually import eventually

_WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
DRAFT = ConnectionDraft(
    name="crm",
    settings={"url": "https://crm", "auth": {"token": "***"}},
    secrets={"/auth/token": "canary"},
    requests_per_s=5,
    max_in_flight=2,
)
DESTINATION, SOURCE = ConnectionKind.DESTINATION, ConnectionKind.SOURCE


@pytest.fixture
def connections(database: Database) -> Connections:
    return Connections(database, SecretBox([os.urandom(32)]))


@pytest_asyncio.fixture
async def workspace_id(database: Database) -> WorkspaceId:
    return (await Workspaces(database).create("w")).id


@pytest_asyncio.fixture
async def stored(connections: Connections, workspace_id: WorkspaceId) -> StoredConnection:
    return await connections.create(workspace_id, DESTINATION, "http", DRAFT)


async def test_connection_can_be_read_back_without_its_secrets(
    connections: Connections, workspace_id: WorkspaceId, stored: StoredConnection
) -> None:
    found = await connections.get(workspace_id, stored.id)

    assert found == stored
    assert (found.settings, found.requests_per_s, found.max_in_flight) == (DRAFT.settings, 5, 2)


async def test_opened_settings_hold_the_secrets_in_their_places(
    connections: Connections, stored: StoredConnection
) -> None:
    _, settings = await connections.open_settings(stored.id)

    assert settings == {"url": "https://crm", "auth": {"token": "canary"}}


async def test_database_shows_no_secret(database: Database, stored: StoredConnection) -> None:
    dump = await database.fetchval("SELECT string_agg(connections::text, '') FROM connections")

    assert "canary" not in dump
    assert b"canary".hex() not in dump


async def test_secrets_swapped_between_rows_do_not_open(
    database: Database, connections: Connections, workspace_id: WorkspaceId, stored: StoredConnection
) -> None:
    other = await connections.create(workspace_id, DESTINATION, "http", DRAFT)
    await database.execute(
        "UPDATE connections SET secrets = (SELECT secrets FROM connections WHERE id = $1) WHERE id = $2",
        other.id,
        stored.id,
    )

    with pytest.raises(Invalid):
        await connections.open_settings(stored.id)


async def test_update_keeps_the_secrets_that_it_says(
    connections: Connections, workspace_id: WorkspaceId, stored: StoredConnection
) -> None:
    settings = {"url": "https://new", "auth": {"token": "***", "other": "***"}}
    draft = ConnectionDraft("new", settings, {"/auth/other": "second"}, kept=("/auth/token",))

    updated = await connections.update(workspace_id, DESTINATION, stored.id, draft)

    _, opened = await connections.open_settings(stored.id)
    assert (updated.name, updated.requests_per_s) == ("new", None)
    assert updated.updated_at > stored.updated_at
    assert opened == {"url": "https://new", "auth": {"token": "canary", "other": "second"}}


async def test_update_drops_the_secrets_that_it_does_not_keep(
    connections: Connections, workspace_id: WorkspaceId, stored: StoredConnection
) -> None:
    await connections.update(
        workspace_id, DESTINATION, stored.id, ConnectionDraft("new", {"auth": {"token": "***"}}, {})
    )

    _, opened = await connections.open_settings(stored.id)
    assert opened == {"auth": {"token": "***"}}


async def test_test_is_remembered_until_the_next_change(
    connections: Connections, workspace_id: WorkspaceId, stored: StoredConnection
) -> None:
    await connections.note_check(stored.id, "CREDENTIALS_REFUSED")
    tested = await connections.get(workspace_id, stored.id)
    changed = await connections.update(workspace_id, DESTINATION, stored.id, DRAFT)

    assert (stored.checked_at, tested.check_code) == (None, "CREDENTIALS_REFUSED")
    assert tested.checked_at is not None
    assert (changed.checked_at, changed.check_code) == (None, None)


async def test_list_is_of_one_kind_and_oldest_first(
    connections: Connections, workspace_id: WorkspaceId, stored: StoredConnection
) -> None:
    await connections.create(workspace_id, SOURCE, "postgres", DRAFT)
    second = await connections.create(workspace_id, DESTINATION, "postgres", DRAFT)

    listed = await connections.list(workspace_id, DESTINATION)
    behind = await connections.list(workspace_id, DESTINATION, after=(stored.created_at, stored.id))
    of_http = await connections.list(workspace_id, DESTINATION, connector="http")

    assert (listed, behind, of_http) == ([stored, second], [second], [stored])


async def test_connection_of_another_workspace_is_not_found(
    database: Database, connections: Connections, stored: StoredConnection
) -> None:
    other = (await Workspaces(database).create("other")).id

    with pytest.raises(NotFound):
        await connections.get(other, stored.id)
    with pytest.raises(NotFound):
        await connections.update(other, DESTINATION, stored.id, DRAFT)
    with pytest.raises(NotFound):
        await connections.delete(other, DESTINATION, stored.id)
    assert await connections.list(other, DESTINATION) == []


async def test_connection_of_the_other_kind_is_not_found(
    connections: Connections, workspace_id: WorkspaceId, stored: StoredConnection
) -> None:
    with pytest.raises(NotFound):
        await connections.get(workspace_id, stored.id, kind=SOURCE)
    with pytest.raises(NotFound):
        await connections.delete(workspace_id, SOURCE, stored.id)


async def test_deleted_connection_and_its_secrets_are_gone(
    database: Database, connections: Connections, workspace_id: WorkspaceId, stored: StoredConnection
) -> None:
    await connections.delete(workspace_id, DESTINATION, stored.id)

    with pytest.raises(NotFound):
        await connections.open_settings(stored.id)
    assert await database.fetchval("SELECT secrets FROM connections") == b""


class TestInUse:
    @pytest_asyncio.fixture
    async def source(self, connections: Connections, workspace_id: WorkspaceId) -> StoredConnection:
        return await connections.create(workspace_id, SOURCE, "postgres", DRAFT)

    @pytest.fixture
    def new_sync(self, workspace_id: WorkspaceId, source: StoredConnection, stored: StoredConnection) -> NewSync:
        mappings = (FieldMapping(source="id", destination="id", key=True),)
        definition = SyncDefinition(
            source_id=source.id,
            source_query="SELECT 1 AS id",
            destination_id=stored.id,
            object_name="o",
            field_mappings=mappings,
            sync_mode=SyncMode.UPSERT,
        )
        return NewSync(workspace_id, "s", definition, ManualSchedule())

    async def test_neither_end_of_a_sync_can_be_deleted_before_it(
        self, database: Database, connections: Connections, workspace_id: WorkspaceId, new_sync: NewSync
    ) -> None:
        sync = await Syncs(database).create(new_sync)

        with pytest.raises(Conflict) as of_source:
            await connections.delete(workspace_id, SOURCE, new_sync.definition.source_id)
        with pytest.raises(Conflict) as of_destination:
            await connections.delete(workspace_id, DESTINATION, new_sync.definition.destination_id)

        assert of_source.value.existing_id == of_destination.value.existing_id == sync.id

    async def test_both_can_be_deleted_after_it(
        self, database: Database, connections: Connections, workspace_id: WorkspaceId, new_sync: NewSync
    ) -> None:
        sync = await Syncs(database).create(new_sync)
        async with database.transaction() as connection:
            await Syncs(database).delete(connection, workspace_id, sync.id)

        await connections.delete(workspace_id, SOURCE, new_sync.definition.source_id)
        await connections.delete(workspace_id, DESTINATION, new_sync.definition.destination_id)

        assert await connections.list(workspace_id, DESTINATION) == []

    async def test_delete_waits_for_a_sync_in_the_making_and_sees_it(
        self, database: Database, connections: Connections, workspace_id: WorkspaceId, new_sync: NewSync
    ) -> None:
        source_id = new_sync.definition.source_id
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks, database.transaction() as connection:
            await connection.execute("LOCK TABLE sync_versions IN ACCESS EXCLUSIVE MODE")
            making = tasks.create_task(Syncs(database).create(new_sync))
            await eventually(lambda: database.fetchval(_WAITING), 1)
            deleting = tasks.create_task(_refusal(connections.delete(workspace_id, SOURCE, source_id)))
            await eventually(lambda: database.fetchval(_WAITING), 2)

        assert deleting.result() == making.result().id


async def _refusal(deleting: Awaitable[object]) -> str | None:
    """The id of the sync that stands in the way."""
    try:
        await deleting
    except Conflict as conflict:
        return conflict.existing_id
    return None

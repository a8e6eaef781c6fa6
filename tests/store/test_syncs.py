"""Syncs, their versions and their next ticks."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tailrace.core.errors import NotFound
from tailrace.core.ids import WorkspaceId
from tailrace.core.syncs import (
    CronSchedule,
    FieldMapping,
    IntervalSchedule,
    ManualSchedule,
    SyncDefinition,
    SyncMode,
)
from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox
from tailrace.store.syncs import NewSync, Sync, SyncChange, SyncFilter, Syncs
from tailrace.store.workspaces import Workspaces

HOURLY = CronSchedule(type="cron", expression="0 * * * *")
DRAFT = ConnectionDraft("c", {}, {})


@pytest.fixture
def syncs(database: Database) -> Syncs:
    return Syncs(database)


@pytest_asyncio.fixture
async def workspace_id(database: Database) -> WorkspaceId:
    return (await Workspaces(database).create("w")).id


@pytest_asyncio.fixture
async def definition(database: Database, workspace_id: WorkspaceId) -> SyncDefinition:
    connections = Connections(database, SecretBox([os.urandom(32)]))
    source = await connections.create(workspace_id, ConnectionKind.SOURCE, "postgres", DRAFT)
    destination = await connections.create(workspace_id, ConnectionKind.DESTINATION, "http", DRAFT)
    return SyncDefinition(
        source_id=source.id,
        source_query="SELECT 1 AS id",
        destination_id=destination.id,
        object_name="Account",
        field_mappings=(
            FieldMapping(source="id", destination="Id", key=True),
            FieldMapping(value=7, destination="Seven"),
        ),
        sync_mode=SyncMode.UPSERT,
    )


@pytest.fixture
def new(workspace_id: WorkspaceId, definition: SyncDefinition) -> NewSync:
    return NewSync(workspace_id, "accounts", definition, HOURLY)


@pytest_asyncio.fixture
async def sync(syncs: Syncs, new: NewSync) -> Sync:
    return await syncs.create(new)


async def test_sync_can_be_read_back(syncs: Syncs, sync: Sync, new: NewSync) -> None:
    assert await syncs.get(new.workspace_id, sync.id) == sync
    assert (sync.definition, sync.schedule, sync.version, sync.enabled) == (new.definition, HOURLY, 1, True)


async def test_first_tick_is_set_by_the_schedule(sync: Sync) -> None:
    assert sync.next_run_at is not None
    assert timedelta(0) < sync.next_run_at - datetime.now(UTC) <= timedelta(hours=1, minutes=1)
    assert (sync.next_run_at.minute, sync.next_run_at.second) == (0, 0)


@pytest.mark.parametrize("change", [{"schedule": ManualSchedule()}, {"enabled": False}], ids=["manual", "paused"])
async def test_manual_and_paused_syncs_have_no_tick(syncs: Syncs, new: NewSync, change: dict[str, object]) -> None:
    sync = await syncs.create(replace(new, **change))  # type: ignore[arg-type]  # what the case changes

    assert sync.next_run_at is None


async def test_new_definition_is_a_new_version_and_the_old_one_stays(
    syncs: Syncs, sync: Sync, workspace_id: WorkspaceId
) -> None:
    changed = sync.definition.model_copy(update={"source_query": "SELECT 2 AS id"})

    updated = await syncs.update(workspace_id, sync.id, SyncChange(definition=changed))

    assert (updated.version, updated.definition) == (2, changed)
    assert updated.updated_at > sync.updated_at
    assert await syncs.definition(sync.id, 1) == sync.definition
    assert await syncs.definition(sync.id, 2) == changed


@pytest.mark.parametrize(
    "change", [SyncChange(name="renamed"), SyncChange(schedule=ManualSchedule()), SyncChange(enabled=False)], ids=repr
)
async def test_other_changes_make_no_version(
    syncs: Syncs, sync: Sync, workspace_id: WorkspaceId, change: SyncChange
) -> None:
    assert (await syncs.update(workspace_id, sync.id, change)).version == 1


async def test_same_definition_makes_no_version(syncs: Syncs, sync: Sync, workspace_id: WorkspaceId) -> None:
    updated = await syncs.update(workspace_id, sync.id, SyncChange(definition=sync.definition))

    assert updated.version == 1


async def test_tick_moves_only_with_schedule_and_pause(syncs: Syncs, sync: Sync, workspace_id: WorkspaceId) -> None:
    renamed = await syncs.update(workspace_id, sync.id, SyncChange(name="renamed", schedule=HOURLY))
    faster = await syncs.update(
        workspace_id, sync.id, SyncChange(schedule=IntervalSchedule(type="interval", every_minutes=5))
    )
    paused = await syncs.update(workspace_id, sync.id, SyncChange(enabled=False))
    resumed = await syncs.update(workspace_id, sync.id, SyncChange(enabled=True))

    assert renamed.next_run_at == sync.next_run_at
    assert paused.next_run_at is None
    assert faster.next_run_at is not None
    assert resumed.next_run_at is not None
    assert resumed.next_run_at > faster.next_run_at


async def test_list_is_oldest_first_and_can_be_restricted(syncs: Syncs, sync: Sync, new: NewSync) -> None:
    paused = await syncs.create(replace(new, enabled=False))

    everything = await syncs.list(new.workspace_id)
    behind = await syncs.list(new.workspace_id, after=(sync.created_at, sync.id))
    enabled = await syncs.list(new.workspace_id, SyncFilter(enabled=True))
    to_none = await syncs.list(new.workspace_id, SyncFilter(destination_id="conn_x"))

    assert (everything, behind, enabled, to_none) == ([sync, paused], [paused], [sync], [])


async def test_deleted_sync_is_hidden_and_its_versions_stay(
    database: Database, syncs: Syncs, sync: Sync, workspace_id: WorkspaceId
) -> None:
    async with database.transaction() as connection:
        await syncs.delete(connection, workspace_id, sync.id)
        with pytest.raises(NotFound):
            await syncs.delete(connection, workspace_id, sync.id)

    with pytest.raises(NotFound):
        await syncs.get(workspace_id, sync.id)
    assert await syncs.list(workspace_id) == []
    assert await syncs.definition(sync.id, 1) == sync.definition
    assert await database.fetchval("SELECT next_run_at FROM syncs") is None
    await syncs.require_known(workspace_id, sync.id)


async def test_sync_of_another_workspace_is_not_found(database: Database, syncs: Syncs, sync: Sync) -> None:
    other = (await Workspaces(database).create("other")).id

    with pytest.raises(NotFound):
        await syncs.get(other, sync.id)
    with pytest.raises(NotFound):
        await syncs.update(other, sync.id, SyncChange(name="theirs"))
    async with database.transaction() as connection:
        with pytest.raises(NotFound):
            await syncs.delete(connection, other, sync.id)
    with pytest.raises(NotFound):
        await syncs.require_known(other, sync.id)


@pytest.mark.parametrize("field", ["source_id", "destination_id"])
async def test_connections_must_be_of_the_workspace_and_of_the_right_kind(
    syncs: Syncs, new: NewSync, field: str
) -> None:
    swapped = {"source_id": new.definition.destination_id, "destination_id": new.definition.source_id}
    definition = new.definition.model_copy(update={field: swapped[field]})

    with pytest.raises(NotFound):
        await syncs.create(replace(new, definition=definition))

    assert await syncs.list(new.workspace_id) == []


async def test_unknown_version_is_not_found(syncs: Syncs, sync: Sync) -> None:
    with pytest.raises(NotFound):
        await syncs.definition(sync.id, 2)

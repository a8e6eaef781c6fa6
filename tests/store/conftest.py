"""A database with a sync in it, and what an executor needs of the store."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest_asyncio

from tailrace.core.ids import ConnectionId, RunId, SyncId, WorkspaceId, new_connection_id, new_run_id, new_sync_id
from tailrace.core.outgoing import OutgoingEvent, new_event_id
from tailrace.core.runs import RunKind, RunTrigger
from tailrace.core.settlements import Rejections, Settlement
from tailrace.core.snapshots import Entry
from tailrace.store.checkpoints import Announce, Checkpoints, Place
from tailrace.store.database import Database
from tailrace.store.runs import NewRun, Runs
from tailrace.store.snapshots import settled, settling

A_WORKSPACE = WorkspaceId("ws_a")
AN_EVENT_TYPE = "tailrace.run.queued.v1"

_ADD_WORKSPACE = "INSERT INTO workspaces (id, name) VALUES ($1, 'a')"
_ADD_CONNECTION = """
INSERT INTO connections (id, workspace_id, kind, name, connector, settings, secrets)
VALUES ($1, $2, 'destination', 'crm', 'http', '{}', '')
"""
_ADD_SYNC = """
INSERT INTO syncs (id, workspace_id, name, destination_id, definition, schedule)
VALUES ($1, $2, 'customers', $3, '{}', '{"type": "manual"}')
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A sync that runs can be started for."""

    database: Database
    sync_id: SyncId

    async def start_run(self) -> RunId:
        """Queue a run of the sync."""
        run_id = new_run_id()
        new = NewRun(run_id, A_WORKSPACE, self.sync_id, RunKind.INCREMENTAL, RunTrigger.API, "a test")
        async with self.database.transaction() as connection:
            await Runs(self.database).start(connection, new, an_event(self.sync_id))
        return run_id


def an_event(key: str) -> OutgoingEvent:
    """Some event on its way out."""
    return OutgoingEvent(AN_EVENT_TYPE, key, b"{}", new_event_id())


async def write(
    checkpoints: Checkpoints, place: Place, settlement: Settlement, announce: Announce = lambda _seq, _letters: []
) -> Rejections | None:
    """Write a settlement as a checkpoint; gives what others have sent."""
    return await checkpoints.commit(place, checkpoints.prepare(place.origin, settlement), announce)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on a database with our schema."""
    async with Database.open(database_url, application_name="test") as opened:
        yield opened


@pytest_asyncio.fixture
async def stage(database: Database) -> Stage:
    """A workspace with one sync."""
    connection_id: ConnectionId = new_connection_id()
    sync_id = new_sync_id()
    await database.execute(_ADD_WORKSPACE, A_WORKSPACE)
    await database.execute(_ADD_CONNECTION, connection_id, A_WORKSPACE)
    await database.execute(_ADD_SYNC, sync_id, A_WORKSPACE, connection_id)
    return Stage(database, sync_id)


async def add_settled(database: Database, sync_id: SyncId, entries: Sequence[Entry]) -> None:
    """Append entries in key order, as a checkpoint does."""
    await database.execute(settling("(SELECT) AS always", first=1), *settled(sync_id, entries))

"""Executors on a real store, reading a real warehouse, writing to a service on loopback."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr

from tailrace.bus.memory import MemoryBus
from tailrace.core.clock import SystemClock
from tailrace.core.ids import RunId, new_run_id
from tailrace.core.runs import RunKind, RunTrigger
from tailrace.core.syncs import FieldMapping, ManualSchedule, SyncDefinition, SyncMode
from tailrace.events.models import RunQueued
from tailrace.events.outgoing import outgoing
from tailrace.runtime.health import Health
from tailrace.runtime.service import Chassis
from tailrace.runtime.settings import Settings
from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections
from tailrace.store.database import Database
from tailrace.store.runs import NewRun, Run, Runs
from tailrace.store.secrets import SecretBox
from tailrace.store.syncs import NewSync, Sync, SyncChange, Syncs
from tailrace.store.workspaces import Workspaces
from tailrace.testing.eventually import eventually
from tailrace_executor.__main__ import serve
from tests.executor.sink import Sink, open_sink

QUERY = "SELECT id, email FROM people"
PATIENCE_S = 30.0

A_KEY = base64.b64encode(os.urandom(32)).decode()


@dataclass(frozen=True, slots=True)
class Yard:
    """A sync of people, its warehouse and its sink; runs are started here and worked on by `executor`s."""

    chassis: Chassis
    warehouse: "asyncpg.Connection[asyncpg.Record]"
    sink: Sink
    sync: Sync

    async def add_people(self, first: int, last: int) -> None:
        """Rows with these ids, both included."""
        await self.warehouse.execute(
            "INSERT INTO people SELECT n, 'p' || n || '@example.com' FROM generate_series($1::int, $2::int) AS n",
            first,
            last,
        )

    async def start(self, kind: RunKind = RunKind.INCREMENTAL) -> RunId:
        """Queue a run."""
        run_id = new_run_id()
        sync = self.sync
        new = NewRun(run_id, sync.workspace_id, sync.id, kind, RunTrigger.API, "a test")
        queued = RunQueued(run_id=run_id, sync_id=sync.id, workspace_id=sync.workspace_id)
        async with self.chassis.database.transaction() as connection:
            await Runs(self.chassis.database).start(connection, new, outgoing(queued, key=sync.id))
        return run_id

    async def cancel(self) -> None:
        """Ask the active run to end."""
        async with self.chassis.database.transaction() as connection:
            await Runs(self.chassis.database).request_cancel(
                connection, self.sync.workspace_id, self.sync.id, requested_by="ada"
            )

    async def look(self, run_id: RunId) -> Run:
        """The run as it stands."""
        return await Runs(self.chassis.database).get(self.sync.workspace_id, run_id)

    async def ended(self, run_id: RunId) -> Run:
        """The run once it has ended."""

        async def has_ended() -> bool:
            return (await self.look(run_id)).status.is_terminal

        await eventually(has_ended, wanted=True)
        return await self.look(run_id)

    async def run(self, kind: RunKind = RunKind.INCREMENTAL) -> Run:
        """A run from its start to its end, by one executor."""
        run_id = await self.start(kind)
        async with self.executor():
            return await self.ended(run_id)

    async def change_sync(self, **changes: object) -> None:
        """Change the definition of the sync for the runs to come."""
        definition = SyncDefinition.model_validate(self.sync.definition.model_dump() | changes)
        await Syncs(self.chassis.database).update(
            self.sync.workspace_id, self.sync.id, SyncChange(definition=definition)
        )

    @asynccontextmanager
    async def executor(self, **settings: float) -> AsyncIterator[asyncio.Event]:
        """An executor at work; the event it gives stops it, as leaving the scope does."""
        stopping = asyncio.Event()
        changed = self.chassis.settings.model_copy(update={"poll_s": 0.1, "checkpoint_s": 0.05} | settings)
        chassis = replace(self.chassis, stopping=stopping, settings=changed)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(chassis))
            yield stopping
            stopping.set()


@pytest_asyncio.fixture
async def chassis(database_url: str) -> AsyncIterator[Chassis]:
    """What an executor is given."""
    settings = Settings(
        database_url=SecretStr(database_url), secret_key=SecretStr(A_KEY), allow_private_destinations=True
    )
    stopping, clock = asyncio.Event(), SystemClock()
    async with Database.open(database_url, application_name="test") as database:
        yield Chassis(
            settings=settings,
            database=database,
            bus=MemoryBus(),
            box=SecretBox.from_setting(A_KEY),
            health=Health(clock=clock, stopping=stopping),
            stopping=stopping,
            clock=clock,
        )


@pytest_asyncio.fixture
async def sink() -> AsyncIterator[Sink]:
    """A service that takes rows."""
    async with open_sink() as opened:
        yield opened


@pytest_asyncio.fixture
async def warehouse(empty_database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A warehouse with an empty table of people."""
    connection = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=30)
    await connection.execute("CREATE TABLE people (id int, email text)")
    yield connection
    await connection.close(timeout=10)


@pytest_asyncio.fixture
async def yard(
    chassis: Chassis, warehouse: "asyncpg.Connection[asyncpg.Record]", sink: Sink, empty_database_url: str
) -> Yard:
    """A workspace with one sync from the warehouse to the sink."""
    workspace = await Workspaces(chassis.database).create("yard")
    connections = Connections(chassis.database, chassis.box)
    source = await connections.create(
        workspace.id,
        ConnectionKind.SOURCE,
        "postgres",
        ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": empty_database_url}),
    )
    destination = await connections.create(
        workspace.id,
        ConnectionKind.DESTINATION,
        "http",
        ConnectionDraft("sink", {"url": sink.url, "rows_per_batch": 10, "requires_results": True}, {}),
    )
    definition = SyncDefinition(
        source_id=source.id,
        source_query=QUERY,
        destination_id=destination.id,
        object_name="people",
        field_mappings=(
            FieldMapping(source="id", destination="id", key=True),
            FieldMapping(source="email", destination="email"),
        ),
        sync_mode=SyncMode.UPSERT,
    )
    sync = await Syncs(chassis.database).create(NewSync(workspace.id, "people", definition, ManualSchedule()))
    return Yard(chassis, warehouse, sink, sync)


@pytest.fixture
def letters_sql() -> str:
    """How many letters are open, by code."""
    return "SELECT error_code, count(*)::int AS letters FROM dead_letters WHERE state = 'open' GROUP BY 1 ORDER BY 1"

"""A sync from a warehouse to a sink, with runs to start and executors to work on them."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import asyncpg
from pydantic import SecretStr

from tailrace.bus.memory import MemoryBus
from tailrace.core.clock import SystemClock
from tailrace.core.ids import DeadLetterId, RunId, new_run_id
from tailrace.core.runs import RunKind, RunTrigger
from tailrace.core.syncs import FieldMapping, ManualSchedule, SyncDefinition, SyncMode
from tailrace.events.run_events import run_cancelled_in_queue, run_queued
from tailrace.runtime.health import Health
from tailrace.runtime.service import Chassis
from tailrace.runtime.settings import Settings
from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections
from tailrace.store.database import Database
from tailrace.store.replays import begin_replay
from tailrace.store.runs import CancelRequest, NewRun, Run, Runs
from tailrace.store.secrets import SecretBox
from tailrace.store.syncs import NewSync, Sync, SyncChange, Syncs
from tailrace.store.workspaces import Workspaces
from tailrace_executor.__main__ import serve

_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Yard:
    """A sync of people, its warehouse and its sink; runs are started here and worked on by `executor`s."""

    chassis: Chassis
    warehouse: "asyncpg.Connection[asyncpg.Record]"
    sync: Sync
    patience_s: float = 30.0
    look_every_s: float = _LOOK_EVERY_S

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
        async with self.chassis.database.transaction() as connection:
            await Runs(self.chassis.database).start(connection, new, run_queued(new))
        return run_id

    async def cancel(self) -> None:
        """Ask the active run to end."""
        async with self.chassis.database.transaction() as connection:
            request = CancelRequest(self.sync.workspace_id, self.sync.id, "ada")
            await Runs(self.chassis.database).request_cancel(connection, request, run_cancelled_in_queue)

    async def look(self, run_id: RunId) -> Run:
        """The run as it stands."""
        return await Runs(self.chassis.database).get(self.sync.workspace_id, run_id)

    async def ended(self, run_id: RunId) -> Run:
        """The run once it has ended."""
        async with asyncio.timeout(self.patience_s):
            while True:
                run = await self.look(run_id)
                if run.status.is_terminal:
                    return run
                await asyncio.sleep(self.look_every_s)

    async def until(self, look: Callable[[], Awaitable[bool]]) -> None:
        """Return once the look tells yes."""
        async with asyncio.timeout(self.patience_s):
            while not await look():  # noqa: ASYNC110 - another process, or the store, decides
                await asyncio.sleep(self.look_every_s)

    async def run(self, kind: RunKind = RunKind.INCREMENTAL) -> Run:
        """A run from its start to its end, by one executor."""
        run_id = await self.start(kind)
        async with self.executor():
            return await self.ended(run_id)

    async def replay(self) -> Run:
        """A replay of all letters that are open."""
        run_id = await self.start(RunKind.REPLAY)
        async with self.chassis.database.transaction() as connection:
            letters = await connection.fetch("SELECT id FROM dead_letters WHERE state = 'open'")
            await begin_replay(connection, [DeadLetterId(row["id"]) for row in letters], run_id)
        async with self.executor():
            return await self.ended(run_id)

    async def change_sync(self, **changes: object) -> None:
        """Change the definition of the sync for the runs to come."""
        definition = SyncDefinition.model_validate(self.sync.definition.model_dump() | changes)
        await Syncs(self.chassis.database).update(
            self.sync.workspace_id, self.sync.id, SyncChange(definition=definition)
        )

    @asynccontextmanager
    async def executor(self, **settings: float | str) -> AsyncIterator[asyncio.Event]:
        """An executor at work; the event it gives stops it, as leaving the scope does."""
        stopping = asyncio.Event()
        changed = self.chassis.settings.model_copy(update={"poll_s": 0.1, "checkpoint_s": 0.05} | settings)
        chassis = replace(self.chassis, stopping=stopping, settings=changed)
        async with asyncio.timeout(self.patience_s), asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(chassis))
            yield stopping
            stopping.set()


@asynccontextmanager
async def open_chassis(database_url: str) -> AsyncIterator[Chassis]:
    """What an executor is given."""
    key = base64.b64encode(os.urandom(32)).decode()
    settings = Settings(
        database_url=SecretStr(database_url), secret_key=SecretStr(key), allow_private_destinations=True
    )
    stopping, clock = asyncio.Event(), SystemClock()
    async with Database.open(database_url, application_name="test") as database:
        yield Chassis(
            settings=settings,
            database=database,
            bus=MemoryBus(),
            box=SecretBox.from_setting(key),
            health=Health(clock=clock, stopping=stopping),
            stopping=stopping,
            clock=clock,
        )


async def make_sync(
    chassis: Chassis,
    source: ConnectionDraft,
    sink: ConnectionDraft,
    definition: SyncDefinition,
    connectors: tuple[str, str] = ("postgres", "http"),
) -> Sync:
    """A sync of a new workspace between two kinds of connectors; the ids in the definition are put in."""
    workspace = await Workspaces(chassis.database).create("yard")
    connections = Connections(chassis.database, chassis.box)
    warehouse = await connections.create(workspace.id, ConnectionKind.SOURCE, connectors[0], source)
    destination = await connections.create(workspace.id, ConnectionKind.DESTINATION, connectors[1], sink)
    whole = definition.model_copy(update={"source_id": warehouse.id, "destination_id": destination.id})
    return await Syncs(chassis.database).create(NewSync(workspace.id, "people", whole, ManualSchedule()))


def definition_of(query: str, columns: tuple[str, ...]) -> SyncDefinition:
    """An upsert of columns under their own names, by the first one; the ids are still missing."""
    return SyncDefinition(
        source_id="",
        source_query=query,
        destination_id="",
        object_name="people",
        field_mappings=tuple(FieldMapping(source=name, destination=name, key=name == columns[0]) for name in columns),
        sync_mode=SyncMode.UPSERT,
    )

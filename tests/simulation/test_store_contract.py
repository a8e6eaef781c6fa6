"""The store in memory and PostgreSQL keep the same contract, so that what a simulation shows holds for both."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson
import pytest_asyncio

from tailrace.core.clock import SystemClock
from tailrace.core.ids import RunId, SyncId, new_run_id
from tailrace.core.rows import RowKey
from tailrace.core.runs import RunKind, RunName, RunStatus, RunTrigger
from tailrace.core.syncs import ManualSchedule, SyncDefinition
from tailrace.events.run_events import run_cancelled_in_queue, run_queued
from tailrace.store.abandoned import AbandonedRuns
from tailrace.store.checkpoints import Checkpoints
from tailrace.store.database import Database
from tailrace.store.dead_letters import DeadLetters
from tailrace.store.limits import SharedLimits
from tailrace.store.replays import begin_replay
from tailrace.store.runs import CancelRequest, NewRun, Runs
from tailrace.store.secrets import SecretBox
from tailrace.store.shards import Shards
from tailrace.store.shared_runs import SharedRuns
from tailrace.store.snapshots import Snapshots
from tailrace.store.standings import Standings
from tests.simulation import ports, shared_runs
from tests.simulation.contract import Stage, definition
from tests.simulation.ledger_contract import LedgerContract
from tests.simulation.run_contract import RunContract
from tests.simulation.sharing_contract import SharingContract
from tests.simulation.store import WORKSPACE, MemoryStore
from tests.simulation.tables import SyncRecord

_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
_ADD_WORKSPACE = "INSERT INTO workspaces (id, name) VALUES ($1, 'a')"
_ADD_CONNECTION = """
INSERT INTO connections (id, workspace_id, kind, name, connector, settings, secrets)
VALUES ('conn_destination', $1, 'destination', 'crm', 'http', '{}', '')
"""
_ADD_SYNC = """
INSERT INTO syncs (id, workspace_id, name, destination_id, version, definition, schedule)
VALUES ($1, $2, 'people', 'conn_destination', 0, '{}', '{"type": "manual"}')
"""
_CHANGE = """
WITH changed AS (UPDATE syncs SET version = version + 1 WHERE id = $1 RETURNING id, version)
INSERT INTO sync_versions (sync_id, version, definition) SELECT id, version, $2 FROM changed
"""
_RESOLVE = """
UPDATE dead_letters SET state = 'resolved', resolution = $1, resolved_at = clock_timestamp() WHERE state = 'open'
"""
SYNC = SyncId("retl_sync_contract")


@dataclass(slots=True)
class MemoryStage:
    store: MemoryStore
    sync_id: SyncId = SYNC
    shards: Shards = field(init=False)
    checkpoints: Checkpoints = field(init=False)
    snapshots: Snapshots = field(init=False)
    dead_letters: DeadLetters = field(init=False)
    limits: SharedLimits = field(init=False)
    abandoned: AbandonedRuns = field(init=False)
    shared_runs: SharedRuns = field(init=False)
    sharing: set[RunId] = field(default_factory=set)

    def __post_init__(self) -> None:
        parts = (self.store, at_once)
        self.store.tables.syncs[SYNC] = SyncRecord(SYNC, {0: definition("people")}, ManualSchedule())
        self.shards, self.shared_runs = ports.MemoryShards(*parts, self.sharing), ports.MemorySharedRuns(*parts)
        self.checkpoints = ports.MemoryCheckpoints(*parts)
        self.snapshots, self.dead_letters = ports.MemorySnapshots(*parts), ports.MemoryDeadLetters(*parts)
        self.limits, self.abandoned = ports.MemoryLimits(*parts), ports.MemoryAbandoned(*parts)

    async def start(self, kind: RunKind = RunKind.INCREMENTAL) -> RunId:
        run_id = new_run_id()
        self.store.start(run_id, SYNC, kind, run_queued(RunName(run_id, SYNC, WORKSPACE)))
        return run_id

    async def cancel(self) -> None:
        self.store.cancel(SYNC, run_cancelled_in_queue)

    async def replay(self) -> RunId:
        run_id = await self.start(RunKind.REPLAY)
        self.store.begin_replay(run_id, [letter for letter in self.store.tables.letters if letter.is_open])
        return run_id

    async def resolve(self, reason: str) -> None:
        for letter in self.store.tables.letters:
            self.store.resolve(letter, reason)

    async def change(self, changed: SyncDefinition) -> None:
        sync = self.store.tables.syncs[SYNC]
        sync.versions[sync.version + 1] = changed

    async def status(self, run_id: RunId) -> RunStatus:
        return self.store.tables.runs[run_id].status

    async def passed(self, run_id: RunId, key: RowKey) -> bool | None:
        return shared_runs.passed(self.store, run_id, key)

    async def told(self) -> Sequence[str]:
        return [told.event.type for told in self.store.tables.outbox]


@dataclass(slots=True)
class PostgresStage:
    database: Database
    sync_id: SyncId = SYNC
    shards: Shards = field(init=False)
    checkpoints: Checkpoints = field(init=False)
    snapshots: Snapshots = field(init=False)
    dead_letters: DeadLetters = field(init=False)
    limits: SharedLimits = field(init=False)
    abandoned: AbandonedRuns = field(init=False)
    shared_runs: SharedRuns = field(init=False)
    sharing: set[RunId] = field(default_factory=set)

    def __post_init__(self) -> None:
        database, box = self.database, SecretBox.from_setting(_KEY)
        self.shards, self.shared_runs = Shards(database, sharing=self.sharing), SharedRuns(database)
        self.checkpoints = Checkpoints(database, box)
        self.snapshots, self.dead_letters = Snapshots(database), DeadLetters(database, box)
        self.limits, self.abandoned = SharedLimits(database), AbandonedRuns(database)

    async def start(self, kind: RunKind = RunKind.INCREMENTAL) -> RunId:
        new = NewRun(new_run_id(), WORKSPACE, SYNC, kind, RunTrigger.API, "a test")
        async with self.database.transaction() as connection:
            await Runs(self.database).start(connection, new, run_queued(new))
        return new.run_id

    async def cancel(self) -> None:
        request = CancelRequest(WORKSPACE, SYNC, "ada")
        async with self.database.transaction() as connection:
            await Runs(self.database).request_cancel(connection, request, run_cancelled_in_queue)

    async def replay(self) -> RunId:
        run_id = await self.start(RunKind.REPLAY)
        letters = await self.database.fetch("SELECT id FROM dead_letters WHERE state = 'open'")
        async with self.database.transaction() as connection:
            await begin_replay(connection, [row["id"] for row in letters], run_id)
        return run_id

    async def resolve(self, reason: str) -> None:
        await self.database.execute(_RESOLVE, reason)

    async def change(self, changed: SyncDefinition) -> None:
        await self.database.execute(_CHANGE, SYNC, orjson.loads(changed.model_dump_json()))

    async def status(self, run_id: RunId) -> RunStatus:
        return RunStatus(await self.database.fetchval("SELECT status FROM runs WHERE id = $1", run_id))

    async def passed(self, run_id: RunId, key: RowKey) -> bool | None:
        run = await Runs(self.database).get(WORKSPACE, run_id)
        return await Standings(self.database).passed(run, key)

    async def told(self) -> Sequence[str]:
        return [row["topic"] for row in await self.database.fetch("SELECT topic FROM outbox ORDER BY id")]


async def at_once(transaction: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the transaction gives
    """A road without delays or faults."""
    return transaction()


class TestMemoryStore(RunContract, LedgerContract, SharingContract):
    @pytest_asyncio.fixture
    async def stage(self) -> Stage:
        return MemoryStage(MemoryStore(SystemClock().now, uuid4))


class TestPostgresStore(RunContract, LedgerContract, SharingContract):
    @pytest_asyncio.fixture
    async def stage(self, database_url: str) -> AsyncIterator[Stage]:
        async with Database.open(database_url, application_name="test") as database:
            await database.execute(_ADD_WORKSPACE, WORKSPACE)
            await database.execute(_ADD_CONNECTION, WORKSPACE)
            await database.execute(_ADD_SYNC, SYNC, WORKSPACE)
            yield PostgresStage(database)

"""Many small syncs from one source to one sink, where the number of runs matters and not their rows."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tailrace.core.ids import RunId, SyncId, new_run_id
from tailrace.core.runs import RunKind, RunTrigger
from tailrace.core.syncs import ManualSchedule, Schedule, SyncMode
from tailrace.events.run_events import run_queued
from tailrace.store.runs import NewRun, Runs
from tailrace.store.syncs import NewSync, Syncs
from tests.faults.ground import Ground
from tests.faults.trial import Trial, open_trial
from tests.fixtures.postgres import PostgresServer

ROWS_EACH = 20


@dataclass(frozen=True, slots=True)
class Crowd:
    """Syncs of one workspace, each with the same few rows."""

    trial: Trial
    ids: Sequence[SyncId]

    async def start(self) -> list[RunId]:
        """Queue a run of each, all in one transaction."""
        database, workspace_id = self.trial.ground.chassis.database, self.trial.yard.sync.workspace_id
        news = [
            NewRun(new_run_id(), workspace_id, sync_id, RunKind.FULL, RunTrigger.API, "a test") for sync_id in self.ids
        ]
        async with database.transaction() as connection:
            for new in news:
                await Runs(database).start(connection, new, run_queued(new))
        return [new.run_id for new in news]


@asynccontextmanager
async def open_crowd(
    server: PostgresServer, ground: Ground, size: int, *, schedule: Schedule | None = None
) -> AsyncIterator[Crowd]:
    """So many syncs; with a schedule, all of them have it."""
    async with open_trial(server, ground, SyncMode.UPSERT) as trial:
        sync, syncs = trial.yard.sync, Syncs(ground.chassis.database)
        query = f"{sync.definition.source_query} WHERE id <= {ROWS_EACH}"
        definition = sync.definition.model_copy(update={"source_query": query})
        made = [
            await syncs.create(NewSync(sync.workspace_id, f"crowd {number}", definition, schedule or ManualSchedule()))
            for number in range(size)
        ]
        yield Crowd(trial, [one.id for one in made])

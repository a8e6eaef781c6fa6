"""Schedules: each tick of a sync is recorded once, by whichever scheduler comes first, and starts one run at most."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from tailrace.core.due import Due, TickOutcome, ticks_due
from tailrace.core.errors import Invalid
from tailrace.core.ids import RunId, SyncId, WorkspaceId, new_run_id
from tailrace.core.runs import RunKind, RunTrigger
from tailrace.core.syncs import CronSchedule, IntervalSchedule, ManualSchedule, Schedule
from tailrace.observe.failpoints import failpoint
from tailrace.store.database import Connection, Database, Record
from tailrace.store.runs import AnnounceRun, NewRun, Runs

REQUESTED_BY = "schedule"
KEPT_DAYS = 90
"""How long it is remembered what became of a tick."""

_PRUNED_AT_ONCE = 5000
_PRUNED_PER_SYNC = 500
_SCHEDULE: TypeAdapter[ManualSchedule | IntervalSchedule | CronSchedule] = TypeAdapter(Schedule)

_NOW = "SELECT clock_timestamp()"
_DUE = """
SELECT id FROM syncs
WHERE next_run_at <= clock_timestamp() AND enabled AND deleted_at IS NULL AND NOT id = ANY ($1::text[])
ORDER BY next_run_at LIMIT $2
"""
# NO KEY: what refers to a sync may be written meanwhile.
_TAKE = """
SELECT id, workspace_id, schedule, next_run_at, clock_timestamp() AS now FROM syncs
WHERE id = ANY ($1::text[]) AND next_run_at <= clock_timestamp() AND enabled AND deleted_at IS NULL
ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
"""
_RECORD = """
INSERT INTO schedule_ticks (sync_id, scheduled_for, outcome)
SELECT sync_id, tick, outcome FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS told (sync_id, tick, outcome)
ON CONFLICT (sync_id, scheduled_for) DO NOTHING RETURNING sync_id, outcome
"""
_CONCLUDE = """
UPDATE schedule_ticks AS ticks SET run_id = told.run_id, outcome = told.outcome
FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[]) AS told (sync_id, tick, run_id, outcome)
WHERE ticks.sync_id = told.sync_id AND ticks.scheduled_for = told.tick
"""
_MOVE_ON = """
UPDATE syncs SET next_run_at = told.next_run_at
FROM unnest($1::text[], $2::timestamptz[]) AS told (id, next_run_at) WHERE syncs.id = told.id
"""
# Sync by sync, so that the primary key finds them.
_PRUNE = """
DELETE FROM schedule_ticks WHERE (sync_id, scheduled_for) IN (
  SELECT old.sync_id, old.scheduled_for FROM syncs CROSS JOIN LATERAL (
    SELECT sync_id, scheduled_for FROM schedule_ticks
    WHERE sync_id = syncs.id AND scheduled_for < clock_timestamp() - make_interval(days => $1)
    ORDER BY scheduled_for LIMIT $2) AS old
  LIMIT $3)
"""


@dataclass(frozen=True, slots=True)
class Fired:
    """What was done about a sync. `lag_s` is how late its newest tick was, None if that was too old to start."""

    sync_id: SyncId
    outcomes: Mapping[TickOutcome, int]
    run_id: RunId | None
    lag_s: float | None


class Schedules:
    """The schedules of all workspaces, for any number of schedulers at once."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._database = database
        self._runs = runs

    async def now(self) -> datetime:
        """The clock that decides what is due."""
        now: datetime = await self._database.fetchval(_NOW)
        return now

    async def due(self, *, without: Collection[SyncId], limit: int) -> Sequence[SyncId]:
        """Syncs that have waited longest for their tick."""
        rows = await self._database.fetch(_DUE, list(without), limit)
        return [SyncId(row["id"]) for row in rows]

    async def fire(self, sync_ids: Sequence[SyncId], announce: AnnounceRun) -> list[Fired]:
        """Record the ticks of syncs that have come, start their runs, set the next: all in one transaction, or nothing.

        Leaves out those that are not due any more, or that another scheduler has at hand. After a long silence there
        may be more to do.

        :raises Invalid: `SCHEDULE_UNREADABLE`: this release cannot read one of the schedules; names its sync.
        """
        async with self._database.transaction() as connection:
            taken = [await _weigh(row) for row in await connection.fetch(_TAKE, list(sync_ids))]
            if not taken:
                return []
            await _record(connection, taken)
            failpoint("sched.after_tick_insert")
            await self._start(connection, [sync for sync in taken if sync.starts], announce)
            failpoint("sched.after_run_insert")
            await connection.execute(_MOVE_ON, [sync.id for sync in taken], [sync.due.next_run_at for sync in taken])
        failpoint("sched.after_commit")
        return [Fired(sync.id, sync.outcomes, sync.run_id, sync.lag_s) for sync in taken]

    async def prune(self) -> int:
        """Forget ticks older than `KEPT_DAYS`, a bounded number a call; gives how many."""
        return await self._database.execute(_PRUNE, KEPT_DAYS, _PRUNED_PER_SYNC, _PRUNED_AT_ONCE)

    async def _start(self, connection: Connection, taken: Sequence["_Taken"], announce: AnnounceRun) -> None:
        if not taken:
            return
        new = {sync.id: _new_run(sync) for sync in taken}
        started = await self._runs.start_all(connection, list(new.values()), announce)
        for sync in taken:
            sync.conclude(new[sync.id].run_id if new[sync.id].run_id in started else None)
        await connection.execute(
            _CONCLUDE,
            [sync.id for sync in taken],
            [sync.due.start for sync in taken],
            [sync.run_id for sync in taken],
            [TickOutcome.STARTED if sync.run_id else TickOutcome.SKIPPED_OVERLAP for sync in taken],
        )


@dataclass(slots=True)
class _Taken:
    """A sync that is ours within the transaction."""

    id: SyncId
    workspace_id: WorkspaceId
    now: datetime
    due: Due
    outcomes: Counter[TickOutcome] = field(default_factory=Counter)
    run_id: RunId | None = None

    @property
    def starts(self) -> bool:
        """Whether its newest tick was not recorded before."""
        return self.outcomes[TickOutcome.STARTED] > 0

    @property
    def lag_s(self) -> float | None:
        return None if self.due.start is None else (self.now - self.due.start).total_seconds()

    def conclude(self, run_id: RunId | None) -> None:
        self.run_id = run_id
        if run_id is None:
            self.outcomes[TickOutcome.SKIPPED_OVERLAP] = self.outcomes.pop(TickOutcome.STARTED)


async def _weigh(row: Record) -> _Taken:
    # A sync with a tick a minute has many after a day of silence: other work must not wait for all syncs together.
    await asyncio.sleep(0)
    try:
        schedule = _SCHEDULE.validate_python(row["schedule"])
    except ValidationError as error:
        raise Invalid(
            f"the schedule of sync {row['id']} cannot be read: set it anew", code="SCHEDULE_UNREADABLE"
        ) from error
    due = ticks_due(schedule, row["next_run_at"], row["now"])
    return _Taken(SyncId(row["id"]), WorkspaceId(row["workspace_id"]), row["now"], due)


async def _record(connection: Connection, taken: Sequence[_Taken]) -> None:
    """Ticks that were recorded before, as after a backward jump of the clock, are not counted again."""
    told = [(sync.id, tick, outcome) for sync in taken for tick, outcome in _outcomes(sync.due)]
    if not told:
        return
    by_id = {sync.id: sync for sync in taken}
    for row in await connection.fetch(_RECORD, *(list(column) for column in zip(*told, strict=True))):
        by_id[row["sync_id"]].outcomes[TickOutcome(row["outcome"])] += 1


def _outcomes(due: Due) -> Iterator[tuple[datetime, TickOutcome]]:
    yield from ((tick, TickOutcome.MISSED_WINDOW) for tick in due.missed)
    yield from ((tick, TickOutcome.COALESCED) for tick in due.coalesced)
    if due.start is not None:
        yield due.start, TickOutcome.STARTED


def _new_run(sync: _Taken) -> NewRun:
    return NewRun(
        run_id=new_run_id(),
        workspace_id=sync.workspace_id,
        sync_id=sync.id,
        kind=RunKind.INCREMENTAL,
        trigger=RunTrigger.SCHEDULE,
        requested_by=REQUESTED_BY,
    )

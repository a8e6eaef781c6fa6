"""Schedules: each tick of a sync is recorded once, by whichever scheduler comes first, and starts one run at most."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from tailrace.core.due import Due, TickOutcome, ticks_due
from tailrace.core.errors import Conflict, Invalid
from tailrace.core.ids import RunId, SyncId, WorkspaceId, new_run_id
from tailrace.core.runs import RunKind, RunTrigger
from tailrace.core.syncs import CronSchedule, IntervalSchedule, ManualSchedule, Schedule
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
# NO KEY: what refers to the sync may be written meanwhile.
_TAKE = """
SELECT workspace_id, schedule, next_run_at, clock_timestamp() AS now FROM syncs
WHERE id = $1 AND next_run_at <= clock_timestamp() AND enabled AND deleted_at IS NULL
FOR NO KEY UPDATE SKIP LOCKED
"""
_RECORD = """
INSERT INTO schedule_ticks (sync_id, scheduled_for, outcome)
SELECT $1, tick, outcome FROM unnest($2::timestamptz[], $3::text[]) AS told (tick, outcome)
ON CONFLICT (sync_id, scheduled_for) DO NOTHING RETURNING scheduled_for, outcome
"""
_CONCLUDE = "UPDATE schedule_ticks SET run_id = $3, outcome = $4 WHERE sync_id = $1 AND scheduled_for = $2"
_MOVE_ON = "UPDATE syncs SET next_run_at = $2 WHERE id = $1"
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

    async def fire(self, sync_id: SyncId, announce: AnnounceRun) -> Fired | None:
        """Record the ticks of a sync that have come, start its run, set the next; all in one transaction.

        None if it is not due any more, or another scheduler is at it. After a long silence there may be more to do.

        :raises Invalid: `SCHEDULE_UNREADABLE`: this release cannot read the schedule, and nothing was done.
        """
        async with self._database.transaction() as connection:
            taken = await connection.fetchrow(_TAKE, sync_id)
            if taken is None:
                return None
            due = _due(sync_id, taken)
            outcomes = await _record(connection, sync_id, due)
            run_id = None
            if due.start is not None and outcomes[TickOutcome.STARTED]:
                run_id = await self._start(connection, sync_id, WorkspaceId(taken["workspace_id"]), announce)
                outcome = TickOutcome.STARTED if run_id else TickOutcome.SKIPPED_OVERLAP
                outcomes = outcomes - Counter({TickOutcome.STARTED: 1}) + Counter({outcome: 1})
                await connection.execute(_CONCLUDE, sync_id, due.start, run_id, outcome)
            await connection.execute(_MOVE_ON, sync_id, due.next_run_at)
        lag_s = None if due.start is None else (taken["now"] - due.start).total_seconds()
        return Fired(sync_id, outcomes, run_id, lag_s)

    async def prune(self) -> int:
        """Forget ticks older than `KEPT_DAYS`, a bounded number a call; gives how many."""
        return await self._database.execute(_PRUNE, KEPT_DAYS, _PRUNED_PER_SYNC, _PRUNED_AT_ONCE)

    async def _start(
        self, connection: Connection, sync_id: SyncId, workspace_id: WorkspaceId, announce: AnnounceRun
    ) -> RunId | None:
        new = NewRun(
            run_id=new_run_id(),
            workspace_id=workspace_id,
            sync_id=sync_id,
            kind=RunKind.INCREMENTAL,
            trigger=RunTrigger.SCHEDULE,
            requested_by=REQUESTED_BY,
        )
        try:
            await self._runs.start(connection, new, announce(new))
        except Conflict:
            return None
        return new.run_id


def _due(sync_id: SyncId, taken: Record) -> Due:
    try:
        schedule = _SCHEDULE.validate_python(taken["schedule"])
    except ValidationError as error:
        raise Invalid(
            f"the schedule of sync {sync_id} cannot be read: set it anew", code="SCHEDULE_UNREADABLE"
        ) from error
    return ticks_due(schedule, taken["next_run_at"], taken["now"])


async def _record(connection: Connection, sync_id: SyncId, due: Due) -> Counter[TickOutcome]:
    """Ticks that were recorded before, as after a backward jump of the clock, are not counted again."""
    told = [(tick, TickOutcome.MISSED_WINDOW) for tick in due.missed]
    told += [(tick, TickOutcome.COALESCED) for tick in due.coalesced]
    told += [(due.start, TickOutcome.STARTED)] if due.start else []
    ticks, outcomes = [tick for tick, _ in told], [outcome for _, outcome in told]
    rows = await connection.fetch(_RECORD, sync_id, ticks, outcomes)
    return Counter(TickOutcome(row["outcome"]) for row in rows)

"""Runs: started at most one at a time for a sync, read with their books, cancelled."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from tailrace.core.errors import Conflict, Invalid, NotFound
from tailrace.core.ids import RunId, SyncId, WorkspaceId
from tailrace.core.outgoing import OutgoingEvent
from tailrace.core.runs import COUNTS, Books, RunKind, RunName, RunStatus, RunTrigger
from tailrace.store.database import Connection, Database, Record
from tailrace.store.dead_letters import end_replay
from tailrace.store.outbox import enqueue, enqueued, enqueueing, urge

_RACES = 3

# A sync that sends all rows at each run has no incremental ones.
_KIND = "CASE WHEN {0} = 'incremental' AND (definition ->> 'resend')::boolean THEN 'full' ELSE {0} END"
# FOR SHARE: a delete waits for the start of a run, and then sees the run that it must cancel.
_START = f"""
WITH queued AS (
  INSERT INTO runs (id, workspace_id, sync_id, sync_version, kind, trigger, requested_by, status)
  SELECT $1, workspace_id, id, version, {_KIND.format("$4::text")}, $5, $6, 'queued' FROM syncs
  WHERE workspace_id = $2 AND id = $3 AND deleted_at IS NULL AND enabled FOR SHARE
  ON CONFLICT (sync_id) WHERE status IN ('queued', 'running', 'cancelling') DO NOTHING
  RETURNING queued_at, kind),
announced AS ({enqueueing("queued", first=7)})
SELECT queued_at, kind FROM queued
"""  # noqa: S608 - constants
# In the order of syncs, so that two transactions that start several cannot wait for each other.
_START_ALL = f"""
INSERT INTO runs (id, workspace_id, sync_id, sync_version, kind, trigger, requested_by, status)
SELECT new.id, syncs.workspace_id, syncs.id, syncs.version, {_KIND.format("new.kind")},
  new.trigger, new.requested_by, 'queued'
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
  AS new (id, workspace_id, sync_id, kind, trigger, requested_by)
JOIN syncs ON syncs.id = new.sync_id AND syncs.workspace_id = new.workspace_id AND syncs.deleted_at IS NULL
ORDER BY syncs.id
ON CONFLICT (sync_id) WHERE status IN ('queued', 'running', 'cancelling') DO NOTHING
RETURNING id
"""  # noqa: S608 - constants
_ADD_SHARDS = "INSERT INTO run_shards (run_id, shard) SELECT run_id, 0 FROM unnest($1::text[]) AS run_id"
_ADD_SHARD = "INSERT INTO run_shards (run_id, shard) VALUES ($1, 0)"
_ACTIVE = """
SELECT id FROM runs WHERE workspace_id = $1 AND sync_id = $2 AND status IN ('queued', 'running', 'cancelling')
"""
_WHY_NOT = f"""
SELECT enabled, ({_ACTIVE}) AS active FROM syncs WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL
"""  # noqa: S608 - a constant
_COUNTS = ", ".join(f"sum(rows_{name})::bigint AS {name}" for name in COUNTS)
_IS_PAUSED = "bool_and(state = 'done' OR (state = 'queued' AND not_before > clock_timestamp()))"
_WAITS = "FILTER (WHERE state <> 'done')"
_BOOKS = f"""
CROSS JOIN LATERAL (
  SELECT {_COUNTS}, jsonb_agg(reasons) AS reasons,
    CASE WHEN {_IS_PAUSED} THEN min(not_before) {_WAITS} END AS paused_until,
    CASE WHEN {_IS_PAUSED} THEN max(pause_reason) {_WAITS} END AS pause_reason
  FROM run_shards WHERE run_id = runs.id) AS books
"""  # noqa: S608 - the names of the counters are constants
_GET = f"SELECT runs.*, books.* FROM runs {_BOOKS} WHERE workspace_id = $1 AND id = $2"  # noqa: S608 - a constant
_FILTER = """
 WHERE workspace_id = $1 AND ($2::text IS NULL OR sync_id = $2) AND (cardinality($3::text[]) = 0 OR status = ANY ($3))
   AND ($4::timestamptz IS NULL OR queued_at > $4) AND ($5::timestamptz IS NULL OR queued_at < $5)
"""
# The books of the runs on the page alone, however many there are before it.
_LIST = f"""
SELECT runs.*, books.* FROM (
  SELECT * FROM runs {_FILTER} AND ($6::timestamptz IS NULL OR (queued_at, id) < ($6, $7))
  ORDER BY queued_at DESC, id DESC OFFSET $8 LIMIT $9) AS runs {_BOOKS}
ORDER BY queued_at DESC, id DESC
"""  # noqa: S608 - constants
_COUNT = "SELECT count(*) FROM runs" + _FILTER  # noqa: S608 - two constants
_CANCEL_QUEUED = """
UPDATE runs SET status = 'cancelled', cancel_requested_at = clock_timestamp(), cancel_requested_by = $3,
  finished_at = clock_timestamp(), error_code = 'CANCELLED', error_message = 'cancelled by ' || $3
WHERE workspace_id = $1 AND sync_id = $2 AND status = 'queued' RETURNING id, finished_at
"""
_CLOSE_SHARDS = "UPDATE run_shards SET state = 'done' WHERE run_id = $1"
_CANCEL_RUNNING = """
UPDATE runs SET status = 'cancelling', cancel_requested_at = clock_timestamp(), cancel_requested_by = $3
WHERE workspace_id = $1 AND sync_id = $2 AND status = 'running' RETURNING id
"""
_WAKE = "UPDATE run_shards SET not_before = NULL WHERE run_id = $1 AND state = 'queued'"


@dataclass(frozen=True, slots=True)
class NewRun:
    """What is known of a run before it is queued."""

    run_id: RunId
    workspace_id: WorkspaceId
    sync_id: SyncId
    kind: RunKind
    trigger: RunTrigger
    requested_by: str


@dataclass(frozen=True, slots=True)
class Queued:
    """A run that was queued: when, and of which kind, which the sync may decide."""

    at: datetime
    kind: RunKind


AnnounceRun = Callable[[NewRun], OutgoingEvent]
"""From a run that is about to be queued to the event that tells of it."""

AnnounceEnd = Callable[[RunName, datetime], OutgoingEvent]
"""From a run that ended in the queue, and the moment, to the event that tells of it."""


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Somebody wants the active run of a sync to end."""

    workspace_id: WorkspaceId
    sync_id: SyncId
    requested_by: str


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list; what is None or empty does not restrict."""

    sync_id: SyncId | None = None
    statuses: Sequence[RunStatus] = ()
    queued_after: datetime | None = None
    queued_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it stands; `sync_version` is the definition that it keeps to its end.

    Until `paused_until`, if any, nobody works on it, for the reason given.
    """

    id: RunId
    workspace_id: WorkspaceId
    sync_id: SyncId
    sync_version: int
    kind: RunKind
    trigger: RunTrigger
    requested_by: str
    status: RunStatus
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    cancel_requested_by: str | None
    error_code: str | None
    error_message: str | None
    books: Books
    paused_until: datetime | None = None
    pause_reason: str | None = None


class Runs:
    """The runs of all workspaces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self, connection: Connection, new: NewRun, event: OutgoingEvent) -> Queued:
        """Queue a run and the event that tells of it in the caller's transaction, which stays usable after a Conflict.

        :raises NotFound: the workspace has no such sync.
        :raises Invalid: `SYNC_PAUSED`.
        :raises Conflict: `RUN_ACTIVE`, with the id of the run that the sync has already; another where that one is gone
            each time one looks.
        """
        for _ in range(_RACES):
            queued = await connection.fetchrow(
                _START,
                new.run_id,
                new.workspace_id,
                new.sync_id,
                new.kind,
                new.trigger,
                new.requested_by,
                *enqueued([event]),
            )
            if queued is not None:
                # In a statement of its own, for a shard must be of a run that is in sight.
                await connection.execute(_ADD_SHARD, new.run_id)
                urge(event)
                return Queued(queued["queued_at"], RunKind(queued["kind"]))
            _refuse(await connection.fetchrow(_WHY_NOT, new.workspace_id, new.sync_id))
        raise Conflict("runs of this sync come and go too fast: try again")

    async def start_all(
        self, connection: Connection, some: Sequence[NewRun], announce: AnnounceRun
    ) -> Collection[RunId]:
        """Queue runs of different syncs, where none is active, in the caller's transaction; gives those queued."""
        columns = (
            [new.run_id for new in some],
            [new.workspace_id for new in some],
            [new.sync_id for new in some],
            [new.kind for new in some],
            [new.trigger for new in some],
            [new.requested_by for new in some],
        )
        started = {RunId(row["id"]) for row in await connection.fetch(_START_ALL, *columns)}
        await connection.execute(_ADD_SHARDS, list(started))
        await enqueue(connection, [announce(new) for new in some if new.run_id in started])
        return started

    async def get(self, workspace_id: WorkspaceId, run_id: RunId) -> Run:
        """One run.

        :raises NotFound: no such run in the workspace.
        """
        row = await self._database.fetchrow(_GET, workspace_id, run_id)
        if row is None:
            raise NotFound("no such run", code="RUN_NOT_FOUND")
        return _run(row)

    async def list(
        self,
        workspace_id: WorkspaceId,
        wanted: RunFilter,
        *,
        after: tuple[datetime, str] | None = None,
        offset: int = 0,
        limit: int = 50,
    ) -> list[Run]:
        """Runs, newest first; `after` is the (queued_at, id) of the last one seen."""
        position = after or (None, None)
        rows = await self._database.fetch(_LIST, workspace_id, *_arguments(wanted), *position, offset, limit)
        return [_run(row) for row in rows]

    async def count(self, workspace_id: WorkspaceId, wanted: RunFilter) -> int:
        """How many runs there are."""
        return int(await self._database.fetchval(_COUNT, workspace_id, *_arguments(wanted)))

    async def active(self, workspace_id: WorkspaceId, sync_id: SyncId) -> RunId | None:
        """The run of the sync that has not ended, if any."""
        found = await self._database.fetchval(_ACTIVE, workspace_id, sync_id)
        return RunId(found) if found else None

    async def request_cancel(
        self, connection: Connection, request: CancelRequest, announce: AnnounceEnd
    ) -> RunId | None:
        """Ask the active run to end: at once if no executor has it. None where nothing is left to ask."""
        asked = (request.workspace_id, request.sync_id, request.requested_by)
        queued = await connection.fetchrow(_CANCEL_QUEUED, *asked)
        if queued is not None:
            run = RunName(RunId(queued["id"]), request.sync_id, request.workspace_id)
            await connection.execute(_CLOSE_SHARDS, run.run_id)
            await end_replay(connection, run.run_id)
            await enqueue(connection, [announce(run, queued["finished_at"])])
            return run.run_id
        running = await connection.fetchval(_CANCEL_RUNNING, *asked)
        if running is None:
            return None
        await connection.execute(_WAKE, running)
        return RunId(running)


def _refuse(sync: Record | None) -> None:
    """Raise where the sync cannot be started as it stands; return where what was in the way is gone."""
    if sync is None:
        raise NotFound("no such sync in this workspace", code="SYNC_NOT_FOUND")
    if not sync["enabled"]:
        raise Invalid("Pipeline is paused: enable the sync before it is started", code="SYNC_PAUSED")
    if sync["active"]:
        raise Conflict(f"run {sync['active']} of this sync is active", code="RUN_ACTIVE", existing_id=sync["active"])


def _arguments(wanted: RunFilter) -> tuple[object, ...]:
    return wanted.sync_id, list(wanted.statuses), wanted.queued_after, wanted.queued_before


def _run(row: Record) -> Run:
    books = Books(**{name: row[name] for name in COUNTS})
    for reasons in row["reasons"]:
        books += Books(reasons=reasons)
    return Run(
        id=RunId(row["id"]),
        workspace_id=WorkspaceId(row["workspace_id"]),
        sync_id=SyncId(row["sync_id"]),
        sync_version=row["sync_version"],
        kind=RunKind(row["kind"]),
        trigger=RunTrigger(row["trigger"]),
        requested_by=row["requested_by"],
        status=RunStatus(row["status"]),
        queued_at=row["queued_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        cancel_requested_at=row["cancel_requested_at"],
        cancel_requested_by=row["cancel_requested_by"],
        error_code=row["error_code"],
        error_message=row["error_message"],
        books=books,
        paused_until=row["paused_until"],
        pause_reason=row["pause_reason"],
    )

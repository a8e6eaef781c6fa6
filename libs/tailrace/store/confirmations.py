"""Deletes that somebody has looked at: the run after one that the guard stopped may delete so many rows, once."""

from dataclasses import dataclass

from tailrace.core.errors import Conflict, NotFound
from tailrace.core.ids import RunId, SyncId, WorkspaceId, new_run_id
from tailrace.core.runs import DELETE_GUARD, RunKind, RunTrigger
from tailrace.store.database import Connection
from tailrace.store.runs import AnnounceRun, NewRun, Runs

# The newest run, since a later one has counted anew.
_STOPPED = """
SELECT sync_id, error_code, (SELECT id FROM runs AS later WHERE later.confirms_run = runs.id) AS confirmed_by,
  id = (SELECT id FROM runs AS newest WHERE newest.sync_id = runs.sync_id ORDER BY queued_at DESC, id DESC LIMIT 1)
    AS is_newest
FROM runs WHERE workspace_id = $1 AND id = $2 FOR UPDATE
"""
_CONFIRM = "UPDATE runs SET confirms_run = $2, deletes_confirmed = $3 WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """So many rows may go that a run was kept from deleting; somebody has looked at them."""

    workspace_id: WorkspaceId
    run_id: RunId
    deletes: int
    requested_by: str


async def confirm_deletes(
    connection: Connection, runs: Runs, confirmation: Confirmation, announce: AnnounceRun
) -> NewRun:
    """Queue a run that may delete so many rows, in the caller's transaction.

    :raises NotFound: the workspace has no such run; or its sync is deleted.
    :raises Invalid: `SYNC_PAUSED`.
    :raises Conflict: `NOT_GUARDED`: it was not the guard that stopped it; `RUN_OVERTAKEN`: the sync has run since;
        `RUN_ACTIVE` or `DELETES_CONFIRMED` with the id of the run that is there already.
    """
    row = await connection.fetchrow(_STOPPED, confirmation.workspace_id, confirmation.run_id)
    if row is None:
        raise NotFound("no such run", code="RUN_NOT_FOUND")
    if row["error_code"] != DELETE_GUARD:
        raise Conflict("this run was not stopped by the guard of deletes", code="NOT_GUARDED")
    if row["confirmed_by"] is not None:
        raise Conflict(
            f"its deletes were confirmed, for the run {row['confirmed_by']}",
            code="DELETES_CONFIRMED",
            existing_id=row["confirmed_by"],
        )
    new = NewRun(
        new_run_id(),
        confirmation.workspace_id,
        SyncId(row["sync_id"]),
        RunKind.INCREMENTAL,
        RunTrigger.API,
        confirmation.requested_by,
    )
    if not row["is_newest"]:
        raise Conflict("the sync has run since: look at its newest run", code="RUN_OVERTAKEN")
    await runs.start(connection, new, announce(new))
    await connection.execute(_CONFIRM, new.run_id, confirmation.run_id, confirmation.deletes)
    return new

"""Deletes that somebody has looked at: the run after one that the guard stopped may delete so many rows, once."""

from tailrace.core.errors import Conflict, NotFound
from tailrace.core.ids import RunId, SyncId, WorkspaceId
from tailrace.core.runs import DELETE_GUARD
from tailrace.store.database import Connection

# The newest run, since a later one has counted anew.
_STOPPED = """
SELECT sync_id, error_code, (SELECT id FROM runs AS later WHERE later.confirms_run = runs.id) AS confirmed_by,
  id = (SELECT id FROM runs AS newest WHERE newest.sync_id = runs.sync_id ORDER BY queued_at DESC, id DESC LIMIT 1)
    AS is_newest
FROM runs WHERE workspace_id = $1 AND id = $2 FOR UPDATE
"""
_CONFIRM = "UPDATE runs SET confirms_run = $2, deletes_confirmed = $3 WHERE id = $1"


async def guarded_sync(connection: Connection, workspace_id: WorkspaceId, run_id: RunId) -> SyncId:
    """The sync of a run whose deletes can be confirmed; it stays so until the end of the caller's transaction.

    :raises NotFound: the workspace has no such run.
    :raises Conflict: `NOT_GUARDED`: it was not the guard that stopped it; `RUN_OVERTAKEN`: the sync has run since;
        `DELETES_CONFIRMED` with the id of the run that they were confirmed for.
    """
    row = await connection.fetchrow(_STOPPED, workspace_id, run_id)
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
    if not row["is_newest"]:
        raise Conflict("the sync has run since: look at its newest run", code="RUN_OVERTAKEN")
    return SyncId(row["sync_id"])


async def confirm_deletes(connection: Connection, stopped: RunId, run_id: RunId, *, deletes: int) -> None:
    """Let a run that was started in the same transaction delete so many rows that the guard kept another one from."""
    await connection.execute(_CONFIRM, run_id, stopped, deletes)

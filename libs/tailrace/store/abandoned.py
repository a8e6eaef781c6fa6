"""Runs that nobody works on: cancelled ones to be closed, queued ones to be told of once more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from tailrace.core.ids import RunId, SyncId, WorkspaceId
from tailrace.core.runs import Books, Lease
from tailrace.store.database import Database
from tailrace.store.shards import books_in, lease_in

# The lease that is taken here fences off an owner who wakes up late, as a takeover by an executor does.
_ADOPT = """
WITH picked AS (
  SELECT shards.run_id, shards.shard FROM run_shards AS shards JOIN runs ON runs.id = shards.run_id
  WHERE runs.status = 'cancelling' AND shards.state <> 'done'
    AND coalesce(shards.lease_expires_at, runs.cancel_requested_at) < clock_timestamp() - $2::interval
  ORDER BY shards.queued_at LIMIT 1 FOR UPDATE OF shards, runs SKIP LOCKED
)
UPDATE run_shards AS shards SET state = 'running', lease_epoch = lease_epoch + 1, lease_token = gen_random_uuid(),
  lease_owner = $1, lease_expires_at = clock_timestamp() + $3::interval, heartbeat_seq = heartbeat_seq + 1
FROM picked JOIN runs ON runs.id = picked.run_id
WHERE shards.run_id = picked.run_id AND shards.shard = picked.shard
RETURNING shards.*, runs.workspace_id, runs.sync_id,
  coalesce(extract(epoch FROM clock_timestamp() - runs.started_at), 0)::float8 AS begun_for_s,
  (SELECT count(*) FROM run_shards AS every WHERE every.run_id = shards.run_id) > 1 AS is_shared
"""
_FORGOTTEN = """
SELECT id, workspace_id, sync_id FROM runs
WHERE status = 'queued' AND queued_at < clock_timestamp() - $1::interval
ORDER BY queued_at LIMIT $2
"""

# What was begun and handed back does not tell since when it waits.
_QUEUED = """
SELECT count(*) AS parts,
  coalesce(extract(epoch FROM clock_timestamp() - min(shards.queued_at) FILTER (WHERE lease_epoch = 0)), 0)::float8
    AS oldest_s
FROM run_shards AS shards JOIN runs ON runs.id = shards.run_id
WHERE shards.state = 'queued' AND runs.finished_at IS NULL
  AND (shards.not_before IS NULL OR shards.not_before <= clock_timestamp())
"""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A cancelled shard whose owner is gone: ours now, to be closed before the lease ends.

    Its run was claimed for the first time `begun_for_s` ago.
    """

    lease: Lease
    workspace_id: WorkspaceId
    sync_id: SyncId
    books: Books
    is_shared: bool = False
    begun_for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that waits for an executor."""

    run_id: RunId
    workspace_id: WorkspaceId
    sync_id: SyncId


class Queue(NamedTuple):
    """How many runs, and parts of shared ones, an executor could take, and how long one of them was not begun."""

    parts: int
    oldest_s: float


class AbandonedRuns:
    """Finds them for any number of schedulers at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def adopt_cancelled(self, *, owner: str, dead_for_s: float, ttl_s: float) -> Adopted | None:
        """Take over a shard of a run that is to end, if its lease ended, or it was handed back, `dead_for_s` ago."""
        row = await self._database.fetchrow(_ADOPT, owner, timedelta(seconds=dead_for_s), timedelta(seconds=ttl_s))
        if row is None:
            return None
        return Adopted(
            lease_in(row),
            WorkspaceId(row["workspace_id"]),
            SyncId(row["sync_id"]),
            books_in(row),
            row["is_shared"],
            row["begun_for_s"],
        )

    async def waiting(self, *, for_s: float, limit: int) -> Sequence[Waiting]:
        """Runs that have been queued for longer, the longest first."""
        rows = await self._database.fetch(_FORGOTTEN, timedelta(seconds=for_s), limit)
        return [Waiting(RunId(row["id"]), WorkspaceId(row["workspace_id"]), SyncId(row["sync_id"])) for row in rows]

    async def queue(self) -> Queue:
        """What waits for an executor just now; runs that are paused wait for their destinations."""
        row = await self._database.fetchrow(_QUEUED)
        return Queue(0, 0.0) if row is None else Queue(row["parts"], row["oldest_s"])

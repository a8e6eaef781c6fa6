"""Shards of runs: claimed by lease, kept by heartbeat, handed back, closed. Every write carries the lease's token."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from tailrace.core.errors import LeaseLost
from tailrace.core.ids import RunId, SyncId, WorkspaceId
from tailrace.core.outgoing import OutgoingEvent
from tailrace.core.rows import RowKey
from tailrace.core.runs import COUNTS, Books, Lease, RunKind, RunStatus
from tailrace.core.settlements import NOTHING_SENT, Rejections
from tailrace.store.database import Connection, Database, Record, touched
from tailrace.store.dead_letters import end_replay
from tailrace.store.outbox import enqueue

LONGEST_WAIT = timedelta(minutes=70)
"""A shard that is to wait for longer was put off before a backward jump of the clock."""

SENT_ELSEWHERE = """
(SELECT jsonb_agg(other.checkpoint -> 'rejections') FROM run_shards AS other
  WHERE other.run_id = shards.run_id AND other.shard <> shards.shard) AS elsewhere
"""
"""What the other shards of a run have written of the rows they sent, beside the `shards` of a statement."""

_CLAIM = f"""
WITH picked AS (
  SELECT shards.run_id, shards.shard FROM run_shards AS shards JOIN runs ON runs.id = shards.run_id
  WHERE ((shards.state = 'queued' AND (runs.status = 'cancelling'
      OR shards.not_before IS NULL OR shards.not_before <= clock_timestamp()
      OR shards.not_before > clock_timestamp() + $9::interval))
    OR (shards.state = 'running' AND EXISTS (
      SELECT FROM unnest($4::text[], $5::smallint[], $6::uuid[], $7::bigint[], $8::boolean[])
        AS seen (run_id, shard, token, heartbeat_seq, for_long)
      WHERE (seen.run_id, seen.shard, seen.token, seen.heartbeat_seq)
          = (shards.run_id, shards.shard, shards.lease_token, shards.heartbeat_seq)
        AND (shards.lease_expires_at < clock_timestamp() - $3::interval
          OR (seen.for_long AND shards.lease_expires_at > clock_timestamp() + 2 * $2::interval)))))
    AND NOT (shards.shard > 0 AND shards.lease_epoch = 0 AND shards.run_id = ANY ($10))
    AND runs.finished_at IS NULL AND runs.workspace_id <> ALL ($11)
  ORDER BY shards.queued_at LIMIT 1 FOR UPDATE OF shards, runs SKIP LOCKED
), begun AS (
  UPDATE runs SET status = CASE status WHEN 'queued' THEN 'running' ELSE status END,
    started_at = coalesce(started_at, clock_timestamp())
  FROM picked WHERE runs.id = picked.run_id RETURNING runs.*
)
UPDATE run_shards AS shards SET state = 'running', lease_epoch = lease_epoch + 1, lease_token = gen_random_uuid(),
  lease_owner = $1, lease_expires_at = clock_timestamp() + $2::interval, heartbeat_seq = heartbeat_seq + 1,
  attempts_without_progress = attempts_without_progress + 1
FROM picked, begun WHERE shards.run_id = picked.run_id AND shards.shard = picked.shard
RETURNING shards.*, begun.workspace_id, begun.sync_id, begun.sync_version, begun.kind, begun.status,
  begun.deletes_confirmed,
  coalesce(extract(epoch FROM clock_timestamp() - paused_since), 0)::float8 AS paused_for_s,
  extract(epoch FROM clock_timestamp() - begun.started_at)::float8 AS begun_for_s,
  {SENT_ELSEWHERE},
  (SELECT count(*) FROM run_shards AS every WHERE every.run_id = shards.run_id) > 1 AS is_shared
"""  # noqa: S608 - a constant
_SIGHTED = "SELECT run_id, shard, lease_token, heartbeat_seq FROM run_shards WHERE state = 'running'"
_HEARTBEAT = """
UPDATE run_shards SET heartbeat_seq = heartbeat_seq + 1, lease_expires_at = clock_timestamp() + $4::interval
WHERE run_id = $1 AND shard = $2 AND lease_token = $3 AND state = 'running'
"""
_CANCELLING = "SELECT id FROM runs WHERE id = ANY ($1) AND status = 'cancelling'"
_HAND_BACK = """
UPDATE run_shards SET state = 'queued', lease_token = NULL, lease_expires_at = NULL, attempts_without_progress = 0,
  not_before = NULL
WHERE run_id = $1 AND shard = $2 AND lease_token = $3 AND state = 'running'
"""
_PAUSE = """
UPDATE run_shards SET state = 'queued', lease_token = NULL, lease_expires_at = NULL, attempts_without_progress = 0,
  not_before = CASE WHEN NOT EXISTS (SELECT FROM run_shards AS other
    WHERE other.run_id = $1 AND other.error_code IS NOT NULL) THEN clock_timestamp() + $4::interval END,
  pause_reason = $5, pauses = pauses + 1,
  paused_since = coalesce(paused_since, clock_timestamp())
WHERE run_id = $1 AND shard = $2 AND lease_token = $3 AND state = 'running'
"""
LOCK_RUN = "SELECT FROM runs WHERE id = $1 FOR UPDATE"
"""Has the shards of a run say one after another that it is to end, or that they wait."""

_HOLD = (
    "SELECT 1 FROM run_shards WHERE run_id = $1 AND shard = $2 AND lease_token = $3 AND state = 'running' FOR UPDATE"
)
# Whoever was stopped while it cut the run does not know of the shards that wait.
_CLOSE_SHARD = """
UPDATE run_shards SET state = 'done', lease_expires_at = NULL WHERE run_id = $1 AND (shard = $2 OR state = 'queued')
"""
_CLOSE_RUN = """
UPDATE runs SET status = $2, finished_at = clock_timestamp(), error_code = $3,
  error_message = CASE WHEN $2 = 'cancelled' THEN 'cancelled by ' || cancel_requested_by ELSE $4 END
WHERE id = $1 AND status IN ('running', 'cancelling')
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A shard that is ours: what to run, and where the owner before us had got to.

    `pauses` and `paused_for_s` tell of the waits for its destination since a row last got through, `deletes_confirmed`
    how many rows it may delete whatever the guard allows. Of a run that `is_shared` it is one shard of several, and
    ends with the key `until`, if not with the query; `elsewhere` is what the others have sent. The run was claimed for
    the first time `begun_for_s` ago.
    """

    lease: Lease
    workspace_id: WorkspaceId
    sync_id: SyncId
    sync_version: int
    kind: RunKind
    is_cancelling: bool
    attempts_without_progress: int
    checkpoint_seq: int
    checkpoint: dict[str, Any] | None
    books: Books
    pauses: int = 0
    paused_for_s: float = 0.0
    deletes_confirmed: int = 0
    is_shared: bool = False
    until: RowKey | None = None
    elsewhere: Rejections = NOTHING_SENT
    begun_for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """A lease as it was seen; its owner has been silent for as long as the next look sees the same."""

    run_id: RunId
    shard: int
    token: UUID
    heartbeat_seq: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends, and the event that tells it."""

    status: RunStatus
    announce: OutgoingEvent
    error_code: str | None = None
    error_message: str | None = None


class Shards:
    """The work of executors. Of the runs that a process is `sharing`, it leaves shards nobody has begun to others."""

    def __init__(
        self, database: Database, *, sharing: Collection[RunId] = (), leaving: Collection[WorkspaceId] = ()
    ) -> None:
        self._database = database
        self._sharing = sharing
        self._leaving = leaving

    def but_for(self, workspaces: Collection[WorkspaceId]) -> "Shards":
        """The same, where claims leave the shards of these workspaces."""
        return Shards(self._database, sharing=self._sharing, leaving=workspaces)

    async def claim(
        self,
        *,
        owner: str,
        ttl_s: float,
        grace_s: float,
        silent: Sequence[Sighting] = (),
        long_silent: Collection[Sighting] = (),
    ) -> Claim | None:
        """Take the shard that has waited longest, or one of the `silent` whose lease ended more than `grace_s` ago.

        Silence is the caller's to see, on its own clock: this database's clock may have jumped past a live lease.
        Where it jumped back, a lease seems to last for ever: one of the `long_silent` that ends later than any lease
        can is taken too, and so is a shard that is to wait for longer than anything does. One of a run that is to be
        cancelled does not wait, even if it was put off by an owner who did not know.
        """
        seen = ([getattr(one, name) for one in silent] for name in ("run_id", "shard", "token", "heartbeat_seq"))
        for_long = [one in long_silent for one in silent]
        terms = (owner, timedelta(seconds=ttl_s), timedelta(seconds=grace_s))
        left = (list(self._sharing), list(self._leaving))
        row = await self._database.fetchrow(_CLAIM, *terms, *seen, for_long, LONGEST_WAIT, *left)
        return None if row is None else _claim(row)

    async def sighted(self) -> list[Sighting]:
        """All leases that somebody holds, or held when it died."""
        rows = await self._database.fetch(_SIGHTED)
        return [Sighting(RunId(row["run_id"]), row["shard"], row["lease_token"], row["heartbeat_seq"]) for row in rows]

    async def heartbeat(self, lease: Lease, *, ttl_s: float) -> None:
        """Keep a lease for `ttl_s` from a moment after the call.

        :raises LeaseLost: somebody else has the shard, or nobody should.
        """
        held = await self._database.execute(_HEARTBEAT, *lease.identity, timedelta(seconds=ttl_s))
        if not held:
            raise LeaseLost(f"run {lease.run_id} belongs to another executor")

    async def cancelling(self, run_ids: list[RunId]) -> set[RunId]:
        """Which of the runs were asked to end."""
        rows = await self._database.fetch(_CANCELLING, run_ids)
        return {RunId(row["id"]) for row in rows}

    async def hand_back(self, lease: Lease) -> None:
        """Give the shard up at its checkpoint for anybody to take; no harm if it is lost already."""
        await self._database.execute(_HAND_BACK, *lease.identity)

    async def pause(self, lease: Lease, *, wait_s: float, reason: str) -> None:
        """Give the shard up at its checkpoint until its destination may be back; no harm if it is lost already."""
        async with self._database.transaction() as connection:
            # Another shard that just now says that the run is to end has not seen this one wait.
            await connection.execute(LOCK_RUN, lease.run_id)
            await connection.execute(_PAUSE, *lease.identity, timedelta(seconds=wait_s), reason)

    async def finish(self, lease: Lease, ending: Ending) -> None:
        """Close the shard and its run; letters of a replay that did not succeed are open again.

        :raises LeaseLost: nothing was changed.
        """
        async with self._database.transaction() as connection:
            await hold(connection, lease)
            await connection.execute(_CLOSE_SHARD, lease.run_id, lease.shard)
            closed = await connection.execute(
                _CLOSE_RUN, lease.run_id, ending.status, ending.error_code, ending.error_message
            )
            if not touched(closed):
                raise LeaseLost(f"run {lease.run_id} has ended already")
            await end_replay(connection, lease.run_id)
            await enqueue(connection, [ending.announce])


async def hold(connection: Connection, lease: Lease) -> None:
    """Lock the shard for the rest of the transaction.

    :raises LeaseLost: it is not ours.
    """
    if not await connection.fetchval(_HOLD, *lease.identity):
        raise LeaseLost(f"run {lease.run_id} belongs to another executor")


def lease_in(row: Record) -> Lease:
    """The lease that a row of a shard tells of."""
    return Lease(RunId(row["run_id"]), row["shard"], row["lease_token"], row["lease_epoch"])


def books_in(row: Record) -> Books:
    """The books that a row of a shard holds."""
    return Books(**{name: row[f"rows_{name}"] for name in COUNTS}, reasons=row["reasons"])


def rejections_of(checkpoint: Mapping[str, Any] | None) -> Rejections:
    """What a stored checkpoint says of the rows that were sent: nothing if there is none, or an earlier release's."""
    return _rejections((checkpoint or {}).get("rejections"))


def sent_elsewhere(told: Sequence[Mapping[str, int] | None] | None) -> Rejections:
    """What the column `SENT_ELSEWHERE` comes to."""
    return sum(map(_rejections, told or ()), NOTHING_SENT)


def _rejections(told: Mapping[str, int] | None) -> Rejections:
    return NOTHING_SENT if told is None else Rejections(told["sent"], told["rejected"], told["in_a_row"])


def _claim(row: Record) -> Claim:
    return Claim(
        lease=lease_in(row),
        workspace_id=WorkspaceId(row["workspace_id"]),
        sync_id=SyncId(row["sync_id"]),
        sync_version=row["sync_version"],
        kind=RunKind(row["kind"]),
        is_cancelling=row["status"] == RunStatus.CANCELLING,
        attempts_without_progress=row["attempts_without_progress"],
        checkpoint_seq=row["checkpoint_seq"],
        checkpoint=row["checkpoint"],
        books=books_in(row),
        pauses=row["pauses"],
        paused_for_s=row["paused_for_s"],
        deletes_confirmed=row["deletes_confirmed"] or 0,
        is_shared=row["is_shared"],
        until=None if row["key_until"] is None else RowKey(tuple(row["key_until"])),
        elsewhere=sent_elsewhere(row["elsewhere"]),
        begun_for_s=row["begun_for_s"],
    )

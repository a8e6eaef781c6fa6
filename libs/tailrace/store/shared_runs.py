"""Runs that several executors share: cut into shards by key, closed by whoever is the last to be done with one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tailrace.core.errors import LeaseLost
from tailrace.core.ids import RunId, SyncId
from tailrace.core.rows import RowKey
from tailrace.core.runs import CANCELLED, Books, Lease
from tailrace.core.settlements import NOTHING_SENT, Rejections
from tailrace.store.database import Connection, Database, touched
from tailrace.store.shards import LOCK_RUN, books_in, hold, rejections_of

# The first shard keeps its owner and its place; the others wait, each behind the key with which the one before it ends.
_END_FIRST = """
UPDATE run_shards SET key_until = $4::text[], checkpoint = $5
WHERE run_id = $1 AND shard = $2 AND lease_token = $3 AND state = 'running' AND checkpoint_seq = 0
  AND NOT EXISTS (SELECT FROM run_shards AS other WHERE other.run_id = $1 AND other.shard <> $2)
"""
_ADD_OTHER = "INSERT INTO run_shards (run_id, shard, checkpoint, key_until) VALUES ($1, $2, $3, $4::text[])"
# What is said first stays: who takes a shard over that has failed only knows that it is to end.
_SAY_WHY = """
UPDATE run_shards SET error_code = $3, error_message = $4 WHERE run_id = $1 AND shard = $2 AND error_code IS NULL
"""
_CLOSE_WAITING = "UPDATE run_shards SET state = 'done' WHERE run_id = $1 AND state = 'queued'"
_CLOSE = "UPDATE run_shards SET state = 'done', lease_expires_at = NULL WHERE run_id = $1 AND shard = $2"
_SHARDS = "SELECT * FROM run_shards WHERE run_id = $1 ORDER BY shard"
_FAILING = "SELECT DISTINCT run_id FROM run_shards WHERE run_id = ANY ($1) AND error_code IS NOT NULL"
# A replay reads some rows only.
_READ_BEFORE = """
SELECT (SELECT sum(rows_read)::bigint FROM run_shards WHERE run_id = runs.id) FROM runs
WHERE sync_id = $1 AND sync_version = $2 AND status = 'succeeded' AND kind <> 'replay'
ORDER BY queued_at DESC, id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Sum:
    """What all shards of a run come to; the reason is that of the first shard that failed, if one did.

    `elsewhere` is what the other shards have sent.
    """

    books: Books
    error_code: str | None
    error_message: str | None
    elsewhere: Rejections = NOTHING_SENT


class SharedRuns:
    """The work of executors on runs that each of them has a part of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_before(self, sync_id: SyncId, sync_version: int) -> int:
        """How many rows the last run that succeeded with this version of a sync has read; 0 where there is none."""
        return await self._database.fetchval(_READ_BEFORE, sync_id, sync_version) or 0

    async def share_out(self, lease: Lease, cuts: Sequence[RowKey], *, columns: str | None) -> None:
        """Cut a run of one shard, which has no checkpoint yet, behind each of these keys, in ascending order.

        Calling again after an answer got lost is refused, and changes nothing. `columns` is what all have to agree
        with.

        :raises LeaseLost: nothing was changed.
        """
        async with self._database.transaction() as connection:
            starts = [{"after": after, "null_rows": 0, "columns": columns} for after in (None, *cuts)]
            first = (*lease.identity, list(cuts[0]), starts[0])
            if not touched(await connection.execute(_END_FIRST, *first)):
                raise LeaseLost(f"run {lease.run_id} has other owners by now")
            ends = [*(list(cut) for cut in cuts[1:]), None]
            for shard, (start, until) in enumerate(zip(starts[1:], ends, strict=True), lease.shard + 1):
                await connection.execute(_ADD_OTHER, lease.run_id, shard, start, until)

    async def leave(self, lease: Lease, *, code: str | None = None, message: str | None = None) -> Sum | None:
        """Close a shard, unless it is the last that is open: then it stays ours, and gives what all come to.

        With a code, shards that nobody works on are closed too: the run is to end.

        :raises LeaseLost: nothing was changed.
        """
        async with self._database.transaction() as connection:
            await hold(connection, lease)
            await connection.execute(LOCK_RUN, lease.run_id)
            if code is not None:
                await connection.execute(_SAY_WHY, lease.run_id, lease.shard, code, message)
                await connection.execute(_CLOSE_WAITING, lease.run_id)
            return await _close_or_sum(connection, lease)

    async def failing(self, run_ids: Collection[RunId]) -> set[RunId]:
        """Which of the runs have a shard that failed, or was cancelled: the others are to end too."""
        return {RunId(row["run_id"]) for row in await self._database.fetch(_FAILING, list(run_ids))}


async def _close_or_sum(connection: Connection, lease: Lease) -> Sum | None:
    shards = await connection.fetch(_SHARDS, lease.run_id)
    others = [shard for shard in shards if shard["shard"] != lease.shard]
    if any(shard["state"] != "done" for shard in others):
        await connection.execute(_CLOSE, lease.run_id, lease.shard)
        return None
    told = [(shard["error_code"], shard["error_message"]) for shard in shards if shard["error_code"]]
    # Those that were stopped because another failed say that they were cancelled.
    told.sort(key=lambda why: why[0] == CANCELLED)
    books = sum(map(books_in, shards), Books())
    elsewhere = sum((rejections_of(shard["checkpoint"]) for shard in others), NOTHING_SENT)
    code, message = told[0] if told else (None, None)
    return Sum(books, code, message, elsewhere)

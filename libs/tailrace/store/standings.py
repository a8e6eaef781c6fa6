"""What is known of a single row: which version of it was delivered, and how far the runs have got."""

from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from operator import attrgetter

from tailrace.core.entry_columns import EntryColumns
from tailrace.core.ids import RunId, SyncId
from tailrace.core.pages import unpack
from tailrace.core.rows import RowKey
from tailrace.core.runs import RunKind, RunStatus
from tailrace.core.settlements import Phase
from tailrace.core.snapshots import UNKNOWN_VERSION, Entry
from tailrace.core.watermarks import Watermark
from tailrace.store.checkpoints import position_of
from tailrace.store.database import Database
from tailrace.store.runs import Run
from tailrace.store.snapshots import Snapshots

# What a run has settled lies above the base, and is newer.
_PAGES_OF_KEY = """
SELECT body, algorithm, above FROM snapshot_pages
WHERE sync_id = $1 AND first_key <= $2 AND last_key >= $2 ORDER BY level DESC
"""
_SETTLED_AFTER = """
SELECT first_key, body, algorithm FROM snapshot_pages
WHERE sync_id = $1 AND level = 1 AND ($2::text[] IS NULL OR first_key > $2)
ORDER BY first_key LIMIT $3
"""
_PAGES_PER_FETCH = 8
# A run may have delivered what counts as deleted. Runs before an import delivered nothing of what is known since.
_DELIVERERS = """
WITH known AS (SELECT max(imported_at) AS imported_at FROM snapshot_targets WHERE sync_id = $1),
lately AS (
  SELECT runs.id, runs.queued_at FROM runs, known
  WHERE sync_id = $1 AND queued_at > coalesce(known.imported_at, '-infinity') ORDER BY queued_at DESC LIMIT $2)
SELECT id, (SELECT count(*) FROM lately) < $2 AND known.imported_at IS NULL AS are_all FROM lately, known
WHERE EXISTS (SELECT FROM run_shards WHERE run_id = lately.id AND rows_delivered + rows_deleted > 0)
ORDER BY lately.queued_at DESC LIMIT 2
"""
_RUNS_LOOKED_AT = 200
_CHECKPOINTS = """
SELECT checkpoint, key_until IS NULL OR $2 <= key_until COLLATE "C" AS holds_key,
  (shard > 0 OR key_until IS NOT NULL) AND state = 'done' AND lease_token IS NOT NULL AND error_code IS NULL
    AS is_through
FROM run_shards WHERE run_id = $1 ORDER BY shard
"""


class Standings:
    """The rows of all syncs, one at a time; those of a sync whose `base` is kept elsewhere are known by that alone."""

    def __init__(self, database: Database, base: Snapshots | None = None) -> None:
        self._database = database
        self._base = base
        self._snapshots = Snapshots(database)

    async def entries(self, sync_id: SyncId, version: int) -> AsyncIterator[Sequence[Entry]]:
        """What a run of that version would find, in key order; nothing where it would forget what is known."""
        if not await self._snapshots.speaks_of(sync_id, version):
            return
        base = self._base or self._snapshots
        async for some in _merged(base.entries(sync_id), self._settled(sync_id)):
            yield some

    async def watermark(self, sync_id: SyncId, version: int) -> Watermark:
        """Where a run of that version would begin to read by its cursor."""
        watermark = await self._snapshots.watermark(sync_id)
        return watermark if await self._snapshots.speaks_of(sync_id, version) else replace(watermark, value=None)

    async def of_row(self, sync_id: SyncId, key: RowKey) -> Entry | None:
        """What is known of a key; None where nothing is."""
        for page in await self._database.fetch(_PAGES_OF_KEY, sync_id, list(key)):
            for entry in unpack(page["body"], page["algorithm"], page["above"]):
                if entry.key == key:
                    return None if entry.is_tombstone else entry
        return next(iter(await self._base.entries_of(sync_id, [key])), None) if self._base is not None else None

    async def of_row_by_cursor(self, sync_id: SyncId, version: int, key: RowKey) -> Entry | None:
        """The same where a cursor tells what is new: only rows within the look-back are known, by cursor and key."""
        found: Entry | None = None
        async for some in self.entries(sync_id, version):
            found = next((entry for entry in reversed(some) if entry.key[1:] == key), found)
        return found

    async def speaks_of(self, sync_id: SyncId, version: int) -> bool:
        """Whether a run of that version would keep what is known, rather than forget it as another target's."""
        return await self._snapshots.speaks_of(sync_id, version)

    async def delivered_by(self, sync_id: SyncId, entry: Entry) -> tuple[RunId | None, RunId | None]:
        """The run that delivered the version of an entry, as far as it can be told, and the last that can have.

        The first is known where only one run can have. Both are None where none has since an import, or the version
        is not known.
        """
        if entry.delivered in {None, UNKNOWN_VERSION}:
            return None, None
        rows = await self._database.fetch(_DELIVERERS, sync_id, _RUNS_LOOKED_AT)
        if not rows:
            return None, None
        at_latest = RunId(rows[0]["id"])
        return at_latest if len(rows) == 1 and rows[0]["are_all"] else None, at_latest

    async def _settled(self, sync_id: SyncId) -> AsyncIterator[Sequence[Entry]]:
        position = None
        while found := await self._database.fetch(_SETTLED_AFTER, sync_id, position, _PAGES_PER_FETCH):
            for row in found:
                yield unpack(row["body"], row["algorithm"])
            position = found[-1]["first_key"]

    async def passed(self, run: Run, key: RowKey) -> bool | None:
        """Whether the run has come past the key; None for a replay, which reads only some."""
        if run.kind is RunKind.REPLAY:
            return None
        if run.status is RunStatus.SUCCEEDED:
            return True
        rows = await self._database.fetch(_CHECKPOINTS, run.id, list(key))
        if any(position_of(row["checkpoint"]).phase is not Phase.ROWS for row in rows):
            return True
        own = next(row for row in rows if row["holds_key"])
        position = position_of(own["checkpoint"])
        return own["is_through"] or position.null_rows > 0 or (position.after is not None and key <= position.after)


async def _merged(
    base: AsyncIterator[Sequence[Entry]], above: AsyncIterator[Sequence[Entry]]
) -> AsyncIterator[Sequence[Entry]]:
    """Two sorted layers as one, the upper one winning; holds a page of the base and what lies above it."""
    waiting: list[Entry] = []
    more: Sequence[Entry] | None = []
    async for page in base:
        last = page[-1].key
        while more is not None and (not waiting or waiting[-1].key <= last):
            more = await anext(above, None)
            waiting += more or ()
        cut = bisect_right(waiting, last, key=attrgetter("key"))
        yield EntryColumns.of(page).overlaid(EntryColumns.of(waiting[:cut]))
        waiting = waiting[cut:]
    while waiting or more is not None:
        yield EntryColumns.of([]).overlaid(EntryColumns.of(waiting))
        more = await anext(above, None)
        waiting = list(more or ())

"""Snapshots whose base is a table of a warehouse; what an open run has settled stays in our store until it is there.

An entry is written to the table first and forgotten here afterwards, in a transaction that holds the lease. Until then
it counts by what stands here, and it is written again by whoever comes next: a crash in between changes nothing. An
executor that lost its lease may still write what it had settled under it, but not once another has taken the table.
"""

from collections.abc import AsyncIterator, Sequence

from tailrace.core.errors import LeaseLost
from tailrace.core.ids import SyncId
from tailrace.core.pages import unpack
from tailrace.core.rows import RowKey
from tailrace.core.runs import Lease
from tailrace.core.snapshot_tables import SnapshotTable, TableState, table_lost
from tailrace.core.snapshots import Entry
from tailrace.observe.failpoints import failpoint
from tailrace.store.database import Connection, Database, touched
from tailrace.store.shards import hold
from tailrace.store.snapshots import Snapshots

ENTRIES_AT_ONCE = 8000

_PAGES_AT_ONCE = 8
_EARLIER = "it is of an earlier time, as from a backup"
_TAKE = "UPDATE snapshot_targets SET base_fence = base_fence + 1 WHERE sync_id = $1 RETURNING base_fence"
_NEXT_SETTLED = """
SELECT first_key, body, algorithm FROM snapshot_pages WHERE sync_id = $1 AND level = 1 ORDER BY first_key LIMIT $2
"""
_FORGET_SETTLED = """
DELETE FROM snapshot_pages WHERE sync_id = $1 AND level = 1 AND first_key IN (
  SELECT ARRAY(SELECT jsonb_array_elements_text(parts)) COLLATE "C" FROM jsonb_array_elements($2::jsonb) AS parts)
"""
_NAME = "UPDATE snapshot_targets SET base_writes = $2, base_entries = $3 WHERE sync_id = $1 AND base_writes < $2"


class TabledSnapshots(Snapshots):
    """What is known of the rows of one sync, its base in a table."""

    def __init__(self, database: Database, table: SnapshotTable) -> None:
        super().__init__(database)
        self._table = table

    async def check(self, sync_id: SyncId) -> None:
        """Return if the table is as it was left.

        :raises SourceInvalid: `SNAPSHOT_TABLE_LOST`, with what to do about it.
        """
        before = await self.place(sync_id)
        state = await self._table.check()
        after = await self.place(sync_id)
        if before is not None and state.writes < before.writes:
            raise table_lost(_EARLIER)
        if after is not None and state.fence > after.fence:
            raise table_lost("another installation wrote it, or the state store was set back to an earlier time")

    async def entries(
        self, sync_id: SyncId, *, after: RowKey | None = None, until: RowKey | None = None, gone: bool = False
    ) -> AsyncIterator[Sequence[Entry]]:
        position = after
        while found := await self._table.entries(after=position, until=until, gone=gone, most=ENTRIES_AT_ONCE):
            yield found
            position = found[-1].key

    async def entries_of(self, sync_id: SyncId, keys: Sequence[RowKey]) -> list[Entry]:
        return list(await self._table.entries_of(keys))

    async def census(self, sync_id: SyncId) -> tuple[int, int]:
        return await self._table.census()

    async def cuts(self, sync_id: SyncId, parts: int) -> list[RowKey]:
        return list(await self._table.cuts(parts))

    async def size(self, sync_id: SyncId) -> int:
        place = await self.place(sync_id)
        return 0 if place is None else place.entries

    async def forget_other_target(self, lease: Lease, sync_id: SyncId) -> bool:
        is_other = await self.is_of_other_target(sync_id, lease)
        if is_other:
            await self._forget(lease, sync_id)
        return await super().forget_other_target(lease, sync_id) or is_other

    async def merge(self, lease: Lease, sync_id: SyncId) -> None:
        fence: int | None = None
        while settled := await self._database.fetch(_NEXT_SETTLED, sync_id, _PAGES_AT_ONCE):
            fence = await self._take(lease, sync_id) if fence is None else fence
            entries = {entry.key: entry for page in settled for entry in unpack(page["body"], page["algorithm"])}
            named = _named(await self._table.write(fence, list(entries.values())))
            failpoint("exec.snapshot_written_before_forgotten")
            async with self._database.transaction() as connection:
                await hold(connection, lease)
                await connection.execute(_FORGET_SETTLED, sync_id, [list(page["first_key"]) for page in settled])
                await _note(connection, sync_id, named)
            failpoint("exec.snapshot_forgotten")

    async def begin_anew(self, lease: Lease, sync_id: SyncId, *, forget_rows: bool) -> None:
        if forget_rows:
            await self._forget(lease, sync_id)
        await super().begin_anew(lease, sync_id, forget_rows=forget_rows)

    async def forget_before(self, lease: Lease, sync_id: SyncId, value: str) -> None:
        await self._forget(lease, sync_id, before=value)

    async def _forget(self, lease: Lease, sync_id: SyncId, *, before: str | None = None) -> None:
        named = _named(await self._table.forget(await self._take(lease, sync_id), before=before))
        async with self._database.transaction() as connection:
            await hold(connection, lease)
            await _note(connection, sync_id, named)

    async def _take(self, lease: Lease, sync_id: SyncId) -> int:
        """Have the table to ourselves; gives the fence to write by."""
        async with self._database.transaction() as connection:
            await hold(connection, lease)
            fence = int(await connection.fetchval(_TAKE, sync_id))
        if await self._table.take(fence):
            return fence
        async with self._database.transaction() as connection:
            await hold(connection, lease)
        raise table_lost("another installation writes it just now")


async def _note(connection: Connection, sync_id: SyncId, named: tuple[int, int]) -> None:
    """Keep how the table stands; each write of it adds one, so that one that was set back meanwhile shows."""
    if not touched(await connection.execute(_NAME, sync_id, *named)):
        raise table_lost(_EARLIER)


def _named(state: TableState | None) -> tuple[int, int]:
    """What our store keeps of how the table stands."""
    if state is None:
        raise LeaseLost("another executor has taken the table of the warehouse")
    return state.writes, state.entries

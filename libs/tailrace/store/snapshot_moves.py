"""What is known of a sync's rows changes its place: from our store to a table of a warehouse, and back.

All of it is written to the new place first. Then, in one transaction and while no run can start, our store says which
place counts. What was left behind in a warehouse counts for nobody from then on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tailrace.core.errors import Conflict, Invalid
from tailrace.core.snapshot_tables import SnapshotTable, TableState
from tailrace.core.syncs import SyncMode
from tailrace.store.database import Connection, Database, touched
from tailrace.store.snapshot_transfers import change_pages, keep, lock, make_incoming, refuse_runs
from tailrace.store.snapshots import Place, Snapshots
from tailrace.store.standings import Standings
from tailrace.store.syncs import Sync
from tailrace.store.tabled_snapshots import TabledSnapshots

_BEGIN = """
INSERT INTO snapshot_targets AS known (sync_id, version, base_fence) VALUES ($1, $2, 1)
ON CONFLICT (sync_id) DO UPDATE SET base_fence = known.base_fence + 1
RETURNING version, base_fence AS fence, clock_timestamp() AS began_at
"""
_TO_TABLE = """
UPDATE snapshot_targets SET base_source = $3, base_writes = $4, base_entries = $5
WHERE sync_id = $1 AND base_fence = $2 AND base_source IS NULL
"""
_TO_STORE = """
UPDATE snapshot_targets SET base_source = NULL WHERE sync_id = $1 AND base_fence = $2
"""
_BEGIN_ANEW = "UPDATE snapshot_targets SET watermark = NULL WHERE sync_id = $1"
_FORGET = "DELETE FROM snapshot_pages WHERE sync_id = $1"
_LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class Begun:
    """A move that is under way: whoever begins another, or imports, has it fail."""

    version: int
    fence: int
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Copied:
    """All that is known, written to a table that does not count yet."""

    begun: Begun
    source_id: str
    state: TableState


class SnapshotMoves:
    """Moves of all syncs' snapshots. Rows are sent again for none of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def copy_to_table(self, sync: Sync, table: SnapshotTable) -> Copied:
        """Write what is known to the table of the sync's source; nothing counts by it before `end_in_table`.

        :raises Invalid: the sync keeps nothing of its rows.
        :raises Conflict: a run is active, or the table has what is known already.
        """
        if sync.definition.sync_mode is SyncMode.APPEND:
            raise Invalid("a sync that appends keeps nothing of its rows", code="SNAPSHOT_TARGET")
        if await Snapshots(self._database).place(sync.id) is not None:
            raise Conflict("what is known of this sync's rows is in a warehouse already", code="SNAPSHOT_PLACE")
        begun = await self._begin(sync)
        if not await table.make(begun.fence):
            told = (
                "the warehouse has a table of this sync that another installation writes: drop it, if it is of no use"
            )
            raise Conflict(told, code="SNAPSHOT_PLACE")
        state = await table.check()
        async for some in Standings(self._database).entries(sync.id, begun.version):
            state = _ours(await table.write(begun.fence, some)) if some else state
        return Copied(begun, sync.definition.source_id, state)

    async def end_in_table(self, connection: Connection, sync: Sync, copied: Copied) -> None:
        """Have what was copied count, in the caller's transaction.

        :raises Conflict: a run has been active meanwhile, the sync was changed, or something else was brought in.
        """
        await lock(connection, sync, since=copied.begun.began_at)
        state = copied.state
        named = (sync.id, copied.begun.fence, copied.source_id, state.writes, state.entries)
        _require(touched(await connection.execute(_TO_TABLE, *named)))
        await connection.execute(_FORGET, sync.id, timeout=_LONGEST_S)

    async def to_store(self, connection: Connection, sync: Sync, table: SnapshotTable) -> int:
        """Put what a table says into pages of ours, in the caller's transaction; gives the number of entries.

        :raises SourceInvalid: the table is not as it was left.
        :raises Conflict: a run is active, or has been meanwhile; or what is known is here already.
        """
        await self._require_place(sync)
        begun = await self._begin(sync)
        base = TabledSnapshots(self._database, table)
        await base.check(sync.id)
        await table.take(begun.fence)
        await make_incoming(connection)
        entries = 0
        async for some in Standings(self._database, base).entries(sync.id, begun.version):
            await keep(connection, sync.id, some)
            entries += len(some)
        await lock(connection, sync, since=begun.began_at)
        _require(touched(await connection.execute(_TO_STORE, sync.id, begun.fence)))
        await change_pages(connection, sync.id)
        return entries

    async def forget(self, connection: Connection, sync: Sync) -> Mapping[str, Any]:
        """Know nothing any more of a sync whose table is lost, in the caller's transaction: it begins anew.

        :raises Conflict: a run is active; or what is known is here.
        """
        place = await self._require_place(sync)
        begun = await self._begin(sync)
        await lock(connection, sync, since=begun.began_at)
        _require(touched(await connection.execute(_TO_STORE, sync.id, begun.fence)))
        await connection.execute(_BEGIN_ANEW, sync.id)
        await connection.execute(_FORGET, sync.id, timeout=_LONGEST_S)
        return {"forgotten": place.entries}

    async def _require_place(self, sync: Sync) -> Place:
        place = await Snapshots(self._database).place(sync.id)
        if place is None:
            raise Conflict("what is known of this sync's rows is in the store already", code="SNAPSHOT_PLACE")
        return place

    async def _begin(self, sync: Sync) -> Begun:
        async with self._database.transaction() as connection:
            begun = Begun(**dict(await connection.fetchrow(_BEGIN, sync.id, sync.version) or {}))
            await refuse_runs(connection, sync.id, begun.began_at)
        return begun


def _ours(state: TableState | None) -> TableState:
    if state is None:
        raise Conflict("somebody else moves what is known of this sync's rows", code="SNAPSHOT_PLACE")
    return state


def _require(changed: int) -> None:
    if not changed:
        told = "what is known of this sync's rows was moved or imported meanwhile: look at it and do this again"
        raise Conflict(told, code="SNAPSHOT_PLACE")

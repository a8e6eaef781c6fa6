"""Opens what is known of a sync's rows, where it is kept in a table of a warehouse."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tailrace.connector_kit import registry
from tailrace.connector_kit.snapshot_keeping import KeepsSnapshots
from tailrace.core.errors import SourceInvalid
from tailrace.core.ids import SyncId
from tailrace.core.snapshot_tables import SnapshotTable
from tailrace.store.connections import Connections
from tailrace.store.database import Database
from tailrace.store.snapshots import Snapshots
from tailrace.store.tabled_snapshots import TabledSnapshots


@asynccontextmanager
async def open_snapshots(database: Database, connections: Connections, sync_id: SyncId) -> AsyncIterator[Snapshots]:
    """What is known of a sync's rows, for as long as the scope lasts; nothing is asked of a warehouse yet.

    :raises Invalid: the source that keeps it has other settings by now, which do not.
    """
    snapshots = Snapshots(database)
    place = await snapshots.place(sync_id)
    if place is None:
        yield snapshots
        return
    async with open_table(connections, place.source_id, sync_id) as table:
        yield TabledSnapshots(database, table)


@asynccontextmanager
async def open_table(connections: Connections, source_id: str, sync_id: SyncId) -> AsyncIterator[SnapshotTable]:
    """The table of a sync in the warehouse of a source, whether it is there or not.

    :raises SourceInvalid: `SNAPSHOT_SCHEMA`: it keeps none, or its settings do not say where.
    """
    stored, raw = await connections.open_settings(source_id)
    warehouse = registry.warehouse_type(stored.connector)
    if not isinstance(warehouse, KeepsSnapshots):
        told = f"{warehouse.label} keeps no snapshots yet, PostgreSQL does: leave what is known of rows in the store"
        raise SourceInvalid(told, code="SNAPSHOT_SCHEMA")
    settings = registry.validate_settings(warehouse.settings_type, raw)
    async with warehouse.open_snapshot(settings, sync_id) as table:
        yield table

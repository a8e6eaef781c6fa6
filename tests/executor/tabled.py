"""A yard whose warehouse keeps what is known of rows: how it is moved there and back, and looked at."""

from tailrace.runtime.snapshot_tables import open_table
from tailrace.store.connections import Connections
from tailrace.store.snapshot_moves import Copied, SnapshotMoves
from tailrace.store.syncs import Sync, Syncs
from tests.executor.yard import Yard


async def to_warehouse(yard: Yard) -> Copied:
    """Move it into the warehouse."""
    database, sync = yard.chassis.database, await current(yard)
    async with open_table(connections(yard), sync.definition.source_id, sync.id) as table:
        copied = await SnapshotMoves(database).copy_to_table(sync, table)
    async with database.transaction() as connection:
        await SnapshotMoves(database).end_in_table(connection, sync, copied)
    return copied


async def to_store(yard: Yard) -> int:
    """Move it back; gives the number of entries."""
    database, sync = yard.chassis.database, await current(yard)
    async with open_table(connections(yard), sync.definition.source_id, sync.id) as table:
        async with database.transaction() as connection:
            entries = await SnapshotMoves(database).to_store(connection, sync, table)
        await table.drop()
    return entries


async def current(yard: Yard) -> Sync:
    """The sync as it is now."""
    return await Syncs(yard.chassis.database).get(yard.sync.workspace_id, yard.sync.id)


def connections(yard: Yard) -> Connections:
    """The connections of the yard."""
    return Connections(yard.chassis.database, yard.chassis.box)


async def in_table(yard: Yard) -> list[tuple[str, bool]]:
    """Keys in the table, and whether they are gone."""
    rows = await yard.warehouse.fetch(f'SELECT key[1], gone FROM kept."{yard.sync.id}" ORDER BY key[1]::int')
    return [(row[0], row[1]) for row in rows]

"""What is known of a sync's rows changes its place where nothing stands in the way, all of it or nothing."""

from io import BytesIO

import pytest

from tailrace.core.errors import Conflict, Invalid
from tailrace.core.runs import RunKind
from tailrace.runtime.snapshot_tables import open_snapshots, open_table
from tailrace.store.connections import ConnectionDraft, ConnectionKind
from tailrace.store.snapshot_moves import SnapshotMoves
from tailrace.store.snapshot_transfers import SnapshotTransfers
from tests.executor.tabled import connections, current, to_store, to_warehouse
from tests.executor.yard import Yard


async def test_export_tells_what_the_table_knows(tabled: Yard) -> None:
    await tabled.add_people(1, 3)
    await to_warehouse(tabled)
    await tabled.run()
    database, sync = tabled.chassis.database, await current(tabled)

    async with open_snapshots(database, connections(tabled), sync.id) as snapshots:
        entries = await SnapshotTransfers(database).export(sync, BytesIO(), snapshots)
    with pytest.raises(Invalid, match="open its table"):
        await SnapshotTransfers(database).export(sync, BytesIO())
    known = await SnapshotTransfers(database).known(sync)
    await tabled.warehouse.execute(f'TRUNCATE kept."{sync.id}"')
    async with open_snapshots(database, connections(tabled), sync.id) as snapshots:
        with pytest.raises(Invalid, match="not as it was left"):
            await SnapshotTransfers(database).export(sync, BytesIO(), snapshots)

    assert (entries, known.entries, known.kept_by) == (3, 3, sync.definition.source_id)


async def test_move_is_refused_while_a_run_is_active_and_where_one_came_meanwhile(tabled: Yard) -> None:
    await tabled.add_people(1, 3)
    database, sync = tabled.chassis.database, tabled.sync
    async with open_table(connections(tabled), sync.definition.source_id, sync.id) as table:
        copied = await SnapshotMoves(database).copy_to_table(sync, table)
        run = await tabled.run()
        with pytest.raises(Conflict) as stale:
            async with database.transaction() as connection:
                await SnapshotMoves(database).end_in_table(connection, sync, copied)
        await tabled.start(RunKind.FULL)
        with pytest.raises(Conflict) as active:
            await SnapshotMoves(database).copy_to_table(sync, table)

    assert (stale.value.code, stale.value.existing_id, active.value.code) == ("SNAPSHOT_STALE", run.id, "RUN_ACTIVE")


async def test_of_two_moves_at_once_the_later_one_counts(tabled: Yard) -> None:
    await tabled.add_people(1, 3)
    await tabled.run()
    database, sync = tabled.chassis.database, tabled.sync
    async with open_table(connections(tabled), sync.definition.source_id, sync.id) as table:
        first = await SnapshotMoves(database).copy_to_table(sync, table)
        second = await SnapshotMoves(database).copy_to_table(sync, table)
        with pytest.raises(Conflict, match="meanwhile"):
            async with database.transaction() as connection:
                await SnapshotMoves(database).end_in_table(connection, sync, first)
        async with database.transaction() as connection:
            await SnapshotMoves(database).end_in_table(connection, sync, second)
    run = await tabled.run()

    assert (run.books.skipped, run.books.delivered) == (3, 0)


async def test_move_to_where_it_is_is_refused(tabled: Yard) -> None:
    with pytest.raises(Conflict, match="in the store already"):
        await to_store(tabled)
    await to_warehouse(tabled)
    with pytest.raises(Conflict, match="in a warehouse already"):
        await to_warehouse(tabled)


async def test_source_that_names_no_schema_keeps_none(yard: Yard) -> None:
    with pytest.raises(Invalid, match="snapshot_schema"):
        await to_warehouse(yard)


async def test_source_that_keeps_what_is_known_is_not_deleted(tabled: Yard) -> None:
    await to_warehouse(tabled)
    kept_by = tabled.sync.definition.source_id
    workspace_id, another = tabled.sync.workspace_id, ConnectionDraft("another", {"url": "***"}, {"/url": "x"})
    source = await connections(tabled).create(workspace_id, ConnectionKind.SOURCE, "postgres", another)
    await tabled.change_sync(source_id=source.id)

    with pytest.raises(Conflict) as refused:
        await connections(tabled).delete(workspace_id, ConnectionKind.SOURCE, kept_by)

    assert refused.value.code == "IN_USE"

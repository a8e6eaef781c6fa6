"""What is known of a sync's rows lies in a table of its warehouse: runs go on by it, and nothing is sent again."""

from collections.abc import Iterator, Sequence

import pytest

from tailrace.core.errors import LeaseLost, SourceInvalid
from tailrace.core.rows import RowHash, RowKey
from tailrace.core.runs import RunStatus
from tailrace.core.snapshot_tables import TABLE_LOST, TableState
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import SyncMode
from tailrace.observe.failpoints import arm, parse_failpoint
from tailrace.runtime.snapshot_tables import open_snapshots, open_table
from tailrace.store.shards import Claim, Shards
from tailrace.store.snapshot_moves import SnapshotMoves
from tailrace.store.standings import Standings
from tailrace.store.tabled_snapshots import TabledSnapshots
from tests.executor.sharing import claimed
from tests.executor.sink import Sink
from tests.executor.tabled import connections, current, in_table, to_store, to_warehouse
from tests.executor.yard import Yard
from tests.store.conftest import add_settled

SHORT = {"lease_ttl_s": 2.0, "lease_margin_s": 0.5, "heartbeat_s": 0.5, "takeover_grace_s": 0.2}
OVERTAKE = "UPDATE run_shards SET lease_token = gen_random_uuid(), lease_epoch = lease_epoch + 1"
SET_BACK = "writes = writes - 1, entries = 0"
PAGES = "SELECT count(*)::int FROM snapshot_pages WHERE sync_id = $1"


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """No failpoint is left armed."""
    yield
    arm(None)


async def test_sync_that_is_switched_there_and_back_sends_what_changed_alone(tabled: Yard, sink: Sink) -> None:
    await tabled.add_people(1, 30)
    await tabled.run()
    sink.rows.clear()

    copied = await to_warehouse(tabled)
    quiet = await tabled.run()
    await tabled.warehouse.execute("UPDATE people SET email = 'new' WHERE id = 7")
    await tabled.add_people(31, 31)
    there = await tabled.run()
    entries, pages = await in_table(tabled), await tabled.chassis.database.fetchval(PAGES, tabled.sync.id)
    moved = await to_store(tabled)
    await tabled.warehouse.execute("UPDATE people SET email = 'newer' WHERE id = 7")
    back = await tabled.run()

    assert (copied.state.entries, quiet.books.skipped, quiet.books.delivered) == (30, 30, 0)
    assert (there.status, there.books.delivered, there.books.skipped) == (RunStatus.SUCCEEDED, 2, 29)
    assert (len(entries), pages, moved) == (31, 0, 31)
    assert (back.books.delivered, back.books.skipped) == (1, 30)
    assert sorted(sink.times_by_id.items()) == [(7, 2), (31, 1)]


async def test_mirror_finds_its_deletes_by_the_table(tabled: Yard, sink: Sink) -> None:
    await tabled.change_sync(sync_mode=SyncMode.MIRROR)
    await to_warehouse(tabled)
    await tabled.add_people(1, 20)
    await tabled.run()
    await tabled.warehouse.execute("DELETE FROM people WHERE id IN (3, 4)")

    run = await tabled.run()
    again = await tabled.run()

    assert (run.status, run.books.deleted, again.books.deleted) == (RunStatus.SUCCEEDED, 2, 0)
    assert [key for key, _ in await in_table(tabled)] == [str(n) for n in range(1, 21) if n not in {3, 4}]


async def test_sync_that_reads_by_a_cursor_keeps_its_look_back_in_the_table(tabled: Yard, sink: Sink) -> None:
    await tabled.change_sync(reading={"type": "cursor", "column": "id", "look_back_s": 2})
    await to_warehouse(tabled)
    await tabled.add_people(1, 30)
    await tabled.run()
    await tabled.add_people(31, 32)
    sink.rows.clear()

    run = await tabled.run()

    assert (run.status, sorted(sink.times_by_id)) == (RunStatus.SUCCEEDED, [31, 32])
    assert len(await in_table(tabled)) < 10


async def test_sync_that_writes_elsewhere_forgets_what_the_table_says(tabled: Yard, sink: Sink) -> None:
    await to_warehouse(tabled)
    await tabled.add_people(1, 5)
    await tabled.run()
    await tabled.change_sync(object_name="others")

    run = await tabled.run()

    assert (run.books.delivered, len(await in_table(tabled))) == (5, 5)


async def test_run_shared_by_two_executors_goes_by_the_table(tabled: Yard, sink: Sink) -> None:
    await tabled.change_sync(delivery={"shards": 2})
    await tabled.add_people(1, 60)
    await tabled.run()
    await to_warehouse(tabled)
    await tabled.warehouse.execute("UPDATE people SET email = 'new' WHERE id IN (5, 50)")
    sink.rows.clear()

    run_id = await tabled.start()
    async with tabled.executor(rows_per_shard=20), tabled.executor(rows_per_shard=20, pod_name="other"):
        run = await tabled.ended(run_id)

    shards = await tabled.chassis.database.fetchval("SELECT count(*)::int FROM run_shards WHERE run_id = $1", run_id)
    assert (run.status, run.books.delivered, run.books.skipped, shards) == (RunStatus.SUCCEEDED, 2, 58, 2)
    assert sorted(sink.times_by_id) == [5, 50]


@pytest.mark.parametrize("harm", ['DROP TABLE kept."{}"', 'TRUNCATE kept."{}"', "DROP TABLE kept.tailrace_snapshots"])
async def test_table_that_somebody_spoilt_fails_the_run_and_sends_nothing(tabled: Yard, sink: Sink, harm: str) -> None:
    await tabled.add_people(1, 5)
    await tabled.run()
    await to_warehouse(tabled)
    sink.rows.clear()
    await tabled.warehouse.execute(harm.format(tabled.sync.id))

    run = await tabled.run()

    assert (run.status, run.error_code, sink.rows) == (RunStatus.FAILED, TABLE_LOST, [])
    assert "--forget" in (run.error_message or "")


async def test_table_from_an_earlier_backup_fails_the_run(tabled: Yard, sink: Sink) -> None:
    await tabled.add_people(1, 5)
    await to_warehouse(tabled)
    await tabled.warehouse.execute(f'CREATE TABLE backup AS TABLE kept."{tabled.sync.id}"')
    await tabled.warehouse.execute("CREATE TABLE list AS TABLE kept.tailrace_snapshots")
    await tabled.run()
    await tabled.warehouse.execute(
        f'TRUNCATE kept."{tabled.sync.id}", kept.tailrace_snapshots;'
        " INSERT INTO kept.tailrace_snapshots SELECT * FROM list"
    )

    run = await tabled.run()

    assert (run.status, run.error_code) == (RunStatus.FAILED, TABLE_LOST)


async def test_state_store_that_was_set_back_sends_nothing_by_a_later_table(tabled: Yard, sink: Sink) -> None:
    await to_warehouse(tabled)
    await tabled.add_people(1, 5)
    await tabled.run()
    sink.rows.clear()
    await tabled.warehouse.execute("UPDATE people SET email = 'new'")
    await tabled.chassis.database.execute("UPDATE snapshot_targets SET base_fence = 1, base_writes = 0")

    run = await tabled.run()

    assert (run.status, run.error_code, sink.rows) == (RunStatus.FAILED, TABLE_LOST, [])


async def test_sync_whose_table_is_lost_begins_anew_once_it_is_told_to(tabled: Yard, sink: Sink) -> None:
    await tabled.add_people(1, 5)
    await to_warehouse(tabled)
    await tabled.run()
    await tabled.warehouse.execute(f'DROP TABLE kept."{tabled.sync.id}"')
    async with tabled.chassis.database.transaction() as connection:
        told = await SnapshotMoves(tabled.chassis.database).forget(connection, await current(tabled))

    run = await tabled.run()

    assert (told, run.status, run.books.delivered) == ({"forgotten": 5}, RunStatus.SUCCEEDED, 5)


@pytest.mark.parametrize("name", ["exec.snapshot_written_before_forgotten", "exec.snapshot_forgotten"])
async def test_run_that_breaks_off_around_its_merge_is_carried_on(tabled: Yard, sink: Sink, name: str) -> None:
    await to_warehouse(tabled)
    await tabled.add_people(1, 30)
    await tabled.run()
    await tabled.warehouse.execute("UPDATE people SET email = 'new' WHERE id < 4")
    sink.rows.clear()

    run_id = await tabled.start()
    arm(parse_failpoint(f"{name}:1:raise"))
    async with tabled.executor(**SHORT):
        run = await tabled.ended(run_id)
    epoch = await tabled.chassis.database.fetchval("SELECT lease_epoch FROM run_shards WHERE run_id = $1", run_id)
    after = await tabled.run()

    assert (run.status, run.books.delivered, run.books.skipped, epoch > 1) == (RunStatus.SUCCEEDED, 3, 27, True)
    assert (after.books.skipped, after.books.delivered) == (30, 0)
    assert sorted(sink.times_by_id) == [1, 2, 3]
    assert await tabled.chassis.database.fetchval(PAGES, tabled.sync.id) == 0


async def test_executor_that_lost_its_run_changes_nothing_in_the_table(tabled: Yard) -> None:
    database, sync_id = tabled.chassis.database, tabled.sync.id
    first = await _begun(tabled)
    async with open_snapshots(database, connections(tabled), sync_id) as snapshots:
        await snapshots.merge(first.lease, sync_id)
        await add_settled(database, sync_id, [Entry(RowKey(("2",)), RowHash(b"settled8"))])
        await database.execute(OVERTAKE)

        with pytest.raises(LeaseLost):
            await snapshots.merge(first.lease, sync_id)

    assert await in_table(tabled) == [("1", False)]


async def test_table_that_is_set_back_during_a_run_loses_nothing_that_was_settled(tabled: Yard) -> None:
    database, sync_id = tabled.chassis.database, tabled.sync.id
    claim = await _begun(tabled)
    async with open_snapshots(database, connections(tabled), sync_id) as snapshots:
        await snapshots.merge(claim.lease, sync_id)
        await tabled.warehouse.execute(f'DELETE FROM kept."{sync_id}"; UPDATE kept.tailrace_snapshots SET {SET_BACK}')
        await add_settled(database, sync_id, [Entry(RowKey(("2",)), RowHash(b"settled8"))])

        with pytest.raises(SourceInvalid, match="earlier time"):
            await snapshots.merge(claim.lease, sync_id)

    assert await database.fetchval(PAGES, sync_id) == 1


async def test_executor_that_is_overtaken_while_it_writes_forgets_nothing(
    tabled: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, sync = tabled.chassis.database, tabled.sync
    claim = await _begun(tabled)
    async with open_table(connections(tabled), sync.definition.source_id, sync.id) as table:
        write = table.write

        async def overtaken(fence: int, entries: Sequence[Entry]) -> TableState | None:
            await database.execute(OVERTAKE)
            return await write(fence, entries)

        monkeypatch.setattr(table, "write", overtaken)
        with pytest.raises(LeaseLost):
            await TabledSnapshots(database, table).merge(claim.lease, sync.id)

    assert (await in_table(tabled), await database.fetchval(PAGES, sync.id)) == ([("1", False)], 1)


async def test_row_is_found_in_the_table_and_what_a_run_settled_lately_counts_more(tabled: Yard) -> None:
    await tabled.add_people(1, 3)
    await tabled.run()
    await to_warehouse(tabled)
    database = tabled.chassis.database
    async with open_snapshots(database, connections(tabled), tabled.sync.id) as snapshots:
        standings = Standings(database, snapshots)
        before = await standings.of_row(tabled.sync.id, RowKey(("2",)))
        await add_settled(database, tabled.sync.id, [Entry(RowKey(("2",)), RowHash(b"settled8"))])
        after = await standings.of_row(tabled.sync.id, RowKey(("2",)))
        none = await standings.of_row(tabled.sync.id, RowKey(("9",)))

    assert before is not None
    assert after is not None
    assert (before.delivered != after.delivered, after.delivered, none) == (True, b"settled8", None)


async def _begun(tabled: Yard) -> Claim:
    """A run that has settled one row, of a sync that is kept in the warehouse."""
    await to_warehouse(tabled)
    await tabled.start()
    claim = await claimed(Shards(tabled.chassis.database))
    await add_settled(tabled.chassis.database, tabled.sync.id, [Entry(RowKey(("1",)), RowHash(b"settled8"))])
    return claim

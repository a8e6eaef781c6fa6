"""A sync moves to another installation without sending everything again, and nothing unsound is brought in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from io import BytesIO

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.errors import Conflict, Invalid, NotFound
from tailrace.core.ids import new_run_id
from tailrace.core.rows import RowHash, RowKey
from tailrace.core.runs import RunKind, RunStatus, RunTrigger
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import SyncMode
from tailrace.events.run_events import run_queued
from tailrace.store.connections import ConnectionDraft
from tailrace.store.database import Database, Waits
from tailrace.store.runs import NewRun, Runs
from tailrace.store.snapshot_files import SnapshotReader
from tailrace.store.snapshot_transfers import SnapshotTransfers
from tailrace.store.standings import Standings
from tailrace.store.syncs import Syncs
from tests.executor.conftest import QUERY
from tests.executor.sink import Row, Sink
from tests.executor.yard import Yard, definition_of, make_sync
from tests.store.conftest import add_settled

ABOVE = "SELECT above IS NOT NULL AS is_laid, algorithm FROM snapshot_pages"
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest_asyncio.fixture
async def other(
    yard: Yard, warehouse: "asyncpg.Connection[asyncpg.Record]", sink: Sink, empty_database_url: str
) -> Yard:
    """The same sync in another workspace, with connections of its own."""
    source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": empty_database_url})
    batches = {"url": sink.url, "rows_per_batch": 10, "requires_results": True}
    sync = await make_sync(
        yard.chassis, source, ConnectionDraft("sink", batches, {}), definition_of(QUERY, ("id", "email"))
    )
    return Yard(yard.chassis, warehouse, sync)


@pytest_asyncio.fixture
async def patient(yard: Yard, database_url: str) -> AsyncIterator[Yard]:
    """The same yard, whose statements wait for locks for as long as a busy machine takes."""
    waits = Waits(acquire_s=60, command_s=60)
    async with Database.open(database_url, application_name="test", waits=waits) as database:
        yield replace(yard, chassis=replace(yard.chassis, database=database))


async def exported(yard: Yard) -> BytesIO:
    file = BytesIO()
    sync = await Syncs(yard.chassis.database).get(yard.sync.workspace_id, yard.sync.id)
    await SnapshotTransfers(yard.chassis.database).export(sync, file)
    file.seek(0)
    return file


async def bring_in(yard: Yard, file: BytesIO, *, same_destination: bool = True) -> int:
    sync = await Syncs(yard.chassis.database).get(yard.sync.workspace_id, yard.sync.id)
    database, reader = yard.chassis.database, SnapshotReader(file)
    async with database.transaction() as connection:
        return await SnapshotTransfers(database).bring_in(connection, sync, reader, same_destination=same_destination)


async def pages_of(yard: Yard) -> str:
    told: str = await yard.chassis.database.fetchval(
        "SELECT string_agg(pages::text, '|' ORDER BY first_key) FROM snapshot_pages AS pages WHERE sync_id = $1",
        yard.sync.id,
    )
    return told


async def test_sync_that_moved_sends_what_changed_alone(yard: Yard, other: Yard, sink: Sink) -> None:
    await yard.add_people(1, 30)
    await yard.run()
    await yard.warehouse.execute("UPDATE people SET email = 'new' WHERE id = 7")
    await yard.add_people(31, 31)
    sink.rows.clear()

    moved = await bring_in(other, await exported(yard))
    run = await other.run()

    assert (moved, run.status, run.books.delivered, run.books.skipped) == (30, RunStatus.SUCCEEDED, 2, 29)
    assert sorted(sink.times_by_id) == [7, 31]


async def test_import_of_its_own_export_leaves_nothing_above_a_page(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 30)
    await yard.run()
    await yard.warehouse.execute("UPDATE people SET email = 'new' WHERE id = 7")
    await yard.run()
    before = await yard.chassis.database.fetch(ABOVE)
    sink.rows.clear()

    await bring_in(yard, await exported(yard))
    after = await yard.chassis.database.fetch(ABOVE)
    run = await yard.run()

    assert [(page["is_laid"], page["algorithm"]) for page in (*before, *after)] == [(True, -2), (False, 2)]
    assert (run.books.skipped, sink.rows) == (30, [])


async def test_sync_that_reads_by_a_cursor_moves_with_its_watermark(yard: Yard, other: Yard, sink: Sink) -> None:
    reading = {"type": "cursor", "column": "id", "look_back_s": 2}
    await yard.change_sync(reading=reading)
    await other.change_sync(reading=reading)
    await yard.add_people(1, 30)
    await yard.run()
    await yard.add_people(31, 32)
    sink.rows.clear()

    await bring_in(other, await exported(yard))
    run = await other.run()

    assert (run.status, sorted(sink.times_by_id)) == (RunStatus.SUCCEEDED, [31, 32])


async def test_file_of_a_run_that_broke_off_holds_what_its_checkpoints_settled(
    yard: Yard, other: Yard, sink: Sink
) -> None:
    await yard.chassis.database.execute("UPDATE connections SET max_in_flight = 1")

    def gives_up_at_9(row: Row) -> bool:
        sink.status = 401 if row["id"] == 9 else 200
        return False

    sink.is_bad = gives_up_at_9
    await yard.add_people(1, 40)
    broken = await yard.run()
    sink.is_bad, sink.status = (lambda _: False), 200

    moved = await bring_in(other, await exported(yard))
    run = await other.run()

    assert (broken.status, run.status) == (RunStatus.FAILED, RunStatus.SUCCEEDED)
    assert (moved, run.books.skipped, run.books.delivered) == (broken.books.delivered, moved, 40 - moved)
    assert 0 < moved < 40


async def test_what_was_imported_was_delivered_by_no_run_here(yard: Yard, other: Yard) -> None:
    await yard.add_people(1, 3)
    run = await yard.run()
    file = await exported(yard)
    standings, key = Standings(yard.chassis.database), RowKey(("2",))
    entry = await standings.of_row(yard.sync.id, key)

    await bring_in(other, file)

    assert await standings.of_row(other.sync.id, key) == entry
    assert entry is not None
    assert await standings.delivered_by(yard.sync.id, entry) == (run.id, run.id)
    assert await standings.delivered_by(other.sync.id, entry) == (None, None)


async def test_import_replaces_all_that_was_known(yard: Yard, other: Yard) -> None:
    await yard.add_people(1, 3)
    await yard.run()
    database = yard.chassis.database
    await add_settled(database, other.sync.id, [Entry(RowKey(("99",)), RowHash(b"abcdefgh"))])

    await bring_in(other, await exported(yard))

    left = await database.fetchval("SELECT sum(entries) FROM snapshot_pages WHERE sync_id = $1", other.sync.id)
    assert (left, await Standings(database).of_row(other.sync.id, RowKey(("99",)))) == (3, None)


async def test_known_rows_are_counted(yard: Yard) -> None:
    await yard.add_people(1, 30)
    await yard.run()
    transfers = SnapshotTransfers(yard.chassis.database)

    known = await transfers.known(yard.sync)
    await yard.change_sync(object_name="others")
    changed = await transfers.known(await Syncs(yard.chassis.database).get(yard.sync.workspace_id, yard.sync.id))

    assert (known.entries, known.delivered, known.gone, known.version, known.is_of_use) == (30, 30, 0, 1, True)
    assert (changed.entries, changed.is_of_use) == (30, False)
    assert (known.imported_at, known.active_run) == (None, None)


async def test_nothing_is_known_and_exported_before_a_run(yard: Yard) -> None:
    known = await SnapshotTransfers(yard.chassis.database).known(yard.sync)

    assert (known.entries, known.version, known.is_of_use) == (0, None, True)
    with pytest.raises(NotFound, match="no run of it has read any"):
        await exported(yard)


class TestRefused:
    """Whatever is refused leaves what was known as it was."""

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"object_name": "others"}, "object name is people, the sync's is others"),
            ({"sync_mode": SyncMode.DELETE}, "way is write, the sync's is delete"),
            ({"sync_mode": SyncMode.APPEND}, "a sync that appends keeps nothing"),
            ({"reading": {"type": "cursor", "column": "id"}}, "cursor is None, the sync's is id"),
            (
                {"field_mappings": [{"source": "email", "destination": "email", "key": True}]},
                "key is id as id, the sync's is email as email",
            ),
        ],
    )
    async def test_file_of_another_target_is_refused(
        self, yard: Yard, other: Yard, changes: dict[str, object], told: str
    ) -> None:
        await yard.add_people(1, 3)
        await yard.run()
        await other.change_sync(**changes)

        with pytest.raises(Invalid, match=told):
            await bring_in(other, await exported(yard))

    async def test_another_destination_takes_a_word(self, yard: Yard, other: Yard) -> None:
        await yard.add_people(1, 3)
        await yard.run()

        with pytest.raises(Invalid, match="--same-destination"):
            await bring_in(other, await exported(yard), same_destination=False)

    async def test_another_query_by_a_cursor_is_refused(self, yard: Yard, other: Yard) -> None:
        reading = {"type": "cursor", "column": "id"}
        await yard.change_sync(reading=reading)
        await other.change_sync(reading=reading, source_query=f"{QUERY} WHERE id > 0")
        await yard.add_people(1, 3)
        await yard.run()

        with pytest.raises(Invalid, match="query or mappings are others"):
            await bring_in(other, await exported(yard))

    async def test_broken_file_changes_nothing(self, yard: Yard) -> None:
        await yard.add_people(1, 30)
        await yard.run()
        file, before = await exported(yard), await pages_of(yard)

        with pytest.raises(Invalid, match="cut off"):
            await bring_in(yard, BytesIO(file.getvalue()[:-9]))

        assert await pages_of(yard) == before

    async def test_file_is_refused_while_a_run_is_active(self, yard: Yard) -> None:
        await yard.add_people(1, 3)
        await yard.run()
        file = await exported(yard)
        run_id = await yard.start()

        with pytest.raises(Conflict, match="is active") as refused:
            await bring_in(yard, file)

        assert (refused.value.code, refused.value.existing_id) == ("RUN_ACTIVE", run_id)

    async def test_file_that_a_run_has_overtaken_is_refused(self, yard: Yard) -> None:
        await yard.add_people(1, 3)
        await yard.run()
        file = await exported(yard)
        await yard.run(RunKind.FULL)
        before = await pages_of(yard)

        with pytest.raises(Conflict, match="ahead of the file"):
            await bring_in(yard, file)

        assert await pages_of(yard) == before

    async def test_run_that_is_being_started_is_seen(self, patient: Yard) -> None:
        await patient.add_people(1, 3)
        await patient.run()
        file, database = await exported(patient), patient.chassis.database
        new = NewRun(
            new_run_id(), patient.sync.workspace_id, patient.sync.id, RunKind.INCREMENTAL, RunTrigger.API, "a test"
        )

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            async with database.transaction() as connection:
                await Runs(database).start(connection, new, run_queued(new))
                importing = tasks.create_task(_outcome(bring_in(patient, file)))
                await patient.until(lambda: _is_waiting(patient))
            refused = await importing

        assert isinstance(refused, Conflict)
        assert refused.existing_id == new.run_id

    async def test_start_waits_for_an_import_and_finds_what_it_left(self, patient: Yard, sink: Sink) -> None:
        await patient.add_people(1, 30)
        await patient.run()
        file, database = await exported(patient), patient.chassis.database
        await database.execute("DELETE FROM snapshot_pages")
        sink.rows.clear()
        reader = SnapshotReader(file)

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            async with database.transaction() as connection:
                await SnapshotTransfers(database).bring_in(connection, patient.sync, reader)
                starting = tasks.create_task(patient.start())
                await patient.until(lambda: _is_waiting(patient))
            run_id = await starting
        async with patient.executor():
            run = await patient.ended(run_id)

        assert (run.status, run.books.skipped, sink.rows) == (RunStatus.SUCCEEDED, 30, [])


async def _is_waiting(yard: Yard) -> bool:
    return bool(await yard.chassis.database.fetchval(WAITS))


async def _outcome(work: Awaitable[int]) -> int | Conflict:
    try:
        return await work
    except Conflict as refused:
        return refused

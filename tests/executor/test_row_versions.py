"""A large table whose rows have a version: what has another one is read, and nothing else."""

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.ids import RunId
from tailrace.core.readings import SnapshotReading, VersionReading
from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tests.executor.sink import Sink
from tests.executor.yard import Yard, definition_of, make_sync

ROWS = 60_000
PREPARE = """
ALTER TABLE people ADD version int NOT NULL DEFAULT 1;
CREATE INDEX ON people (id);
ANALYZE people
"""
RENAME = "UPDATE people SET email = 'new' || id || '@example.com', version = version + 1 WHERE id % 1000 = 7"
TOUCH = "UPDATE people SET version = version + 1 WHERE id % 1000 = 8"
REMOVE = "DELETE FROM people WHERE id % 10000 = 9"
OVERWRITE = "UPDATE people SET email = 'unseen@example.com' WHERE id = 10"
RENAMED = {number for number in range(1, ROWS + 1) if number % 1000 == 7}


@pytest_asyncio.fixture
async def large(
    chassis: Chassis, warehouse: "asyncpg.Connection[asyncpg.Record]", sink: Sink, empty_database_url: str
) -> Yard:
    """A sync of so many people by their versions."""
    source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": empty_database_url})
    batches = {"url": sink.url, "rows_per_batch": 500, "requires_results": True}
    definition = definition_of("SELECT id, email, version FROM people", ("id", "email")).model_copy(
        update={"reading": VersionReading(type="version", column="version")}
    )
    sync = await make_sync(chassis, source, ConnectionDraft("sink", batches, {}), definition)
    yard = Yard(chassis, warehouse, sync)
    await yard.add_people(1, ROWS)
    await warehouse.execute(PREPARE)
    return yard


async def test_rows_of_another_version_are_sent_once_and_others_are_not_looked_at(
    large: Yard, warehouse: "asyncpg.Connection[asyncpg.Record]", sink: Sink
) -> None:
    first = await large.run()
    sent, sink.rows[:] = len(sink.rows), []
    for change in (RENAME, TOUCH, REMOVE, OVERWRITE):
        await warehouse.execute(change)
    await large.add_people(ROWS + 1, ROWS + 3)

    second = await large.run()
    arrived = sink.times_by_id
    third = await large.run()

    assert [run.status for run in (first, second, third)] == [RunStatus.SUCCEEDED] * 3
    assert (first.books.delivered, sent) == (ROWS, ROWS)
    added = {ROWS + 1, ROWS + 2, ROWS + 3}
    assert arrived == dict.fromkeys(RENAMED | added, 1)
    left = ROWS - 6 + len(added)
    assert (second.books.read, second.books.delivered, second.books.removed) == (left, len(arrived), 6)
    assert (third.books.read, third.books.delivered, third.books.skipped) == (left, 0, left)
    assert (second.books.balance, third.books.balance) == (True, True)


async def test_postgres_keeps_a_version_of_each_row_by_itself(
    large: Yard, warehouse: "asyncpg.Connection[asyncpg.Record]", sink: Sink
) -> None:
    by_xmin = VersionReading(type="version", column="row_version").model_dump()
    await large.change_sync(source_query="SELECT xmin AS row_version, id, email FROM people", reading=by_xmin)
    await large.run()
    sink.rows.clear()
    await warehouse.execute(OVERWRITE)
    await warehouse.execute("UPDATE people SET version = 7 WHERE id = 11")

    second, third = await large.run(), await large.run()

    assert [row["id"] for row in sink.rows] == [10]
    assert (second.books.delivered, third.books.delivered, third.books.skipped) == (1, 0, ROWS)


@pytest.mark.parametrize("mode", [SyncMode.INSERT, SyncMode.MIRROR])
async def test_what_was_delivered_stays_known_however_rows_are_compared(
    yard: Yard, warehouse: "asyncpg.Connection[asyncpg.Record]", mode: SyncMode
) -> None:
    await yard.add_people(1, 50)
    query = "SELECT id, email, 7 AS version, 8 AS other FROM people"
    common = {"source_query": query, "sync_mode": mode, "max_delete_ratio": 1.0}
    await yard.change_sync(**common)
    await yard.run()
    gone = 1 if mode is SyncMode.MIRROR else 0

    for number, column in enumerate(["version", "other", None], start=1):
        by_version = VersionReading(type="version", column=column) if column else SnapshotReading()
        await yard.change_sync(**common, reading=by_version.model_dump())
        await warehouse.execute("DELETE FROM people WHERE id = $1", number)
        run = await yard.run()

        assert (run.books.read, run.books.delivered, run.books.deleted) == (50 - number, 0, gone)


async def test_run_that_is_stopped_among_rows_of_another_version_goes_on(
    large: Yard, warehouse: "asyncpg.Connection[asyncpg.Record]", sink: Sink
) -> None:
    await large.run()
    sink.rows.clear()
    await warehouse.execute("UPDATE people SET email = 'new' || id, version = 2 WHERE id % 20 = 0")
    sink.delay_s = 0.05

    run_id = await large.start()
    async with large.executor(window_rows=500) as stopping:
        await large.until(lambda: _has_delivered(large, run_id))
        stopping.set()
    between, sink.delay_s = await large.look(run_id), 0.0
    async with large.executor():
        run = await large.ended(run_id)

    assert between.status is RunStatus.RUNNING
    assert (run.status, run.books.balance, run.books.delivered) == (RunStatus.SUCCEEDED, True, ROWS // 20)
    assert {row["id"] for row in sink.rows} == set(range(20, ROWS + 1, 20))


async def test_refused_row_is_tried_again_once_it_has_another_version(
    large: Yard, warehouse: "asyncpg.Connection[asyncpg.Record]", sink: Sink
) -> None:
    sink.is_bad = lambda row: row["id"] in {70, 71}
    refused = await large.run()
    sink.is_bad, sink.rows[:] = lambda _: False, []

    unchanged = await large.run()
    await warehouse.execute("UPDATE people SET email = 'mended@example.com', version = 2 WHERE id = 70")
    mended = await large.run()

    assert (refused.books.rejected, unchanged.books.delivered, mended.books.delivered) == (2, 0, 1)
    assert unchanged.books.reasons["skipped.STILL_DEAD"] == 2
    assert [row["id"] for row in sink.rows] == [70]


async def _has_delivered(yard: Yard, run_id: RunId) -> bool:
    return (await yard.look(run_id)).books.delivered > 0

"""Every mode by every reading: two runs on real databases, clean, interrupted, and with rows that are refused."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.runs import RunKind, RunStatus
from tailrace.core.syncs import SyncMode
from tailrace.runtime.service import Chassis
from tests.executor.modes import CURSOR, REFUSED, REMOVED, SNAPSHOT, WAYS, Way, open_way

KINDS = [RunKind.INCREMENTAL, RunKind.FULL]


@pytest_asyncio.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{way[1].type}")
async def way(
    request: pytest.FixtureRequest,
    chassis: Chassis,
    warehouse: "asyncpg.Connection[asyncpg.Record]",
    empty_database_url: str,
) -> AsyncIterator[Way]:
    """A sync in a mode, by a reading."""
    async with open_way(request.param, chassis, warehouse, empty_database_url) as opened:
        yield opened


@pytest.mark.parametrize("kind", KINDS)
async def test_two_runs_bring_the_destination_in_step(way: Way, kind: RunKind) -> None:
    first = await way.first_run()
    await way.change()

    second = await way.yard.run(kind)

    assert (first.status, second.status, second.error_message) == (RunStatus.SUCCEEDED, RunStatus.SUCCEEDED, None)
    assert (first.books.balance, second.books.balance) == (True, True)
    assert await way.contacts() == way.expected(kind)


@pytest.mark.parametrize("kind", KINDS)
async def test_interrupted_run_comes_to_the_same(way: Way, kind: RunKind) -> None:
    await way.first_run()
    await way.change()
    await way.slow_down()

    between, run = await way.interrupted_run(kind)

    assert between.status is RunStatus.RUNNING
    assert between.books.delivered < run.books.delivered
    assert (run.status, run.books.balance) == (RunStatus.SUCCEEDED, True)
    assert await way.contacts() == way.expected(kind)


@pytest.mark.parametrize("kind", KINDS)
async def test_refused_row_is_a_dead_letter_and_the_others_go(way: Way, kind: RunKind, letters_sql: str) -> None:
    await way.first_run()
    await way.change()
    await way.refuse()

    run = await way.yard.run(kind)

    letters = await way.yard.chassis.database.fetch(letters_sql)
    assert (run.status, run.books.balance) == (RunStatus.SUCCEEDED, True)
    assert sum(row["letters"] for row in letters) == run.books.failed
    assert await way.contacts() == way.expected(kind, without=REFUSED)


@pytest.mark.parametrize("way", [(SyncMode.MIRROR, SNAPSHOT)], indirect=True, ids=["mirror"])
async def test_deletes_that_were_interrupted_go_on_without_another_look_at_the_guard(way: Way) -> None:
    await way.first_run()
    await way.yard.change_sync(max_delete_ratio=0.6)
    await way.yard.warehouse.execute("DELETE FROM people WHERE id > 100")
    await way.slow_down()

    between, run = await way.interrupted_run(RunKind.INCREMENTAL, once="deleted")

    assert (between.status, 0 < between.books.deleted < 100) == (RunStatus.RUNNING, True)
    assert (run.status, run.books.read) == (RunStatus.SUCCEEDED, 100)
    assert (run.books.removed, run.books.deleted) == (100, 100)
    assert dict(await way.contacts()).keys() == set(range(1, 101))


@pytest.mark.parametrize("way", [(SyncMode.MIRROR, SNAPSHOT)], indirect=True, ids=["mirror"])
async def test_delete_that_was_refused_is_made_by_the_run_after_its_letter_was_resolved(way: Way) -> None:
    await way.first_run()
    await way.change()
    await way.refuse()
    await way.yard.run()
    still_dead = await way.yard.run()
    await way.yard.warehouse.execute("DROP TRIGGER held ON contacts")
    await way.yard.chassis.database.execute("UPDATE dead_letters SET state = 'resolved', resolution = 'fixed'")

    run = await way.yard.run()

    assert still_dead.books.reasons["kept.STILL_DEAD"] == 1
    assert (run.books.deleted, run.books.failed) == (1, 1)
    assert REMOVED[0] not in dict(await way.contacts())


@pytest.mark.parametrize(
    "way", [way for way in WAYS if way[0] is SyncMode.APPEND], indirect=True, ids=["all", "cursor"]
)
async def test_replay_of_an_append_sends_what_its_letter_keeps(way: Way) -> None:
    await way.first_run()
    await way.change()
    await way.refuse()
    await way.yard.run()
    await way.yard.warehouse.execute("UPDATE people SET email = 'mended@example.com' WHERE id = $1", REFUSED)
    await way.yard.warehouse.execute("ALTER TABLE contacts DROP CONSTRAINT contacts_email_check")

    run = await way.yard.replay()

    assert (run.status, run.books.delivered) == (RunStatus.SUCCEEDED, 1)
    assert (REFUSED, "nowhere") in await way.contacts()


@pytest.mark.parametrize("way", [(SyncMode.UPSERT, CURSOR)], indirect=True, ids=["upsert by cursor"])
async def test_rows_below_the_look_back_are_not_read_again(way: Way) -> None:
    await way.first_run()
    await way.change()
    await way.yard.run()

    run = await way.yard.run()

    assert (run.books.read, run.books.reasons) == (80, {"skipped.UNCHANGED": 80})


@pytest.mark.parametrize("way", [(SyncMode.UPSERT, CURSOR)], indirect=True, ids=["upsert by cursor"])
async def test_value_of_the_future_hides_no_rows_to_come(way: Way) -> None:
    await way.yard.warehouse.execute("UPDATE people SET at = '2999-01-01' WHERE id = 5")
    await way.first_run()
    await way.yard.warehouse.execute("UPDATE people SET email = 'new@example.com', at = now() WHERE id = 6")

    run = await way.yard.run()

    assert run.books.reasons == {"change.added": 1, "skipped.UNCHANGED": 1}
    assert (6, "new@example.com") in await way.contacts()


@pytest.mark.parametrize("way", [(SyncMode.UPSERT, CURSOR)], indirect=True, ids=["upsert by cursor"])
async def test_changed_query_or_cursor_reads_the_whole_table_anew(way: Way) -> None:
    await way.first_run()
    settled = await way.yard.run()
    await way.yard.change_sync(source_query="SELECT id, email, at, at AS seen_at FROM people WHERE id <= 150")
    other_query = await way.yard.run()
    await way.yard.change_sync(
        source_query="SELECT id, email, at, at AS seen_at FROM people",
        reading=CURSOR.model_copy(update={"column": "seen_at"}),
    )

    other_cursor = await way.yard.run()

    assert (settled.books.read, settled.books.delivered) == (200, 0)
    assert (other_query.books.delivered, other_cursor.books.delivered) == (150, 200)

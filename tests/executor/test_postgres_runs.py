"""Runs that write into a PostgreSQL table: the same walk, another kind of destination."""

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tailrace.runtime.service import Chassis
from tailrace.store.confirmations import confirm_deletes
from tailrace.store.connections import ConnectionDraft
from tests.executor.conftest import QUERY
from tests.executor.yard import Yard, definition_of, make_sync

CONTACTS = "CREATE TABLE contacts (id int PRIMARY KEY, email text CHECK (email LIKE '%@%'), note text)"


@pytest_asyncio.fixture
async def yard(chassis: Chassis, warehouse: "asyncpg.Connection[asyncpg.Record]", empty_database_url: str) -> Yard:
    """A sync from the table of people to the table of contacts."""
    await warehouse.execute(CONTACTS)
    source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": empty_database_url})
    target = ConnectionDraft("app", {"url": "***"}, {"/url": empty_database_url})
    definition = definition_of(QUERY, ("id", "email")).model_copy(update={"object_name": "public.contacts"})
    return Yard(chassis, warehouse, await make_sync(chassis, source, target, definition, ("postgres", "postgres")))


async def contacts(yard: Yard) -> dict[int, str]:
    """What the destination holds."""
    rows = await yard.warehouse.fetch("SELECT id, email FROM contacts ORDER BY id")
    return {row["id"]: row["email"] for row in rows}


async def test_rows_are_upserted_and_only_the_bad_ones_are_left_out(yard: Yard) -> None:
    await yard.add_people(1, 50)
    await yard.warehouse.execute("UPDATE people SET email = 'nowhere' WHERE id IN (7, 31)")
    await yard.warehouse.execute("INSERT INTO contacts VALUES (1, 'old@example.com', 'a note of their own')")

    run = await yard.run()

    assert (run.status, run.books.delivered, run.books.failed) == (RunStatus.SUCCEEDED, 48, 2)
    assert await contacts(yard) == {n: f"p{n}@example.com" for n in range(1, 51) if n not in {7, 31}}
    assert await yard.warehouse.fetchval("SELECT note FROM contacts WHERE id = 1") == "a note of their own"


async def test_second_run_writes_the_difference_alone(yard: Yard) -> None:
    await yard.add_people(1, 20)
    await yard.run()
    await yard.warehouse.execute("UPDATE people SET email = 'new@example.com' WHERE id = 3")
    await yard.warehouse.execute("UPDATE contacts SET email = 'touched@example.com' WHERE id = 4")

    run = await yard.run()

    assert run.books.reasons == {"change.changed": 1, "skipped.UNCHANGED": 19}
    held = await contacts(yard)
    assert (held[3], held[4]) == ("new@example.com", "touched@example.com")


async def test_delete_mode_deletes_the_rows_of_the_query(yard: Yard) -> None:
    await yard.add_people(2, 3)
    await yard.warehouse.execute("INSERT INTO contacts SELECT n, n || '@example.com' FROM generate_series(1, 4) AS n")
    await yard.change_sync(sync_mode=SyncMode.DELETE)

    run = await yard.run()

    assert (run.status, run.books.delivered) == (RunStatus.SUCCEEDED, 2)
    assert list(await contacts(yard)) == [1, 4]


async def test_mirror_deletes_what_left_the_query_and_nothing_of_others(yard: Yard) -> None:
    await yard.add_people(1, 30)
    await yard.warehouse.execute("INSERT INTO contacts VALUES (500, 'other@example.com')")
    await yard.change_sync(sync_mode=SyncMode.MIRROR)
    await yard.run()
    await yard.warehouse.execute("DELETE FROM people WHERE id IN (3, 10)")

    run = await yard.run()

    assert (run.status, run.books.deleted, run.books.balance) == (RunStatus.SUCCEEDED, 2, True)
    assert list(await contacts(yard)) == [n for n in range(1, 31) if n not in {3, 10}] + [500]


async def test_mirror_of_a_query_that_became_empty_deletes_nothing_and_says_how_to(yard: Yard) -> None:
    await yard.add_people(1, 30)
    await yard.change_sync(sync_mode=SyncMode.MIRROR)
    await yard.run()
    await yard.warehouse.execute("DELETE FROM people")

    stopped = await yard.run()
    held = await contacts(yard)
    await yard.change_sync(sync_mode=SyncMode.MIRROR, max_delete_ratio=1)
    run = await yard.run()

    assert (stopped.status, stopped.error_code, len(held)) == (RunStatus.FAILED, "DELETE_GUARD", 30)
    assert "maxDeleteRatio to 1" in (stopped.error_message or "")
    assert (run.books.deleted, await contacts(yard)) == (30, {})


@pytest.mark.parametrize(("confirmed", "deleted"), [(30, 30), (29, 0)])
async def test_deletes_that_were_confirmed_pass_the_guard_once(yard: Yard, confirmed: int, deleted: int) -> None:
    await yard.add_people(1, 30)
    await yard.change_sync(sync_mode=SyncMode.MIRROR)
    await yard.run()
    await yard.warehouse.execute("DELETE FROM people")
    stopped = await yard.run()

    run_id = await yard.start()
    async with yard.chassis.database.transaction() as connection:
        await confirm_deletes(connection, stopped.id, run_id, deletes=confirmed)
    async with yard.executor():
        run = await yard.ended(run_id)

    assert (run.books.deleted, len(await contacts(yard))) == (deleted, 30 - deleted)
    assert (run.status is RunStatus.SUCCEEDED) == bool(deleted)


async def test_table_that_is_not_there_fails_the_run_before_a_row_is_read(yard: Yard) -> None:
    await yard.add_people(1, 3)
    await yard.change_sync(object_name="public.nowhere")

    run = await yard.run()

    assert (run.status, run.books.read) == (RunStatus.FAILED, 0)
    assert "nowhere" in (run.error_message or "")

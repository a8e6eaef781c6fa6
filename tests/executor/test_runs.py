"""Runs carried out on a real store, a real warehouse and a service on loopback."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tailrace.core.runs import RunKind, RunStatus
from tailrace.store.shards import Shards
from tailrace.testing.eventually import eventually
from tests.executor.sink import Sink
from tests.executor.yard import Yard

SHORT_LEASE = {"lease_ttl_s": 1.5, "heartbeat_s": 0.3, "lease_margin_s": 0.2, "request_timeout_s": 50.0}
_WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE NOT granted AND relation = 'run_shards'::regclass AND datname = current_database()
"""


async def claim_waits(yard: Yard) -> bool:
    """Whether somebody wants to claim a shard and has to wait."""
    return bool(await yard.chassis.database.fetchval(_WAITING))


async def test_rows_arrive_once_and_the_books_balance(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 123)

    run = await yard.run()

    assert (run.status, run.error_message) == (RunStatus.SUCCEEDED, None)
    assert sink.times_by_id == dict.fromkeys(range(1, 124), 1)
    assert sink.rows[0].keys() == {"id", "email"}
    assert (run.books.read, run.books.delivered, run.books.balance) == (123, 123, True)


async def test_second_run_sends_only_the_difference(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 100)
    await yard.run()
    sink.rows.clear()
    await yard.warehouse.execute("UPDATE people SET email = 'new@example.com' WHERE id IN (7, 70)")
    await yard.warehouse.execute("DELETE FROM people WHERE id > 95")
    await yard.add_people(200, 200)

    run = await yard.run()

    assert sorted(sink.times_by_id) == [7, 70, 200]
    assert run.books.reasons == {
        "change.added": 1,
        "change.changed": 2,
        "change.removed": 5,
        "skipped.UNCHANGED": 93,
    }


async def test_rejected_rows_are_dead_letters_and_the_run_succeeds(yard: Yard, sink: Sink, letters_sql: str) -> None:
    await yard.add_people(1, 30)
    await yard.warehouse.execute("INSERT INTO people VALUES (NULL, 'x'), (NULL, 'x'), (3, 'again')")
    sink.is_bad = lambda row: row["id"] % 10 == 0

    run = await yard.run()

    letters = await yard.chassis.database.fetch(letters_sql)
    assert run.status is RunStatus.SUCCEEDED
    assert (run.books.read, run.books.delivered, run.books.failed) == (33, 27, 6)
    assert [tuple(row) for row in letters] == [("DUPLICATE_KEY", 1), ("INVALID_EMAIL", 3), ("NULL_KEY", 2)]


async def test_dead_row_returns_once_it_is_mended_and_its_letter_closes(
    yard: Yard, sink: Sink, letters_sql: str
) -> None:
    await yard.add_people(1, 5)
    sink.is_bad = lambda row: row["email"] == "p3@example.com"
    await yard.run()
    asleep = await yard.run()
    await yard.warehouse.execute("UPDATE people SET email = 'mended@example.com' WHERE id = 3")

    run = await yard.run()

    assert asleep.books.reasons == {"skipped.UNCHANGED": 4, "skipped.STILL_DEAD": 1}
    assert (asleep.books.failed, asleep.books.still_failing) == (0, 1)
    assert run.books.delivered == 1
    assert await yard.chassis.database.fetch(letters_sql) == []


async def test_two_executors_never_work_on_the_same_run(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 500)
    run_id = await yard.start()

    async with yard.executor(), yard.executor():
        run = await yard.ended(run_id)

    assert set(sink.times_by_id.values()) == {1}
    assert run.books.delivered == 500


async def test_stopped_executor_hands_its_run_back_and_the_next_repeats_nothing(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 400)
    sink.delay_s = 0.02
    run_id = await yard.start()

    async with yard.executor(window_rows=50) as stopping:
        await sink.was_asked.wait()
        stopping.set()
    between = await yard.look(run_id)
    async with yard.executor():
        run = await yard.ended(run_id)

    assert between.status is RunStatus.RUNNING
    assert 0 < between.books.delivered < 400
    assert sink.times_by_id == dict.fromkeys(range(1, 401), 1)
    assert (run.status, run.books.delivered) == (RunStatus.SUCCEEDED, 400)


async def test_run_that_is_claimed_while_the_executor_is_told_to_end_is_handed_back(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 400)
    sink.delay_s = 0.05
    run_id = await yard.start()

    async with AsyncExitStack() as held:
        connection = await held.enter_async_context(yard.chassis.database.transaction())
        await connection.execute("LOCK TABLE run_shards IN EXCLUSIVE MODE")
        async with yard.executor(window_rows=50) as stopping:
            await yard.until(lambda: claim_waits(yard))
            stopping.set()
            await held.aclose()
    between = await yard.look(run_id)
    async with yard.executor():
        run = await yard.ended(run_id)

    assert between.status is RunStatus.RUNNING
    assert between.books.delivered < 400
    assert (run.status, run.books.delivered) == (RunStatus.SUCCEEDED, 400)


async def test_cancelled_run_keeps_what_it_delivered_and_the_next_goes_on(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 400)
    sink.delay_s = 0.05
    run_id = await yard.start()

    async with yard.executor(window_rows=20):
        await sink.was_asked.wait()
        await yard.cancel()
        cancelled = await yard.ended(run_id)
        sink.delay_s = 0.0
        run = await yard.ended(await yard.start())

    assert (cancelled.status, cancelled.error_code) == (RunStatus.CANCELLED, "CANCELLED")
    assert cancelled.error_message == "cancelled by ada"
    assert cancelled.books.delivered < 400
    assert cancelled.books.delivered + run.books.delivered == 400
    assert set(sink.times_by_id.values()) == {1}


async def test_executor_that_was_overtaken_stops_sending(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 400)
    sink.delay_s = 0.05
    run_id = await yard.start()

    async with yard.executor(window_rows=20):
        await sink.was_asked.wait()
        await yard.chassis.database.execute("UPDATE run_shards SET lease_token = gen_random_uuid()")
        sent = await settled(sink)
        await asyncio.sleep(0.3)

    assert len(sink.rows) == sent
    assert (await yard.look(run_id)).status is RunStatus.RUNNING


async def test_request_may_take_longer_than_the_lease_while_it_is_renewed(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 30)
    sink.delay_s = 3.0
    run_id = await yard.start()

    async with yard.executor(**SHORT_LEASE):
        run = await yard.ended(run_id)

    assert (run.status, run.books.delivered) == (RunStatus.SUCCEEDED, 30)
    assert (sink.requests, set(sink.times_by_id.values())) == (3, {1})


async def test_requests_are_given_up_when_the_lease_could_not_be_renewed(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 10)
    sink.delay_s = 60.0
    run_id = await yard.start()

    async with yard.executor(**SHORT_LEASE):
        await sink.was_asked.wait()
        async with yard.chassis.database.transaction() as connection:
            await connection.execute("SELECT FROM run_shards FOR UPDATE")
            await eventually(sink.count_in_flight, 0)

    assert (await yard.look(run_id)).status is RunStatus.RUNNING
    assert sink.requests == 1


async def test_run_of_a_dead_executor_is_taken_over_and_nothing_is_lost(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 100)
    run_id = await yard.start()
    dead = await Shards(yard.chassis.database).claim(owner="dead", ttl_s=0.2, grace_s=0)
    assert dead is not None

    async with yard.executor(takeover_grace_s=0.1, heartbeat_s=0.2):
        run = await yard.ended(run_id)

    assert run.status is RunStatus.SUCCEEDED
    assert len(sink.times_by_id) == 100


async def test_run_that_kills_its_executors_is_given_up(yard: Yard, sink: Sink) -> None:
    run_id = await yard.start()
    shards = Shards(yard.chassis.database)
    for _ in range(3):
        await shards.claim(owner="dead", ttl_s=0, grace_s=0, silent=await shards.sighted())

    async with yard.executor(takeover_grace_s=0, heartbeat_s=0.2):
        run = await yard.ended(run_id)

    assert (run.status, run.error_code) == (RunStatus.FAILED, "CRASH_LOOP")


async def test_full_run_sends_everything_again(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 20)
    await yard.run()

    run = await yard.run(RunKind.FULL)

    assert (run.books.delivered, set(sink.times_by_id.values())) == (20, {2})


async def test_outage_fails_the_run_without_burying_its_rows(yard: Yard, sink: Sink, letters_sql: str) -> None:
    await yard.add_people(1, 50)
    sink.status = 401

    failed = await yard.run()
    sink.status = 200
    mended = await yard.run()

    assert (failed.status, failed.error_code) == (RunStatus.FAILED, "CREDENTIALS_REFUSED")
    assert await yard.chassis.database.fetch(letters_sql) == []
    assert mended.books.delivered == 50


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"source_query": "SELEC id FROM people"}, "SOURCE_QUERY", "syntax"),
        ({"source_query": "SELECT id, email, id FROM people"}, "DUPLICATE_COLUMN", "id"),
        ({"source_query": "SELECT email FROM people"}, None, "id"),
        ({"source_query": "SELECT id, email AS mail FROM people"}, "COLUMN_MISSING", "email"),
    ],
    ids=["syntax error", "two columns of a name", "no key column", "renamed column"],
)
async def test_query_that_cannot_work_fails_the_run_and_says_why(
    yard: Yard, sink: Sink, changes: dict[str, str], code: str | None, word: str
) -> None:
    await yard.add_people(1, 3)
    await yard.change_sync(**changes)

    run = await yard.run()

    assert run.status is RunStatus.FAILED
    assert code in {None, run.error_code}
    assert word in (run.error_message or "")
    assert sink.rows == []


async def settled(sink: Sink) -> int:
    """How many rows arrived, once no more do."""
    count = -1
    while count != len(sink.rows):
        count = len(sink.rows)
        await asyncio.sleep(0.5)
    return count

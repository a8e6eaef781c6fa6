"""A run is cancelled wherever it stands: it ends soon, all that was sent is accounted for, and the next goes on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest_asyncio

from tailrace.core.ids import RunId
from tailrace.core.runs import RunStatus
from tailrace.store.runs import Run
from tailrace.store.shards import Shards
from tests.executor.sink import Sink
from tests.executor.yard import Yard

PEOPLE = 200
_QUERIES = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'tailrace' AND state = 'active'
"""
_LIMITS = "UPDATE connections SET requests_per_s = $1 WHERE kind = 'destination'"


@pytest_asyncio.fixture
async def peopled(yard: Yard) -> Yard:
    """A yard whose warehouse holds people."""
    await yard.add_people(1, PEOPLE)
    return yard


@asynccontextmanager
async def at_work(yard: Yard) -> AsyncIterator[None]:
    """An executor that would wait for its destination for long."""
    async with yard.executor(window_rows=50, outage_probe_s=600.0):
        yield


async def was_asked(sink: Sink, times: int) -> bool:
    return sink.requests >= times


async def queries(yard: Yard) -> bool:
    """Whether the warehouse is at work for an executor."""
    await yard.warehouse.execute("SELECT pg_stat_clear_snapshot()")
    return bool(await yard.warehouse.fetchval(_QUERIES))


async def queries_no_more(yard: Yard) -> bool:
    return not await queries(yard)


async def cancelled(yard: Yard, run_id: RunId) -> Run:
    """The run once it has ended, because somebody wanted it."""
    await yard.cancel()
    run = await yard.ended(run_id)
    assert (run.status, run.error_code, run.books.balance) == (RunStatus.CANCELLED, "CANCELLED", True)
    return run


async def goes_on(yard: Yard, sink: Sink, before: Run) -> None:
    """The next run delivers what the one before did not, and nothing comes twice."""
    run = await yard.ended(await yard.start())
    assert (run.status, run.books.delivered) == (RunStatus.SUCCEEDED, PEOPLE - before.books.delivered)
    assert sink.times_by_id == dict.fromkeys(range(1, PEOPLE + 1), 1)


async def test_run_that_is_queued(peopled: Yard, sink: Sink) -> None:
    run = await cancelled(peopled, await peopled.start())

    async with at_work(peopled):
        await goes_on(peopled, sink, run)


async def test_run_whose_owner_is_dead_is_ended_by_another(peopled: Yard, sink: Sink) -> None:
    run_id = await peopled.start()
    await Shards(peopled.chassis.database).claim(owner="dead", ttl_s=0, grace_s=0)

    async with peopled.executor(takeover_grace_s=0.0, heartbeat_s=0.2):
        run = await cancelled(peopled, run_id)
        assert sink.requests == 0
        await goes_on(peopled, sink, run)


async def test_run_that_waits_to_ask_its_source(peopled: Yard, sink: Sink) -> None:
    run_id = await peopled.start()

    async with at_work(peopled):
        async with peopled.warehouse.transaction():
            await peopled.warehouse.execute("LOCK TABLE people")
            await peopled.until(lambda: queries(peopled))
            run = await cancelled(peopled, run_id)
        await goes_on(peopled, sink, run)


async def test_run_whose_query_takes_long(peopled: Yard, sink: Sink) -> None:
    await peopled.change_sync(source_query="SELECT id, email FROM people, pg_sleep(600)")
    run_id = await peopled.start()

    async with at_work(peopled):
        await peopled.until(lambda: queries(peopled))
        run = await cancelled(peopled, run_id)
        await peopled.until(lambda: queries_no_more(peopled))
        await peopled.change_sync(source_query="SELECT id, email FROM people")
        await goes_on(peopled, sink, run)


async def test_run_whose_requests_are_under_way(peopled: Yard, sink: Sink) -> None:
    sink.delay_s = 3.0
    run_id = await peopled.start()

    async with at_work(peopled):
        await peopled.until(lambda: was_asked(sink, 5))
        run = await cancelled(peopled, run_id)
        assert (run.books.delivered, sink.requests) == (50, 5)
        sink.delay_s = 0.0
        await goes_on(peopled, sink, run)


async def test_run_whose_destination_is_out_of_order(peopled: Yard, sink: Sink) -> None:
    sink.fails_from = 3
    run_id = await peopled.start()

    async with at_work(peopled):
        await peopled.until(lambda: was_asked(sink, 6))
        run = await cancelled(peopled, run_id)
    sink.fails_from = None
    async with at_work(peopled):
        await goes_on(peopled, sink, run)


async def test_run_whose_destination_wants_silence(peopled: Yard, sink: Sink) -> None:
    sink.busy_for_s = 100.0
    run_id = await peopled.start()

    async with at_work(peopled):
        await peopled.until(lambda: was_asked(sink, 4))
        run = await cancelled(peopled, run_id)
    sink.busy_for_s = 0.0
    await peopled.chassis.database.execute("DELETE FROM rate_limits")
    async with at_work(peopled):
        await goes_on(peopled, sink, run)


async def test_run_that_waits_for_its_turn(peopled: Yard, sink: Sink) -> None:
    await peopled.chassis.database.execute(_LIMITS, 0.001)
    run_id = await peopled.start()

    async with at_work(peopled):
        await peopled.until(lambda: was_asked(sink, 1))
        run = await cancelled(peopled, run_id)
        assert sink.requests == 1
        await peopled.chassis.database.execute(_LIMITS, None)
        await goes_on(peopled, sink, run)


async def test_run_that_writes_a_checkpoint(peopled: Yard, sink: Sink) -> None:
    sink.delay_s = 1.0
    run_id = await peopled.start()

    async with at_work(peopled):
        await peopled.until(lambda: was_asked(sink, 5))
        async with peopled.chassis.database.transaction() as connection:
            await connection.execute("SELECT FROM run_shards FOR UPDATE")
            await peopled.until(lambda: _waits_for_the_store(peopled))
            await peopled.cancel()
        run = await cancelled(peopled, run_id)
        sink.delay_s = 0.0
        await goes_on(peopled, sink, run)


async def test_run_that_has_ended_stays_as_it_is(peopled: Yard, sink: Sink) -> None:
    before = await peopled.run()

    await peopled.cancel()

    assert await peopled.look(before.id) == before


async def _waits_for_the_store(yard: Yard) -> bool:
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await yard.chassis.database.fetchval(waits))

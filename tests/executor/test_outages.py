"""A destination that is out of order: runs wait for it, lose nothing, bury nothing, and give up in the end."""

from datetime import datetime

from tailrace.core.runs import RunStatus
from tailrace.store.limits import SharedLimits
from tailrace.store.shards import Shards
from tests.executor.sink import Sink
from tests.executor.yard import Yard

BRISK = {"outage_probe_s": 0.0, "outage_pause_s": 0.2, "poll_s": 0.05}
"""A breaker that lets runs down at once, and pauses that end soon."""


async def paused_until(yard: Yard) -> datetime | None:
    """Until when the newest run waits, as the API would tell."""
    moment: datetime | None = await yard.chassis.database.fetchval(
        "SELECT not_before FROM run_shards WHERE state = 'queued' AND pause_reason IS NOT NULL"
    )
    return moment


async def is_paused(yard: Yard) -> bool:
    return await paused_until(yard) is not None


async def test_run_waits_for_its_destination_and_goes_on_without_loss(yard: Yard, sink: Sink, letters_sql: str) -> None:
    await yard.add_people(1, 100)
    sink.fails_from = 5
    run_id = await yard.start()

    async with yard.executor(**BRISK | {"outage_pause_s": 900.0}):
        await yard.until(lambda: is_paused(yard))
        paused = await yard.look(run_id)
    sink.fails_from = None
    await yard.chassis.database.execute("UPDATE run_shards SET not_before = clock_timestamp()")
    async with yard.executor(**BRISK):
        run = await yard.ended(run_id)

    assert paused.status is RunStatus.RUNNING
    assert (
        paused.pause_reason
        == "waiting for the destination: the destination is out of order: HTTP 503 Service Unavailable"
    )
    assert paused.paused_until is not None
    assert (run.status, run.books.delivered, run.paused_until) == (RunStatus.SUCCEEDED, 100, None)
    assert len(sink.times_by_id) == 100
    assert await yard.chassis.database.fetch(letters_sql) == []


async def test_pauses_grow_until_a_row_gets_through(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 200)
    sink.fails_from = 1
    run_id = await yard.start()
    count = "SELECT pauses FROM run_shards"

    async with yard.executor(**BRISK):
        await yard.until(lambda: _is_at_least(yard, count, 3))
    sink.fails_from = None
    async with yard.executor(**BRISK):
        run = await yard.ended(run_id)

    moments = await yard.chassis.database.fetch(
        "SELECT extract(epoch FROM not_before - at)::float8 AS s FROM run_moments WHERE not_before > at ORDER BY id"
    )
    waits = [row["s"] for row in moments]
    assert run.status is RunStatus.SUCCEEDED
    assert waits[0] <= 0.2
    assert waits[2] >= 0.4
    assert await yard.chassis.database.fetchval(count) == 0


async def test_run_fails_when_it_has_waited_for_long_enough(yard: Yard, sink: Sink, letters_sql: str) -> None:
    await yard.add_people(1, 200)
    sink.fails_from = 1
    run_id = await yard.start()

    async with yard.executor(**BRISK | {"outage_limit_s": 0.5}):
        run = await yard.ended(run_id)

    assert (run.status, run.error_code) == (RunStatus.FAILED, "DESTINATION_UNAVAILABLE")
    assert "HTTP 503" in (run.error_message or "")
    assert await yard.chassis.database.fetch(letters_sql) == []


async def test_run_that_waits_is_cancelled_at_once(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 200)
    sink.fails_from = 1
    run_id = await yard.start()

    async with yard.executor(**BRISK | {"outage_pause_s": 900.0}):
        await yard.until(lambda: is_paused(yard))
        asked = sink.requests
        await yard.cancel()
        run = await yard.ended(run_id)

    assert (run.status, run.books.balance) == (RunStatus.CANCELLED, True)
    assert sink.requests == asked


async def test_silence_of_an_hour_is_kept_in_no_executor(yard: Yard, sink: Sink, letters_sql: str) -> None:
    await yard.add_people(1, 100)
    sink.busy_for_s = 3600.0
    run_id = await yard.start()

    async with yard.executor(**BRISK):
        await yard.until(lambda: is_paused(yard))
        asked, paused = sink.requests, await yard.look(run_id)
        wait_s = await yard.chassis.database.fetchval(
            "SELECT extract(epoch FROM not_before - clock_timestamp())::float8 FROM run_shards"
        )
        await yard.cancel()
        run = await yard.ended(run_id)

    assert (paused.status, paused.books.failed) == (RunStatus.RUNNING, 0)
    assert "HTTP 429" in (paused.pause_reason or "")
    assert 3000 < wait_s < 3700
    assert (run.status, run.books.balance) == (RunStatus.CANCELLED, True)
    assert sink.requests == asked
    assert await yard.chassis.database.fetch(letters_sql) == []


async def test_executor_that_was_not_told_of_a_long_silence_keeps_it_too(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 100)
    destination_id = yard.sync.definition.destination_id
    await SharedLimits(yard.chassis.database).block(destination_id, 3600.0)
    run_id = await yard.start()

    async with yard.executor(**BRISK):
        await yard.until(lambda: is_paused(yard))
        paused = await yard.look(run_id)

    assert sink.requests == 0
    assert "left alone" in (paused.pause_reason or "")


async def test_throttling_without_end_is_waited_for_elsewhere_and_fails_in_the_end(
    yard: Yard, sink: Sink, letters_sql: str
) -> None:
    await yard.add_people(1, 100)
    sink.status = 429
    run_id = await yard.start()

    async with yard.executor(**BRISK | {"throttle_hold_s": 0.0, "outage_limit_s": 0.5}):
        run = await yard.ended(run_id)

    assert (run.status, run.error_code, run.books.delivered) == (RunStatus.FAILED, "DESTINATION_UNAVAILABLE", 0)
    assert "no row got through" in (run.error_message or "")
    assert await yard.chassis.database.fetch(letters_sql) == []


async def test_second_run_of_a_destination_out_of_order_does_not_storm_it(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 400)
    sink.fails_from = 1
    await yard.start()

    async with yard.executor(outage_probe_s=2.0, outage_pause_s=900.0, poll_s=0.05):
        await yard.until(lambda: is_paused(yard))

    assert sink.requests <= 16 + 10 + 10


async def test_wait_of_a_clock_that_jumped_back_is_no_wait(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 10)
    run_id = await yard.start()
    await yard.chassis.database.execute("UPDATE run_shards SET not_before = clock_timestamp() + interval '2 hours'")

    async with yard.executor():
        run = await yard.ended(run_id)

    assert run.status is RunStatus.SUCCEEDED


async def test_lease_of_a_clock_that_jumped_back_does_not_last_for_ever(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 10)
    run_id = await yard.start()
    assert await Shards(yard.chassis.database).claim(owner="dead", ttl_s=3600, grace_s=0) is not None

    async with yard.executor(lease_ttl_s=0.6, lease_margin_s=0.1, takeover_grace_s=0.1, heartbeat_s=0.2):
        run = await yard.ended(run_id)

    assert run.status is RunStatus.SUCCEEDED


async def _is_at_least(yard: Yard, sql: str, least: int) -> bool:
    return int(await yard.chassis.database.fetchval(sql)) >= least

"""What gets in the way of a run: throttles, outages, stops. Nothing is lost by any of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tailrace.connector_kit.fence import pass_fence
from tailrace.core.batches import Batch
from tailrace.core.errors import DestinationUnavailable, InDoubt, Invalid, LeaseLost, SourceUnavailable, Throttled
from tailrace.core.policies import DeliveryPolicy, FailureThresholds
from tailrace.core.rows import DELIVERED, RowOutcome, rejected, retry
from tailrace.pipeline.tenure import Stopped, StopReason
from tests.pipeline.world import IMPATIENT, MemoryDestination, World, people

PROBES = 50
"""More than the breaker of the world can send before it gives up."""


async def test_row_that_asks_for_another_attempt_is_sent_again_alone() -> None:
    world = World(people(5))
    world.destination.answers = [
        lambda batch: [retry("LOCKED", "row is locked") if row.key == ("0002",) else DELIVERED for row in batch.rows]
    ]

    books = await world.run()

    assert books.delivered == 5
    assert [len(batch.rows) for batch in world.destination.requests] == [5, 1]


async def test_row_that_asks_for_ever_is_a_dead_letter_in_the_end() -> None:
    world = World(people(2), MemoryDestination(always=lambda batch: [retry("LOCKED", "locked")] * len(batch.rows)))

    books = await world.run()

    assert (books.rejected, books.reasons["rejected.LOCKED"]) == (2, 2)
    assert len(world.destination.requests) == 3


async def test_row_that_wants_to_wait_for_years_waits_no_longer_than_rows_may() -> None:
    world = World(people(2), patience=replace(IMPATIENT, row_wait_cap_s=0.01))
    world.destination.answers = [lambda batch: [retry("LOCKED", "locked", retry_after_s=1e9)] * len(batch.rows)]

    async with asyncio.timeout(5):
        books = await world.run()

    assert books.delivered == 2


async def test_throttled_batch_waits_as_told_and_uses_up_no_attempt() -> None:
    world = World(people(3))
    world.destination.answers = [Throttled("slow down", retry_after_s=0.01)] * 6

    books = await world.run()

    assert books.delivered == 3
    assert world.limits.blocks == [0.01] * 6


@pytest.mark.parametrize("error", [DestinationUnavailable("down"), InDoubt("answer lost")], ids=["down", "in doubt"])
async def test_short_outage_costs_nothing_but_time(error: DestinationUnavailable | InDoubt) -> None:
    world = World(people(30))
    world.destination.answers = [error, error]

    books = await world.run()

    assert (books.delivered, books.rejected) == (30, 0)


async def test_batch_that_is_sent_again_carries_the_same_key() -> None:
    world = World(people(3))
    world.destination.answers = [InDoubt("answer lost")]

    await world.run()

    first, second = world.destination.requests
    assert first.idempotency_key == second.idempotency_key
    assert first.rows == second.rows


async def test_outage_stops_the_run_at_its_checkpoint_and_the_next_goes_on_without_loss() -> None:
    world = World(people(100), window_rows=20)
    world.destination.answers = [lambda batch: [DELIVERED] * len(batch.rows)] * 4
    world.destination.always = _is_down

    with pytest.raises(DestinationUnavailable):
        await world.run()

    stopped = world.ledger.books
    assert stopped.balance
    assert world.ledger.letters == {}
    assert stopped.delivered == 40
    assert len(world.destination.requests) <= 4 + 3 * IMPATIENT.attempts + PROBES
    world.destination.always = None
    books = await world.run(resume=True)
    assert (books.read, books.delivered, len(world.destination.holds)) == (100, 100, 100)
    assert len(world.destination.applied) - 100 <= 20


async def test_source_that_dies_in_the_middle_leaves_what_was_read_delivered_and_settled() -> None:
    world = World(people(2500))
    world.warehouse.error = SourceUnavailable("connection lost")
    world.warehouse.error_after = 2

    with pytest.raises(SourceUnavailable):
        await world.run()

    settled = world.ledger.books
    assert settled.balance
    assert settled.delivered >= 1900
    world.warehouse.error = None
    books = await world.run(resume=True)
    assert (books.read, len(world.destination.holds)) == (2500, 2500)


async def test_interrupted_run_over_known_rows_takes_none_for_gone() -> None:
    world = World(people(12_000))
    await world.run()
    world.warehouse.error, world.warehouse.error_after = SourceUnavailable("connection lost"), 20

    with pytest.raises(SourceUnavailable):
        await world.run()
    world.warehouse.error = None
    books = await world.run(resume=True)

    assert (books.read, books.skipped, books.removed) == (12_000, 12_000, 0)


async def test_rows_without_key_are_counted_once_by_an_interrupted_run() -> None:
    world = World([(None, f"nobody {number:05}") for number in range(6500)])
    world.warehouse.error, world.warehouse.error_after = SourceUnavailable("connection lost"), 6

    with pytest.raises(SourceUnavailable):
        await world.run()
    assert world.ledger.position.null_rows == 5000
    world.warehouse.error = None
    books = await world.run(resume=True)

    assert (books.read, books.rejected, len(world.ledger.letters)) == (6500, 6500, 6500)


async def test_stopped_run_settles_what_was_sent_and_sends_no_more() -> None:
    world = World(people(1000), window_rows=30)
    stop_after = 5

    def stops(batch: Batch) -> Sequence[RowOutcome]:
        if len(world.destination.requests) == stop_after:
            world.tenure.stop(StopReason.CANCELLED)
        return [DELIVERED] * len(batch.rows)

    world.destination.always = stops

    with pytest.raises(Stopped):
        await world.run()

    assert len(world.destination.requests) <= stop_after + 3
    assert world.ledger.books.delivered == len(world.destination.applied)
    world.destination.always = None
    books = await world.run(resume=True)
    assert (books.delivered, len(world.destination.applied)) == (1000, 1000)


async def test_no_more_rows_than_the_window_are_on_their_way() -> None:
    world = World(people(300), MemoryDestination(rows_per_batch=10), window_rows=50)
    held: list[int] = []

    def counts(batch: Batch) -> Sequence[RowOutcome]:
        held.append(len(world.destination.applied) + len(batch.rows) - world.ledger.books.delivered)
        return [DELIVERED] * len(batch.rows)

    world.destination.always = counts

    await world.run()

    assert max(held) <= 50


async def test_lost_lease_ends_the_run_without_another_word() -> None:
    world = World(people(30))
    world.ledger.error = LeaseLost("taken over")

    with pytest.raises(BaseExceptionGroup) as caught:
        await world.run()

    assert caught.group_contains(LeaseLost)
    assert world.ledger.settlements == []


async def test_waiting_for_a_throttled_destination_ends_when_the_run_is_stopped() -> None:
    world = World(people(3))
    world.destination.always = _throttles

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(_is_stopped(world))
        await world.destination.was_asked.wait()
        world.tenure.stop(StopReason.CANCELLED)

    assert running.result()


async def _is_stopped(world: World) -> bool:
    with pytest.raises(Stopped):
        await world.run()
    return True


def _is_down(_: Batch) -> Sequence[RowOutcome]:
    raise DestinationUnavailable("down")


def _throttles(_: Batch) -> Sequence[RowOutcome]:
    raise Throttled("later", retry_after_s=100)


async def test_destination_that_refuses_nearly_everything_stops_the_run_early() -> None:
    world = World(people(5000), MemoryDestination(always=_refuses_all), window_rows=50)

    with pytest.raises(Invalid) as stopped:
        await world.run()

    assert stopped.value.code == "FAILURE_THRESHOLD"
    assert 100 <= len(world.ledger.letters) <= 200
    assert world.ledger.books.balance


async def test_long_row_of_refusals_stops_the_run_however_well_it_began() -> None:
    world = World(people(5000), MemoryDestination(always=_refuses_from_3000), window_rows=50)
    world.policy = DeliveryPolicy(failure_thresholds=FailureThresholds(consecutive=300))

    with pytest.raises(Invalid):
        await world.run()

    assert 300 <= len(world.ledger.letters) <= 400


async def test_few_bad_rows_do_not_stop_a_run() -> None:
    world = World(people(99), MemoryDestination(always=_refuses_all))

    books = await world.run()

    assert books.rejected == 99


def _refuses_all(batch: Batch) -> Sequence[RowOutcome]:
    return [rejected("BAD", "no") for _ in batch.rows]


def _refuses_from_3000(batch: Batch) -> Sequence[RowOutcome]:
    return [rejected("BAD", "no") if row.key >= ("3000",) else DELIVERED for row in batch.rows]


async def test_batch_that_is_held_up_until_the_run_is_to_end_does_not_leave() -> None:
    world = World(people(5))

    def is_held_up(batch: Batch) -> Sequence[RowOutcome]:
        world.tenure.stop(StopReason.CANCELLED)
        pass_fence()
        return [DELIVERED] * len(batch.rows)

    world.destination.always = is_held_up

    with pytest.raises(Stopped):
        await world.run()

    assert world.destination.applied == []
    assert world.ledger.books.delivered == 0

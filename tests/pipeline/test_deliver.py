"""What is sent again, and what becomes of rows that may have been applied."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tailrace.core.batches import Batch
from tailrace.core.errors import DestinationUnavailable, InDoubt
from tailrace.core.policies import DeliveryPolicy, FailureThresholds, OnAmbiguous
from tailrace.core.rows import DELIVERED, Operation, Row, RowKey, RowOutcome, Verdict, rejected, unknown
from tailrace.core.runs import RunKind
from tailrace.core.snapshots import hash_row
from tailrace.core.syncs import SyncMode
from tailrace.pipeline.breaker import BreakerTerms
from tailrace.pipeline.window import Window
from tests.pipeline.clocks import SetClock
from tests.pipeline.world import IMPATIENT, MemoryDestination, World, people

NEVER_TWICE = DeliveryPolicy(on_ambiguous=OnAmbiguous.DLQ)


def inserts(policy: DeliveryPolicy, *, is_idempotent: bool = False) -> World:
    """Rows to insert into a destination that may or may not tell a repeat."""
    destination = MemoryDestination(is_idempotent=is_idempotent, rows_per_batch=2)
    return World(people(6), destination, SyncMode.INSERT, policy=policy)


async def test_insert_in_doubt_is_a_dead_letter_where_the_sync_says_so() -> None:
    world = inserts(NEVER_TWICE)
    world.destination.answers = [InDoubt("answer lost")]

    books = await world.run()

    assert (books.delivered, books.rejected, books.reasons["rejected.IN_DOUBT"]) == (4, 2, 2)
    assert books.balance
    assert len(world.destination.requests) == 3


async def test_row_in_doubt_is_a_dead_letter_and_its_neighbours_are_delivered() -> None:
    world = inserts(NEVER_TWICE)
    world.destination.answers = [lambda _: [DELIVERED, unknown("worker died")]]

    books = await world.run()

    assert (books.delivered, books.reasons["rejected.IN_DOUBT"]) == (5, 1)
    assert [letter.message for letter in world.ledger.letters.values()] == ["worker died"]


async def test_books_say_of_which_rows_nobody_knows_what_became() -> None:
    taken = RowOutcome(Verdict.DELIVERED, "NOT_VERIFIED")
    destination = MemoryDestination(rows_per_batch=2, always=lambda batch: [taken] * len(batch.rows))
    world = World(people(100), destination, SyncMode.MIRROR)
    first = await world.run()
    world.rows = people(98)

    then = await world.run()

    assert (first.delivered, first.reasons["delivered.NOT_VERIFIED"], first.balance) == (100, 100, True)
    assert (then.deleted, then.reasons["deleted.NOT_VERIFIED"], then.balance) == (2, 2, True)
    assert len(world.destination.requests) == 51


@pytest.mark.parametrize(
    "world",
    [inserts(DeliveryPolicy()), inserts(NEVER_TWICE, is_idempotent=True)],
    ids=["sync allows it", "destination tells repeats"],
)
async def test_insert_in_doubt_is_sent_again(world: World) -> None:
    world.destination.answers = [InDoubt("answer lost"), lambda _: [unknown("worker died"), DELIVERED]]

    books = await world.run()

    assert (books.delivered, books.rejected) == (6, 0)
    assert len(world.destination.requests) == 5


async def test_destination_out_of_order_is_asked_by_few_requests_until_it_is_back() -> None:
    world = World(people(400), MemoryDestination(rows_per_batch=10), window_rows=400)
    world.patience = replace(IMPATIENT, attempts=100, base_s=0.0)
    world.breaker = BreakerTerms(probe_first_s=0.02, probe_cap_s=0.02)
    fails = range(5, 45)

    def is_down_for_a_while(batch: Batch) -> Sequence[RowOutcome]:
        if len(world.destination.requests) in fails:
            raise DestinationUnavailable("down")
        return [DELIVERED] * len(batch.rows)

    world.destination.always = is_down_for_a_while

    async with asyncio.timeout(20):
        books = await world.run()

    assert books.delivered == 400
    assert len(world.destination.requests) == 40 + len(fails)
    assert world.limits.blocks


async def test_outage_that_lasts_ends_the_run_without_a_dead_letter() -> None:
    world = World(people(50), MemoryDestination(always=_is_down))

    with pytest.raises(DestinationUnavailable):
        await world.run()

    assert (world.ledger.letters, world.ledger.books.rejected) == ({}, 0)


async def test_batch_that_fails_again_and_again_stops_the_run_though_others_pass() -> None:
    world = World(people(200), MemoryDestination(rows_per_batch=10))

    def fails_on_one(batch: Batch) -> Sequence[RowOutcome]:
        if batch.rows[0].key == ("0100",):
            raise DestinationUnavailable("500")
        return [DELIVERED] * len(batch.rows)

    world.destination.always = fails_on_one

    async with asyncio.timeout(20):
        with pytest.raises(DestinationUnavailable):
            await world.run()

    assert world.ledger.books.delivered >= 100
    assert world.ledger.letters == {}


async def test_thresholds_can_be_switched_off() -> None:
    never = FailureThresholds(ratio=None, consecutive=None)
    world = World(people(3000), MemoryDestination(always=_refuses), policy=DeliveryPolicy(failure_thresholds=never))

    books = await world.run()

    assert books.rejected == 3000


async def test_strict_sync_sends_one_batch_at_a_time_and_settles_each() -> None:
    world = World(people(50), MemoryDestination(rows_per_batch=10), policy=DeliveryPolicy(strict=True))
    unsettled: list[int] = []

    def counts(batch: Batch) -> Sequence[RowOutcome]:
        unsettled.append(len(world.destination.applied) - world.ledger.books.delivered)
        return [DELIVERED] * len(batch.rows)

    world.destination.always = counts

    await world.run()

    assert unsettled == [0] * 5
    assert len(world.ledger.settlements) == 5


async def test_batch_waits_while_rows_before_it_have_no_checkpoint_for_too_long() -> None:
    world, clock = World(people(1)), SetClock()
    deliverer = (await world.route(RunKind.INCREMENTAL)).flight.deliverer
    window = Window(100, clock, open_s=5)
    older, passage = await window.enter(1), await window.enter(1)
    older.begin()
    clock.seconds += 6
    row = Row(RowKey(("1",)), b"{}", hash_row(b"{}"))

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(deliverer.deliver(Batch(Operation.UPSERT, [row], "key"), passage))
        await asyncio.sleep(0.02)
        before = len(world.destination.requests)
        older.end()
        await sending

    assert (before, len(world.destination.requests)) == (0, 1)


def _is_down(_: Batch) -> Sequence[RowOutcome]:
    raise DestinationUnavailable("down")


def _refuses(batch: Batch) -> Sequence[RowOutcome]:
    return [rejected("BAD", "no") for _ in batch.rows]

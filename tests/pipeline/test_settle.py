"""Checkpoints follow one another: the next is made ready while one is written, and begins when that one stands."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest

from tailrace.core.batches import Batch
from tailrace.core.clock import SystemClock
from tailrace.core.errors import LeaseLost, TailraceError
from tailrace.core.policies import FailureThresholds
from tailrace.core.rows import DELIVERED, Operation, RowOutcome
from tailrace.core.settlements import Position, Settlement
from tailrace.pipeline.batch import Parcel
from tailrace.pipeline.brake import Brake
from tailrace.pipeline.settle import Answer, Commit, Sent, Settler
from tailrace.pipeline.tally import Terms
from tailrace.pipeline.window import Window
from tests.pipeline.memory_ledger import MemoryLedger
from tests.pipeline.world import MemoryDestination, World, people

ROWS = 100
WINDOW = 40
SETTLED_AT_ONCE = WINDOW // 2
A_WHILE = 50
TERMS = Terms(Operation.UPSERT, ("id",))


@dataclass
class SlowLedger(MemoryLedger):
    """Writes when it may, which takes it a while; remembers what was made ready, and what it began to write."""

    may_write: asyncio.Event = field(default_factory=asyncio.Event)
    fails: TailraceError | None = None
    ready: list[Position] = field(default_factory=list)
    begun: list[Position] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def prepare(self, settlement: Settlement) -> Commit:
        self.ready.append(settlement.position)
        self._changed.set()
        self._changed.clear()
        return partial(self._write, settlement)

    async def until_ready(self, checkpoints: int) -> None:
        """Wait until so many have been made ready."""
        while len(self.ready) < checkpoints:
            await self._changed.wait()

    async def _write(self, settlement: Settlement) -> None:
        self.begun.append(settlement.position)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.may_write.wait()
        for _ in range(A_WHILE):
            await asyncio.sleep(0)
        if self.fails is not None:
            raise self.fails
        await self.commit(settlement)
        self.under_way -= 1


def a_world(ledger: SlowLedger) -> World:
    return World(people(ROWS), MemoryDestination(rows_per_batch=10), window_rows=WINDOW, ledger=ledger)


async def writes_once_two_are_ready(ledger: SlowLedger) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(a_world(ledger).run(resume=True))
        await ledger.until_ready(2)
        ledger.may_write.set()


async def test_one_checkpoint_is_written_at_a_time_in_order_while_the_next_is_made_ready() -> None:
    ledger = SlowLedger()

    await writes_once_two_are_ready(ledger)

    assert ledger.most == 1
    assert ledger.begun == ledger.ready == [settlement.position for settlement in ledger.settlements]
    assert ledger.books.delivered == ROWS


async def test_no_more_than_one_checkpoint_waits_to_be_written() -> None:
    ledger, clock = SlowLedger(), SystemClock()
    window = Window(0, clock, open_s=60)
    settler = Settler(ledger, window, Brake(FailureThresholds()), clock, every_s=60)
    sent: asyncio.Queue[Sent | None] = asyncio.Queue()
    for _ in range(5):
        sent.put_nowait(Sent(Parcel((), None, TERMS, None, Position()), await window.enter(0), answered()))
    sent.put_nowait(None)

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(settler.settle(sent, lambda _: None))
        await ledger.until_ready(2)
        for _ in range(A_WHILE):
            await asyncio.sleep(0)
        ready = len(ledger.ready)
        ledger.may_write.set()

    assert (ready, len(ledger.settlements)) == (2, 5)


def answered() -> "asyncio.Future[Answer]":
    """The answer for a parcel of which nothing was to be sent."""
    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    answer.set_result(None)
    return answer


async def test_nothing_is_written_behind_a_checkpoint_that_failed() -> None:
    ledger = SlowLedger(fails=LeaseLost("taken over"))

    with pytest.raises(BaseExceptionGroup) as caught:
        await writes_once_two_are_ready(ledger)

    assert caught.group_contains(LeaseLost)
    assert len(ledger.ready) == 2
    assert (ledger.begun, ledger.settlements) == (ledger.ready[:1], [])


async def test_rows_stay_in_the_window_until_their_checkpoint_stands() -> None:
    ledger = SlowLedger()
    world = a_world(ledger)
    ledger.may_write.set()
    unsettled: list[int] = []

    def counts(batch: Batch) -> Sequence[RowOutcome]:
        unsettled.append(len(world.destination.applied) + len(batch.rows) - ledger.books.delivered)
        return [DELIVERED] * len(batch.rows)

    world.destination.always = counts

    async with asyncio.timeout(20):
        await world.run(resume=True)

    assert max(unsettled) == WINDOW


async def test_last_checkpoint_stands_when_all_is_settled() -> None:
    ledger = SlowLedger()
    ledger.may_write.set()
    world = World(people(SETTLED_AT_ONCE - 1), ledger=ledger)

    async with asyncio.timeout(20):
        books = await world.run(resume=True)

    assert books.delivered == SETTLED_AT_ONCE - 1

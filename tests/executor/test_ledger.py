"""Until when an executor may send, by what it knows of its lease."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from tailrace.core.errors import StoreUnavailable
from tailrace.core.runs import Books
from tailrace.core.settlements import Position, Settlement
from tailrace.pipeline.tenure import Tenure
from tailrace.store.checkpoints import Prepared
from tailrace.store.new_letters import Origin
from tailrace_executor.ledger import LeaseTerms, RunLedger
from tests.pipeline.clocks import SetClock
from tests.simulation.contract import ONE, claimed
from tests.simulation.ports import MemoryCheckpoints, Road
from tests.simulation.store import MemoryStore
from tests.simulation.test_store_contract import MemoryStage

TERMS = LeaseTerms(ttl_s=30, margin_s=3, grace_s=5, heartbeat_s=10)


class QuickClock(SetClock):
    """Waits for nobody."""

    async def sleep(self, wait_s: float) -> None:
        self.seconds += wait_s


class CountedCheckpoints(MemoryCheckpoints):
    """Remembers what was made ready."""

    def __init__(self, store: MemoryStore, road: Road) -> None:
        super().__init__(store, road)
        self.prepared: list[Prepared] = []

    def prepare(self, origin: Origin, settlement: Settlement) -> Prepared:
        self.prepared.append(super().prepare(origin, settlement))
        return self.prepared[-1]


async def test_checkpoint_that_is_asked_for_again_is_made_ready_once() -> None:
    clock = QuickClock()
    store = MemoryStore(clock.now, uuid4)
    stage = MemoryStage(store)
    await stage.start()
    claim = await claimed(stage)
    outages = [StoreUnavailable("away")] * 3

    async def is_away(transaction: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the transaction gives
        if outages:
            raise outages.pop()
        return transaction()

    checkpoints = CountedCheckpoints(store, is_away)
    ledger = RunLedger(claim, checkpoints, Tenure(clock, until=clock.monotonic() + 30), clock, TERMS)

    await ledger.prepare(Settlement(Position(ONE), Books(read=1, delivered=1)))()

    assert (ledger.books.delivered, ledger.position, outages) == (1, Position(ONE), [])
    assert len(checkpoints.prepared) == 1


async def test_deadline_is_counted_from_before_the_checkpoint_was_asked_for() -> None:
    clock = SetClock()
    store = MemoryStore(clock.now, uuid4)
    stage = MemoryStage(store)
    await stage.start()
    claim = await claimed(stage)
    tenure = Tenure(clock, until=clock.monotonic() + 1)

    async def answers_late(transaction: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the transaction gives
        result = transaction()
        clock.seconds += 20
        return result

    ledger = RunLedger(claim, MemoryCheckpoints(store, answers_late), tenure, clock, TERMS)

    await ledger.prepare(Settlement(Position(ONE), Books(read=1, delivered=1)))()

    assert tenure.left_s == 30 - 3 - 20

"""Until when an executor may send, by what it knows of its lease."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from tailrace.core.runs import Books
from tailrace.core.settlements import Position, Settlement
from tailrace.pipeline.tenure import Tenure
from tailrace_executor.ledger import LeaseTerms, RunLedger
from tests.pipeline.clocks import SetClock
from tests.simulation.contract import ONE, claimed
from tests.simulation.ports import MemoryCheckpoints
from tests.simulation.store import MemoryStore
from tests.simulation.test_store_contract import MemoryStage

TERMS = LeaseTerms(ttl_s=30, margin_s=3, grace_s=5, heartbeat_s=10)


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

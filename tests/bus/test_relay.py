import asyncio
import time
from collections.abc import Collection, Sequence
from uuid import UUID

import asyncpg
import orjson
import pytest

from tailrace.bus.base import Message, Received
from tailrace.bus.memory import MemoryBus
from tailrace.bus.relay import Pace, Relay
from tailrace.core.errors import BusUnavailable, StoreUnavailable
from tailrace.core.outgoing import TakenShards
from tailrace.observe import metrics
from tailrace.observe.tracing import traced
from tailrace.store.database import Database
from tailrace.store.outbox import Outbox, enqueue
from tailrace.testing.received import by_key, collect
from tests.bus.conftest import NAMES, QUEUED_TOPIC, commit, queued

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
QUICK = Pace(busy_s=0.01, idle_s=0.05)


class Crash(Exception):
    """The process ends here."""


class CrashingOutbox(Outbox):
    """Ends the process between the bus's acknowledgement and the deletion."""

    async def settle(self, shards: Collection[int], token: UUID, sent: Sequence[int]) -> None:
        raise Crash


class FailingOutbox(Outbox):
    """A store that does not answer the first time it is asked for anything."""

    answers = False

    async def take(
        self, token: UUID, *, ttl_s: float, at_most: int, among: Collection[int] | None = None
    ) -> TakenShards | None:
        if not self.answers:
            self.answers = True
            raise StoreUnavailable("down")
        return await super().take(token, ttl_s=ttl_s, at_most=at_most, among=among)


class SlowBus(MemoryBus):
    """Takes messages when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def publish(self, messages: Sequence[Message]) -> None:
        self.is_asked.set()
        await self.may_answer.wait()
        await super().publish(messages)


def a_relay(database: Database, bus: MemoryBus, *, pace: Pace = QUICK) -> Relay:
    return Relay(Outbox(database), bus, NAMES, pace=pace)


async def sent(bus: MemoryBus, count: int) -> list[Received]:
    async with bus.subscribe([QUEUED_TOPIC], group="test", member="a") as member:
        received = await collect(member, count)
        return [*received, *await member.receive(at_most=1000, wait_s=0.05)]


def ids(received: Sequence[Received]) -> list[bytes]:
    return [message.headers["ce_id"] for message in received]


async def pending(database: Database) -> int:
    return (await Outbox(database).backlog()).pending


async def test_what_was_committed_is_sent_in_order_and_then_gone(database: Database, bus: MemoryBus) -> None:
    events = [queued(number) for number in range(20)]
    await commit(database, *events)

    assert await a_relay(database, bus).send_some() == 20

    received = await sent(bus, 20)
    assert [message.value for message in received] == [event.data for event in events]
    assert ids(received) == [event.event_id.encode() for event in events]
    assert {message.key for message in received} == {b"sync_1"}
    assert await pending(database) == 0


async def test_empty_outbox_sends_nothing(database: Database, bus: MemoryBus) -> None:
    assert await a_relay(database, bus).send_some() == 0


async def test_round_is_bounded_and_the_rest_follows(database: Database, bus: MemoryBus) -> None:
    relay = a_relay(database, bus, pace=Pace(at_most=500))
    await commit(database, *(queued(number) for number in range(1200)))

    rounds = [await relay.send_some() for _ in range(4)]

    assert rounds == [500, 500, 200, 0]


async def test_crash_before_the_deletion_sends_twice_and_loses_nothing(database: Database, bus: MemoryBus) -> None:
    events = [queued(number) for number in range(5)]
    await commit(database, *events)
    crashing = Relay(CrashingOutbox(database), bus, NAMES, pace=Pace(lease_s=0.1))
    with pytest.raises(Crash):
        await crashing.send_some()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        stopping = asyncio.Event()
        tasks.create_task(a_relay(database, bus).run(stopping))
        received = await sent(bus, 10)
        stopping.set()

    assert ids(received) == 2 * [event.event_id.encode() for event in events]
    assert await pending(database) == 0


async def test_shard_of_a_relay_that_died_before_sending_is_sent_by_another(database: Database, bus: MemoryBus) -> None:
    await commit(database, queued(1))
    await Outbox(database).take(UUID(int=1), ttl_s=0.1, at_most=10)

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        stopping = asyncio.Event()
        tasks.create_task(a_relay(database, bus).run(stopping))
        received = await sent(bus, 1)
        stopping.set()

    assert len(received) == 1


async def test_relays_side_by_side_send_each_event_once_in_order_of_its_key(database: Database, bus: MemoryBus) -> None:
    for first in range(0, 1000, 100):
        await commit(database, *(queued(number, sync=f"sync_{number % 50:02}") for number in range(first, first + 100)))

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        stopping = asyncio.Event()
        tasks.create_task(a_relay(database, bus).run(stopping))
        tasks.create_task(a_relay(database, bus).run(stopping))
        received = await sent(bus, 1000)
        stopping.set()

    assert len(received) == 1000
    assert {key: run_numbers(values) for key, values in by_key(received).items()} == {
        f"sync_{sync:02}".encode(): list(range(sync, 1000, 50)) for sync in range(50)
    }


def run_numbers(values: Sequence[str]) -> list[int]:
    return [int(orjson.loads(value)["run_id"].removeprefix("run_")) for value in values]


async def test_events_of_a_key_leave_in_the_order_of_their_commits(database: Database, bus: MemoryBus) -> None:
    await database.execute("CREATE TABLE counter AS SELECT 0 AS number")

    async def write_next() -> None:
        async with database.transaction() as connection:
            number = await connection.fetchval("UPDATE counter SET number = number + 1 RETURNING number")
            await enqueue(connection, [queued(number)])

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        stopping = asyncio.Event()
        tasks.create_task(a_relay(database, bus).run(stopping))
        tasks.create_task(a_relay(database, bus).run(stopping))
        await asyncio.gather(*(write_next() for _ in range(100)))
        received = await sent(bus, 100)
        stopping.set()

    assert run_numbers([(message.value or b"").decode() for message in received]) == list(range(1, 101))


async def test_while_the_bus_is_down_events_stay_and_their_shard_is_free(database: Database, bus: MemoryBus) -> None:
    await commit(database, queued(1))
    bus.go_down()

    with pytest.raises(BusUnavailable):
        await a_relay(database, bus).send_some()

    assert await pending(database) == 1
    assert await Outbox(database).take(UUID(int=1), ttl_s=30, at_most=10) is not None


async def test_relay_outlives_an_outage_of_the_bus(database: Database, bus: MemoryBus) -> None:
    bus.go_down()
    await commit(database, queued(1))

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        stopping = asyncio.Event()
        relaying = tasks.create_task(a_relay(database, bus).run(stopping))
        done, _ = await asyncio.wait({relaying}, timeout=0.5)
        bus.come_back()
        received = await sent(bus, 1)
        stopping.set()

    assert not done
    assert len(received) == 1


async def test_relay_outlives_an_outage_of_the_store(database: Database, bus: MemoryBus) -> None:
    await commit(database, queued(1))

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        stopping = asyncio.Event()
        tasks.create_task(Relay(FailingOutbox(database), bus, NAMES, pace=QUICK).run(stopping))
        received = await sent(bus, 1)
        stopping.set()

    assert len(received) == 1


async def test_relay_finds_what_nobody_told_it_of(database: Database, bus: MemoryBus) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        stopping = asyncio.Event()
        running = tasks.create_task(a_relay(database, bus).run(stopping))
        await asyncio.wait({running}, timeout=0.2)

        await commit(database, queued(1))
        received = await sent(bus, 1)
        stopping.set()

    assert len(received) == 1


async def test_no_transaction_is_open_while_the_bus_is_waited_for(database: Database, database_url: str) -> None:
    slow = SlowBus()
    await commit(database, queued(1))
    observer = await asyncpg.connect(database_url)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(a_relay(database, slow).send_some())
        await slow.is_asked.wait()

        states = await observer.fetch("SELECT state FROM pg_stat_activity WHERE application_name = 'test'")

        slow.may_answer.set()
    await observer.close()
    assert {row["state"] for row in states} == {"idle"}
    assert sending.result() == 1


async def test_relay_that_overslept_its_lease_repeats_and_loses_nothing(database: Database, bus: MemoryBus) -> None:
    slow = SlowBus()
    await commit(database, queued(1))
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(a_relay(database, slow, pace=Pace(lease_s=0)).send_some())
        await slow.is_asked.wait()
        await a_relay(database, bus).send_some()
        await commit(database, queued(2))

        slow.may_answer.set()

    assert len(await sent(bus, 1)) == len(await sent(slow, 1)) == 1
    assert await pending(database) == 1
    assert await a_relay(database, bus).send_some() == 1


async def test_event_carries_the_trace_it_was_written_in(database: Database, bus: MemoryBus) -> None:
    with traced(TRACEPARENT):
        await commit(database, queued(1))

    await a_relay(database, bus).send_some()

    [message] = await sent(bus, 1)
    assert message.headers["traceparent"] == TRACEPARENT.encode()


async def test_relay_tells_how_much_waits_and_what_was_sent(database: Database, bus: MemoryBus) -> None:
    bus.go_down()
    await commit(database, queued(1), queued(2))
    before = published()
    beats: list[float] = []
    relay = Relay(Outbox(database), bus, NAMES, pace=QUICK, beat=lambda: beats.append(time.monotonic()))

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        stopping = asyncio.Event()
        running = tasks.create_task(relay.run(stopping))
        await asyncio.wait({running}, timeout=0.3)
        waiting = metrics.REGISTRY.get_sample_value("tailrace_outbox_pending")
        beats_while_down = len(beats)
        bus.come_back()
        await sent(bus, 2)
        stopping.set()

    assert waiting == 2
    assert beats_while_down > 1
    assert published() == before + 2


def published() -> float:
    labels = {"type": "tailrace.run.queued.v1", "outcome": "published"}
    return metrics.REGISTRY.get_sample_value("tailrace_events_total", labels) or 0

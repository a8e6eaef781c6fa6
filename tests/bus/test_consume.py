import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import orjson
import pytest

from tailrace.bus.base import MAX_PUT_ASIDE_BYTES, Message, Received
from tailrace.bus.cloudevents import Incoming
from tailrace.bus.consume import Reader, consume
from tailrace.bus.memory import MemoryBus
from tailrace.core.errors import BusUnavailable, NotFound, StoreUnavailable
from tailrace.core.ids import new_run_id
from tailrace.core.outgoing import new_event_id
from tailrace.events.models import RunQueued, RunRequested
from tailrace.events.topics import dead_letter_topic
from tailrace.observe import metrics
from tailrace.observe.tracing import current_traceparent
from tailrace.store.database import Database
from tailrace.store.inbox import take_in
from tailrace.testing.bus_contract import collect
from tests.bus.conftest import NAMES, QUEUED_TOPIC, REQUESTED_TOPIC

READER = Reader(NAMES, (RunRequested, RunQueued), "scheduler", "pod-0")
GROUP = NAMES.group("scheduler")
DLQ = dead_letter_topic(REQUESTED_TOPIC)
TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Handled:
    """A service's handler that keeps what it was given, and fails as it is told to."""

    failures: list[Exception] = field(default_factory=list)
    events: list[Incoming] = field(default_factory=list)
    attempts: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, incoming: Incoming) -> None:
        self.attempts += 1
        self.changed.set()
        if self.failures:
            raise self.failures.pop(0)
        self.events.append(incoming)

    async def until(self, is_met: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_met():
                self.changed.clear()
                await self.changed.wait()

    def sync_ids(self) -> list[str]:
        return [event.event.sync_id for event in self.events if isinstance(event.event, RunRequested)]


class RefusingBus(MemoryBus):
    """Takes no messages the first two times."""

    refusals_left = 2

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.refusals_left:
            self.refusals_left -= 1
            raise BusUnavailable("down")
        await super().publish(messages)


@asynccontextmanager
async def reading(
    bus: MemoryBus, handler: Callable[[Incoming], Awaitable[None]], reader: Reader = READER
) -> AsyncIterator[asyncio.Task[None]]:
    """The loop of a service, stopped at the end of the scope as a service is stopped."""
    stopping = asyncio.Event()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(consume(bus, reader, handler, stopping=stopping))
        yield loop
        stopping.set()


def request(bus: MemoryBus, sync_id: str, **fields: object) -> None:
    bus.put(REQUESTED_TOPIC, orjson.dumps({"sync_id": sync_id, **fields}), key=sync_id.encode())


async def taken_from(bus: MemoryBus, topic: str, count: int) -> list[Received]:
    async with bus.subscribe([topic], group="test", member="a") as member:
        return await collect(member, count)


async def uncommitted(bus: MemoryBus) -> list[str]:
    """What the group would get again."""
    async with bus.subscribe([REQUESTED_TOPIC], group=GROUP, member="looking") as member:
        received = await member.receive(at_most=100, wait_s=0.05)
    return [orjson.loads(message.value or b"")["sync_id"] for message in received]


async def test_events_are_handled_and_committed(bus: MemoryBus) -> None:
    handled = Handled()
    request(bus, "sync_1")
    bus.put(QUEUED_TOPIC, orjson.dumps({"run_id": "run_1", "sync_id": "sync_1", "workspace_id": "ws_1"}))

    async with reading(bus, handled):
        request(bus, "sync_2")
        await handled.until(lambda: len(handled.events) == 3)

    assert sorted(handled.sync_ids()) == ["sync_1", "sync_2"]
    assert RunQueued(run_id="run_1", sync_id="sync_1", workspace_id="ws_1") in [held.event for held in handled.events]
    assert await uncommitted(bus) == []


async def test_handler_works_within_the_trace_of_its_event(bus: MemoryBus) -> None:
    traces: list[str | None] = []
    handled = Handled()

    async def handle(incoming: Incoming) -> None:
        traces.append(current_traceparent())
        await handled(incoming)

    bus.put(REQUESTED_TOPIC, b'{"sync_id": "sync_1"}', headers={"traceparent": TRACEPARENT})
    async with reading(bus, handle):
        await handled.until(lambda: len(handled.events) == 1)

    assert traces == [TRACEPARENT.decode()]
    assert current_traceparent() is None


async def test_event_that_cannot_be_read_is_put_aside_as_it_came_and_the_next_is_handled(bus: MemoryBus) -> None:
    handled = Handled()
    bus.put(REQUESTED_TOPIC, b"\xff garbage", key=b"\xfekey", headers={"mine": b"\xfd"})
    request(bus, "sync_1")

    async with reading(bus, handled):
        await handled.until(lambda: len(handled.events) == 1)
        [aside] = await taken_from(bus, DLQ, 1)

    assert (aside.value, aside.key) == (b"\xff garbage", b"\xfekey")
    partition = (await taken_from_partition_of(bus, b"\xfekey")).encode()
    assert aside.headers == {
        "mine": b"\xfd",
        "__connect.errors.topic": REQUESTED_TOPIC.encode(),
        "__connect.errors.partition": partition,
        "__connect.errors.offset": b"0",
        "__connect.errors.connector.name": GROUP.encode(),
        "__connect.errors.stage": b"VALUE_CONVERTER",
        "__connect.errors.exception.class.name": b"Unreadable",
        "__connect.errors.exception.message": b"a header is not UTF-8",
        "tailrace_value_bytes": b"9",
    }
    assert await uncommitted(bus) == []


async def taken_from_partition_of(bus: MemoryBus, key: bytes) -> str:
    received = await taken_from(bus, REQUESTED_TOPIC, 2)
    return str(next(message.partition for message in received if message.key == key))


async def test_event_without_key_and_value_is_put_aside_empty(bus: MemoryBus) -> None:
    bus.put(REQUESTED_TOPIC, None)

    async with reading(bus, Handled()):
        [aside] = await taken_from(bus, DLQ, 1)

    assert (aside.value, aside.key) == (b"", b"")


async def test_value_beyond_the_limit_is_put_aside_cut_and_says_so(bus: MemoryBus) -> None:
    bus.put(REQUESTED_TOPIC, b"x" * (MAX_PUT_ASIDE_BYTES + 1))

    async with reading(bus, Handled()):
        [aside] = await taken_from(bus, DLQ, 1)

    assert aside.value == b"x" * MAX_PUT_ASIDE_BYTES
    assert aside.headers["tailrace_value_bytes"] == str(MAX_PUT_ASIDE_BYTES + 1).encode()


async def test_event_is_tried_again_until_the_store_is_back(bus: MemoryBus) -> None:
    handled = Handled(failures=[StoreUnavailable("down"), StoreUnavailable("down")])
    request(bus, "sync_1")
    request(bus, "sync_2")

    async with reading(bus, handled):
        await handled.until(lambda: len(handled.events) == 2)

    assert sorted(handled.sync_ids()) == ["sync_1", "sync_2"]
    assert handled.attempts == 4
    assert await uncommitted(bus) == []


async def test_event_held_back_by_the_store_is_not_committed_by_a_stop(bus: MemoryBus) -> None:
    handled = Handled(failures=[StoreUnavailable("down")] * 100)
    request(bus, "sync_1")

    async with reading(bus, handled):
        await handled.until(lambda: handled.attempts >= 2)

    assert handled.events == []
    assert await uncommitted(bus) == ["sync_1"]


@pytest.mark.parametrize(
    ("failure", "told"),
    [(NotFound("no such sync"), b"no such sync"), (ValueError("secret row value"), b"ValueError")],
    ids=["ours", "a bug"],
)
async def test_event_that_fails_for_good_is_put_aside_and_the_next_is_handled(
    bus: MemoryBus, failure: Exception, told: bytes
) -> None:
    handled = Handled(failures=[failure])
    bus.put(REQUESTED_TOPIC, b'{"sync_id": "sync_1"}')
    bus.put(REQUESTED_TOPIC, b'{"sync_id": "sync_2"}')

    async with reading(bus, handled):
        await handled.until(lambda: len(handled.events) == 1)
        [aside] = await taken_from(bus, DLQ, 1)

    assert handled.sync_ids() == ["sync_2"]
    assert aside.value == b'{"sync_id": "sync_1"}'
    assert aside.headers["__connect.errors.stage"] == b"TASK_PUT"
    assert aside.headers["__connect.errors.exception.message"] == told
    assert await uncommitted(bus) == []


async def test_event_is_committed_only_after_it_was_handled(bus: MemoryBus) -> None:
    seen_meanwhile: list[bool] = []
    handled = Handled()

    async def handle(incoming: Incoming) -> None:
        committed = bus._groups[GROUP].committed
        seen_meanwhile.append(any(offset > 0 for offset in committed.values()))
        await handled(incoming)

    request(bus, "sync_1")
    async with reading(bus, handle):
        await handled.until(lambda: len(handled.events) == 1)

    assert seen_meanwhile == [False]
    assert await uncommitted(bus) == []


async def test_stop_waits_for_the_event_at_hand(bus: MemoryBus) -> None:
    handled = Handled()
    may_end = asyncio.Event()

    async def handle(incoming: Incoming) -> None:
        handled.attempts += 1
        handled.changed.set()
        await may_end.wait()
        await handled(incoming)

    request(bus, "sync_1")
    async with reading(bus, handle) as loop:
        await handled.until(lambda: handled.attempts == 1)
        asyncio.get_running_loop().call_later(0.2, may_end.set)
    assert loop.done()
    assert handled.sync_ids() == ["sync_1"]
    assert await uncommitted(bus) == []


async def test_stop_ends_a_loop_that_has_nothing_to_do_at_once(bus: MemoryBus) -> None:
    began_at = asyncio.get_running_loop().time()

    async with reading(bus, Handled()) as loop:
        await asyncio.wait({loop}, timeout=0.1)

    assert asyncio.get_running_loop().time() - began_at < 0.9


async def test_loop_outlives_a_bus_that_is_down_at_its_start(bus: MemoryBus) -> None:
    handled = Handled()
    bus.go_down()
    request(bus, "sync_1")

    async with reading(bus, handled) as loop:
        done, _ = await asyncio.wait({loop}, timeout=0.4)
        bus.come_back()
        await handled.until(lambda: len(handled.events) == 1)

    assert not done
    assert handled.sync_ids() == ["sync_1"]


async def test_event_whose_commit_failed_comes_again_to_the_next_member(bus: MemoryBus) -> None:
    handled = Handled()

    async def handle(incoming: Incoming) -> None:
        bus.go_down()
        await handled(incoming)

    request(bus, "sync_1")
    async with reading(bus, handle):
        await handled.until(lambda: len(handled.events) == 1)
    bus.come_back()

    assert await uncommitted(bus) == ["sync_1"]


async def test_event_that_cannot_be_put_aside_yet_is_not_lost(bus: MemoryBus) -> None:
    shaky = RefusingBus()
    shaky.put(REQUESTED_TOPIC, b"garbage")

    async with reading(shaky, Handled()):
        [aside] = await taken_from(shaky, DLQ, 1)

    assert shaky.refusals_left == 0
    assert aside.value == b"garbage"


async def test_member_that_is_fenced_subscribes_anew(bus: MemoryBus) -> None:
    handled = Handled()
    async with reading(bus, handled):
        await asyncio.sleep(0)
        async with bus.subscribe([REQUESTED_TOPIC], group=GROUP, member=READER.member):
            pass
        request(bus, "sync_1")
        await handled.until(lambda: len(handled.events) == 1)

    assert handled.sync_ids() == ["sync_1"]


async def test_repeated_event_has_one_effect(bus: MemoryBus, database: Database) -> None:
    handled = Handled()

    async def start_a_run(incoming: Incoming) -> None:
        async with database.transaction() as connection:
            if await take_in(connection, incoming.source, incoming.event_id):
                await connection.execute("INSERT INTO workspaces (id, name) VALUES ($1, 'effect')", new_run_id())
        await handled(incoming)

    headers = {
        "ce_specversion": b"1.0",
        "ce_id": new_event_id().encode(),
        "ce_source": b"/shop",
        "ce_type": RunRequested.type.encode(),
    }
    bus.put(REQUESTED_TOPIC, b'{"sync_id": "sync_1"}', headers=headers)
    bus.put(REQUESTED_TOPIC, b'{"sync_id": "sync_1"}', headers=headers)
    async with reading(bus, start_a_run):
        await handled.until(lambda: len(handled.events) == 2)

    assert await database.fetchval("SELECT count(*) FROM workspaces") == 1


async def test_outcomes_are_counted_and_the_loop_beats(bus: MemoryBus) -> None:
    beats: list[int] = []
    handled = Handled(failures=[ValueError()])
    before = {outcome: counted(outcome) for outcome in ("handled", "unreadable", "failed")}
    bus.put(REQUESTED_TOPIC, b"garbage")
    bus.put(REQUESTED_TOPIC, b'{"sync_id": "sync_1"}')
    bus.put(REQUESTED_TOPIC, b'{"sync_id": "sync_2"}')

    async with reading(bus, handled, replace(READER, beat=lambda: beats.append(1))):
        await handled.until(lambda: len(handled.events) == 1)
        await taken_from(bus, DLQ, 2)

    assert {outcome: counted(outcome) - count for outcome, count in before.items()} == dict.fromkeys(before, 1)
    assert beats


def counted(outcome: str) -> float:
    labels = {"type": RunRequested.type, "outcome": outcome}
    return metrics.REGISTRY.get_sample_value("tailrace_events_total", labels) or 0

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson

from tailrace.bus.base import Received, Subscription
from tailrace.bus.cloudevents import Incoming
from tailrace.bus.memory import MemoryBus
from tailrace.core.errors import StoreUnavailable
from tailrace.core.ids import new_run_id
from tailrace.core.outgoing import new_event_id
from tailrace.events.models import RunQueued, RunRequested
from tailrace.observe import metrics
from tailrace.observe.tracing import current_traceparent
from tailrace.store.database import Database
from tailrace.store.inbox import take_in
from tests.bus.conftest import QUEUED_TOPIC, REQUESTED_TOPIC
from tests.bus.reading import DLQ, GROUP, READER, Handled, reading, request, taken_from, uncommitted

TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


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


class Silence(Subscription):
    """No message comes, and no wait ends."""

    async def receive(self, *, at_most: int, wait_s: float) -> Sequence[Received]:
        del at_most, wait_s
        await asyncio.Event().wait()
        return ()

    async def commit(self) -> None:
        """There is nothing to commit."""


class SilentBus(MemoryBus):
    @asynccontextmanager
    async def subscribe(self, topics: Sequence[str], *, group: str, member: str) -> AsyncIterator[Subscription]:
        del topics, group, member
        yield Silence()


async def test_stop_does_not_wait_for_messages() -> None:
    async with reading(SilentBus(), Handled()) as loop:
        await asyncio.wait({loop}, timeout=0.1)

    assert loop.done()


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

"""The loop that reads events for a service, and a handler that keeps what it was given."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

from tailrace.bus.base import Received
from tailrace.bus.cloudevents import Incoming
from tailrace.bus.consume import Reader, consume
from tailrace.bus.memory import MemoryBus
from tailrace.events.models import RunQueued, RunRequested
from tailrace.events.topics import dead_letter_topic
from tailrace.testing.received import collect
from tests.bus.conftest import NAMES, REQUESTED_TOPIC

READER = Reader(NAMES, (RunRequested, RunQueued), "scheduler", "pod-0")
GROUP = NAMES.group("scheduler")
DLQ = dead_letter_topic(REQUESTED_TOPIC)


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
        async with asyncio.timeout(60):
            while not is_met():
                self.changed.clear()
                await self.changed.wait()

    def sync_ids(self) -> list[str]:
        return [event.event.sync_id for event in self.events if isinstance(event.event, RunRequested)]


@asynccontextmanager
async def reading(
    bus: MemoryBus, handler: Callable[[Incoming], Awaitable[None]], reader: Reader = READER
) -> AsyncIterator[asyncio.Task[None]]:
    """The loop of a service, stopped at the end of the scope as a service is stopped."""
    stopping = asyncio.Event()
    async with asyncio.timeout(90), asyncio.TaskGroup() as tasks:
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

"""What a broker is broken under: a relay, and a service that reads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tailrace.bus.cloudevents import Incoming
from tailrace.bus.consume import Reader, consume
from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka_access import KafkaAccess, KafkaWaits
from tailrace.bus.relay import Pace, Relay
from tailrace.bus.topics import make_missing_topics
from tailrace.events.models import RunQueued
from tailrace.events.topics import TopicNames
from tailrace.store.database import Database
from tailrace.store.outbox import Outbox
from tailrace.testing.eventually import eventually
from tests.bus.conftest import commit, queued

WAITS = KafkaWaits(publish_s=2, request_s=1, commit_s=2, join_s=12, stop_s=1.5, session_s=6)

_PATIENCE_S = 90.0


class Platform:
    """A service that writes events, a relay that sends them and a service that reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._handled: set[str] = set()
        self._rounds = 0
        self._changed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def over(
        cls, bootstrap: str, database: Database, names: TopicNames, *, waits: KafkaWaits = WAITS, replicas: int = 1
    ) -> AsyncIterator["Platform"]:
        """All of it, for the scope: it fails if one of the loops ends."""
        platform = cls(database)
        access, stopping = KafkaAccess(bootstrap), asyncio.Event()
        await make_missing_topics(access, names.all(), replication_factor=replicas)
        async with KafkaBus.open(access, waits=waits) as bus, asyncio.TaskGroup() as tasks:
            relay = Relay(Outbox(database), bus, names, pace=Pace(idle_s=0.1), beat=platform._count_round)
            tasks.create_task(relay.run(stopping))
            reader = Reader(names, (RunQueued,), "executor", "pod-0")
            tasks.create_task(consume(bus, reader, platform._handle, stopping=stopping))
            await platform.write(0)
            await platform.has_handled(0)
            await platform.has_sent_all()
            yield platform
            stopping.set()

    async def write(self, *numbers: int) -> None:
        await commit(self._database, *(queued(number) for number in numbers))

    async def has_handled(self, *numbers: int) -> None:
        wanted = {f"run_{number}" for number in numbers}
        await self._until(lambda: wanted <= self._handled)

    async def has_tried_to_send(self) -> None:
        """A whole round of the relay came and went."""
        first = self._rounds
        await self._until(lambda: self._rounds >= first + 2)

    async def has_sent_all(self) -> None:
        """What was handled may yet have to be sent again, for want of an acknowledgement."""
        await eventually(self.pending, 0, within_s=_PATIENCE_S)

    async def pending(self) -> int:
        return (await Outbox(self._database).backlog()).pending

    async def _until(self, is_met: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not is_met():
                self._changed.clear()
                await self._changed.wait()

    def _count_round(self) -> None:
        self._rounds += 1
        self._changed.set()

    async def _handle(self, incoming: Incoming) -> None:
        assert isinstance(incoming.event, RunQueued)
        self._handled.add(incoming.event.run_id)
        self._changed.set()

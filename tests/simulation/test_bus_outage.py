"""Kafka is away for an hour, in virtual time and with the product's own settings: runs begin, and are told of later."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from tailrace.bus.base import Message
from tailrace.bus.memory import MemoryBus
from tailrace.bus.relay import Relay
from tailrace.core.errors import BusUnavailable
from tailrace.core.outgoing import TakenShards, WaitingEvent
from tailrace.events.models import RunFinished, RunQueued
from tailrace.events.topics import TopicNames
from tailrace.store.outbox import Backlog
from tests.fixtures.trials import Count, Outcome
from tests.simulation.tables import Told
from tests.simulation.trial import Trial, is_well, play

pytestmark = pytest.mark.timeout(400)

HOUR_S = 3600.0
EACH_S = 60.0
BEGUN_WITHIN_S = 10.0
TOLD_WITHIN_S = 60.0
NAMES = TopicNames("acme")


class Cluster(MemoryBus):
    """A bus that takes nothing for as long as it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = True
        self.taken: list[str] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.is_away:
            raise BusUnavailable("nobody listens")
        self.taken += [message.topic for message in messages]


@dataclass(slots=True)
class StoryOutbox:
    """The outbox of a trial, as the relay sees it: one shard."""

    told: list[Told]

    async def take(
        self, token: UUID, *, ttl_s: float, at_most: int, among: Collection[int] | None = None
    ) -> TakenShards | None:
        first = self.told[:at_most]
        return TakenShards([0], [WaitingEvent(n, one.event, one.at, None) for n, one in enumerate(first)])

    async def settle(self, shards: Collection[int], token: UUID, sent: Sequence[int]) -> None:
        del self.told[: len(sent)]

    async def backlog(self) -> Backlog:
        return Backlog(len(self.told), 0.0)


@dataclass(slots=True)
class Seen:
    """Seconds until each run had begun, events that waited for the bus, seconds until it had them, and what it got."""

    begun_s: list[float] = field(default_factory=list)
    waiting: int = 0
    told_s: float = 0.0
    taken: Counter[str] = field(default_factory=Counter)


async def hour_without_bus(trial: Trial, seen: Seen) -> None:
    """A run a minute while the bus is away, and the time until it has caught up."""
    outbox, cluster, over = trial.world.store.tables.outbox, Cluster(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(Relay(StoryOutbox(outbox), cluster, NAMES).run(over))
        while trial.now_s < HOUR_S:
            queued_at = trial.now_s
            trial.start()
            await trial.until(lambda: trial.shard.epoch > 0)
            seen.begun_s.append(trial.now_s - queued_at)
            await trial.ended()
            await asyncio.sleep(EACH_S)
        seen.waiting, back_at, cluster.is_away = len(outbox), trial.now_s, False
        await trial.until(lambda: not outbox, within_s=HOUR_S)
        seen.told_s, seen.taken = trial.now_s - back_at, Counter(cluster.taken)
        over.set()


def test_hour_without_kafka_holds_up_no_run_and_is_told_of_soon_after(count: Count) -> None:
    seen = Seen()

    trial = play(lambda trial: hour_without_bus(trial, seen))

    runs = list(trial.world.store.tables.runs.values())
    assert len(runs) == len(seen.begun_s) > HOUR_S / EACH_S / 2
    assert all(is_well(run) for run in runs)
    assert max(seen.begun_s) <= BEGUN_WITHIN_S
    assert seen.waiting == seen.taken.total()
    assert [seen.taken[NAMES.of(event.type)] for event in (RunQueued, RunFinished)] == [len(runs)] * 2
    assert seen.told_s <= TOLD_WITHIN_S
    count([Outcome("an hour without Kafka, by the product's settings", max(seen.begun_s))])

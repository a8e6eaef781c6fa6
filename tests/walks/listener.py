"""Another service, which listens to the events of an installation and asks for runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import orjson

from tailrace.bus.base import Bus, Message, Subscription
from tailrace.bus.cloudevents import Incoming, decode
from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka_access import KafkaAccess
from tailrace.events.models import BatchCompleted, Event, RunFinished, RunQueued, RunRequested
from tailrace.events.topics import TopicNames

_HEARS_WITHIN_S = 30.0
_OfRun = TypeVar("_OfRun", RunQueued, BatchCompleted, RunFinished)
_LISTENED: tuple[type[Event], ...] = (RunQueued, BatchCompleted, RunFinished)


@dataclass(slots=True)
class Listener:
    """What was heard so far, each event once: the bus may bring one again."""

    bus: Bus
    names: TopicNames
    subscription: Subscription
    heard: dict[tuple[str, str], Incoming] = field(default_factory=dict)

    async def queued(self, run_id: str) -> RunQueued:
        """That the run waited for an executor, once it was told."""
        await self._listen(lambda: bool(self._of(RunQueued, run_id)))
        [queued] = self._of(RunQueued, run_id)
        return queued

    async def finished(self, run_id: str) -> RunFinished:
        """How that run ended, once it was told."""
        await self._listen(lambda: bool(self._of(RunFinished, run_id)))
        [finished] = self._of(RunFinished, run_id)
        return finished

    async def batches(self, run_id: str, *, delivered: int) -> list[BatchCompleted]:
        """The checkpoints of that run, once they come to so many rows delivered, or more."""
        await self._listen(lambda: sum(batch.delivered for batch in self._of(BatchCompleted, run_id)) >= delivered)
        return self._of(BatchCompleted, run_id)

    async def request(self, asked: Mapping[str, object], *, key: str) -> None:
        """Ask for a run in bare JSON, without headers, as any service may."""
        topic = self.names.of(RunRequested.type)
        await self.bus.publish([Message(topic, key, orjson.dumps(asked), {})])

    async def _listen(self, enough: Callable[[], bool]) -> None:
        models = {self.names.of(model.type): model for model in _LISTENED}
        async with asyncio.timeout(_HEARS_WITHIN_S):
            while not enough():
                for received in await self.subscription.receive(at_most=500, wait_s=1.0):
                    incoming = decode(received, models[received.topic])
                    self.heard[incoming.source, incoming.event_id] = incoming

    def _of(self, model: type[_OfRun], run_id: str) -> list[_OfRun]:
        events = [incoming.event for incoming in self.heard.values()]
        return [event for event in events if isinstance(event, model) and event.run_id == run_id]


@asynccontextmanager
async def open_listener(bootstrap: str, topic_prefix: str) -> AsyncIterator[Listener]:
    """A member of a group of its own, over the port that our services use."""
    names = TopicNames(topic_prefix)
    topics = [names.of(model.type) for model in _LISTENED]
    async with (
        KafkaBus.open(KafkaAccess(bootstrap, client_id="walk")) as bus,
        bus.subscribe(topics, group=names.group("walk"), member="walk-1") as subscription,
    ):
        yield Listener(bus, names, subscription)

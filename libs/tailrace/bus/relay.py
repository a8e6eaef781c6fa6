"""Sends what the outbox holds: at least once, in order of the key, and late rather than never."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID, uuid4

import structlog

from tailrace.bus.backoff import Backoff
from tailrace.bus.base import Bus
from tailrace.bus.cloudevents import encode
from tailrace.core.errors import Unavailable
from tailrace.core.outgoing import TakenShards, WaitingEvent
from tailrace.core.waits import pause
from tailrace.events.topics import TopicNames
from tailrace.observe import fields, metrics
from tailrace.observe.failpoints import failpoint

_log = structlog.get_logger(__name__)
_BACKLOG_EVERY_S = 15.0


class Backlog(Protocol):
    """How much waits, and for how long."""

    @property
    def pending(self) -> int:
        """Events that wait."""
        ...

    @property
    def oldest_s(self) -> float:
        """Age of the oldest."""
        ...


class Outbox(Protocol):
    """What a relay needs of the outbox; `tailrace.store.outbox` keeps it."""

    async def take(
        self, token: UUID, *, ttl_s: float, at_most: int, among: Collection[int] | None = None
    ) -> TakenShards | None:
        """The shards, of those asked for, that no relay has, with their oldest events, or None; if all may be, one."""
        ...

    async def settle(self, shards: Collection[int], token: UUID, sent: Sequence[int]) -> None:
        """Delete what was sent and give the shards back."""
        ...

    async def backlog(self) -> Backlog:
        """What waits in all shards."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between looks at an empty outbox, events a round, and how long a shard is held.

    A lease must outlast a publish: a relay that overruns it sends what another sends too.
    """

    busy_s: float = 0.05
    idle_s: float = 0.5
    busy_for_s: float = 2.0
    at_most: int = 500
    lease_s: float = 20.0


class Relay:
    """Any number may run, in any process: each round leases one shard of the outbox for itself.

    A crash between the bus's acknowledgement and the deletion sends the round again. No transaction is open while
    the bus is waited for.
    """

    def __init__(
        self,
        outbox: Outbox,
        bus: Bus,
        names: TopicNames,
        *,
        pace: Pace | None = None,
        beat: Callable[[], None] | None = None,
    ) -> None:
        self._outbox = outbox
        self._bus = bus
        self._names = names
        self._pace = pace or Pace()
        self._beat = beat or (lambda: None)
        self._measured_at = float("-inf")

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until `stopping` is set, through every outage of the store and the bus."""
        backoff = Backoff()
        busy_until = 0.0
        while not stopping.is_set():
            self._beat()
            try:
                await self._measure()
                sent = await self.send_some()
            except Unavailable as error:
                wait_s = backoff.next_s()
                _log.warning("relay.held", code=error.code, error=error.message, **{fields.WAIT_S: wait_s})
                await pause(stopping, wait_s)
                continue
            backoff.reset()
            if sent:
                busy_until = time.monotonic() + self._pace.busy_for_s
            else:
                is_busy = time.monotonic() < busy_until
                await pause(stopping, self._pace.busy_s if is_busy else self._pace.idle_s)

    async def send_some(self, *, among: Collection[int] | None = None) -> int:
        """One round over the shards asked for, else over any one; gives how many events the bus has taken.

        :raises BusUnavailable: nothing is deleted; some may be on their topic and are sent again.
        :raises StoreUnavailable: the same.
        """
        token = uuid4()
        taken = await self._outbox.take(token, ttl_s=self._pace.lease_s, at_most=self._pace.at_most, among=among)
        if taken is None:
            return 0
        sent: list[int] = []
        try:
            await self._publish(taken.events)
            failpoint("relay.after_send_before_delete")
            sent = [held.place for held in taken.events]
        finally:
            await self._outbox.settle(taken.shards, token, sent)
        return len(sent)

    async def _publish(self, waiting: Sequence[WaitingEvent]) -> None:
        await self._bus.publish(
            [encode(held.event, self._names, time=held.created_at, traceparent=held.traceparent) for held in waiting]
        )
        for held in waiting:
            metrics.EVENTS.labels(held.event.type, "published").inc()

    async def _measure(self) -> None:
        if time.monotonic() - self._measured_at < _BACKLOG_EVERY_S:
            return
        backlog = await self._outbox.backlog()
        metrics.OUTBOX_PENDING.set(backlog.pending)
        metrics.OUTBOX_AGE.set(backlog.oldest_s)
        self._measured_at = time.monotonic()

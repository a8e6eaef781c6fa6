"""Reads events for a service: decodes, handles, commits, and goes on through every outage."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from tailrace.bus.backoff import Backoff
from tailrace.bus.base import MAX_PUT_ASIDE_BYTES, Bus, Message, Received, Subscription
from tailrace.bus.cloudevents import Incoming, Unreadable, decode
from tailrace.core.errors import BusUnavailable, TailraceError, Unavailable
from tailrace.core.waits import pause
from tailrace.events.models import Event
from tailrace.events.topics import TopicNames, dead_letter_topic
from tailrace.observe import fields, metrics
from tailrace.observe.tracing import traced

Handler = Callable[[Incoming], Awaitable[None]]
"""Takes an event in, in less than a second: claims or upserts, never works on a run.

Runs at least once for an event, so it dedupes by `take_in` or by compare-and-set. `Unavailable` means that it is to
be tried again; after any other error the event is put aside.
"""

READ: Final = "VALUE_CONVERTER"
HANDLED: Final = "TASK_PUT"

_log = structlog.get_logger(__name__)
_AT_MOST = 100
_WAIT_S = 1.0
_MESSAGE_CHARACTERS = 500


def _no_beat() -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads what: a service's group, its member's name, and what to call while the loop goes on."""

    names: TopicNames
    events: tuple[type[Event], ...]
    service: str
    member: str
    beat: Callable[[], None] = _no_beat


async def consume(bus: Bus, reader: Reader, handler: Handler, *, stopping: asyncio.Event) -> None:
    """Read until `stopping` is set; returns when the event at hand is handled.

    Never ends because of the bus or the store. What cannot be read, or fails for a reason that waiting does not mend,
    goes to `<topic>.dlq`; an event counts as done only after that.
    """
    loop = _Loop(bus, reader, handler, stopping)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(loop.run())
        await stopping.wait()
        async with loop.handling:
            reading.cancel()


class _Loop:
    """`handling` is held while events are at work, so that a stop comes between two of them."""

    def __init__(self, bus: Bus, reader: Reader, handler: Handler, stopping: asyncio.Event) -> None:
        self._bus = bus
        self._reader = reader
        self._handler = handler
        self._stopping = stopping
        self._models = {reader.names.of(event.type): event for event in reader.events}
        self._group = reader.names.group(reader.service)
        self.handling = asyncio.Lock()

    async def run(self) -> None:
        backoff = Backoff()
        while True:
            self._reader.beat()
            try:
                await self._read_as_member(backoff)
            except BusUnavailable as error:
                wait_s = backoff.next_s()
                _log.warning("subscription.lost", group=self._group, error=error.message, **{fields.WAIT_S: wait_s})
                await asyncio.sleep(wait_s)

    async def _read_as_member(self, backoff: Backoff) -> None:
        topics = list(self._models)
        async with self._bus.subscribe(topics, group=self._group, member=self._reader.member) as subscription:
            _log.info("subscription.opened", group=self._group, topics=topics)
            while True:
                received = await subscription.receive(at_most=_AT_MOST, wait_s=_WAIT_S)
                self._reader.beat()
                if received:
                    async with self.handling:
                        await self._settle(subscription, received)
                    backoff.reset()

    async def _settle(self, subscription: Subscription, received: Sequence[Received]) -> None:
        for message in received:
            if self._stopping.is_set() or not await self._take(message):
                return
        try:
            await subscription.commit()
        except BusUnavailable as error:
            _log.warning("commit.failed", group=self._group, error=error.message)

    async def _take(self, message: Received) -> bool:
        """Whether the message is done with; not if a stop came while it had to be tried again."""
        model = self._models[message.topic]
        try:
            incoming = decode(message, model)
        except Unreadable as error:
            await self._put_aside(message, error, stage=READ)
            metrics.EVENTS.labels(model.type, "unreadable").inc()
            return True
        with traced(incoming.traceparent), bound_contextvars(**{fields.EVENT_ID: incoming.event_id}):
            return await self._handle(message, incoming)

    async def _handle(self, message: Received, incoming: Incoming) -> bool:
        backoff = Backoff()
        while not self._stopping.is_set():
            self._reader.beat()
            try:
                await self._handler(incoming)
            except Unavailable as error:
                wait_s = backoff.next_s()
                _log.warning("event.held", code=error.code, error=error.message, **{fields.WAIT_S: wait_s})
                await pause(self._stopping, wait_s)
            except Exception as error:  # noqa: BLE001 - one event must not end the service; it is put aside whole
                _log.exception("event.failed", **{fields.TOPIC: message.topic})
                await self._put_aside(message, error, stage=HANDLED)
                metrics.EVENTS.labels(incoming.event.type, "failed").inc()
                return True
            else:
                metrics.EVENTS.labels(incoming.event.type, "handled").inc()
                return True
        return False

    async def _put_aside(self, message: Received, error: Exception, *, stage: str) -> None:
        _log.error(
            "event.put_aside",
            topic=message.topic, partition=message.partition, offset=message.offset, stage=stage,
            error=_told(error),
        )  # fmt: skip
        await self._bus.publish([_put_aside(message, error, stage=stage, group=self._group)])


def _put_aside(message: Received, error: Exception, *, stage: str, group: str) -> Message:
    """Key, value and headers as they came, with Kafka Connect's headers of where, when and why.

    What was absent comes out empty; a value beyond the limit is cut, and still whole in its place on its topic.
    """
    value = message.value or b""
    why = {
        "__connect.errors.topic": message.topic,
        "__connect.errors.partition": str(message.partition),
        "__connect.errors.offset": str(message.offset),
        "__connect.errors.connector.name": group,
        "__connect.errors.stage": stage,
        "__connect.errors.exception.class.name": type(error).__name__,
        "__connect.errors.exception.message": _told(error),
        "tailrace_value_bytes": str(len(value)),
    }
    return Message(
        dead_letter_topic(message.topic),
        (message.key or b"").decode(errors="surrogateescape"),
        value[:MAX_PUT_ASIDE_BYTES],
        {**message.headers, **{name: text.encode() for name, text in why.items()}},
    )


def _told(error: Exception) -> str:
    """Our own messages hold no content; others may, and stay untold."""
    return error.message[:_MESSAGE_CHARACTERS] if isinstance(error, TailraceError) else type(error).__name__

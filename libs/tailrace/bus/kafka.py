"""The bus over Apache Kafka: everything that aiokafka would wait for without end has an end here."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError
from aiokafka.producer.message_accumulator import MessageAccumulator

from tailrace.bus.base import Bus, Message, Subscription
from tailrace.bus.kafka_access import Compression, KafkaAccess, KafkaWaits, lacking, milliseconds
from tailrace.bus.kafka_subscription import FAILURES, KafkaSubscription
from tailrace.core.errors import BusUnavailable

_log = structlog.get_logger(__name__)
_BATCH_BYTES = 64 * 1024
_JOIN_MARGIN_S = 5.0


class KafkaBus(Bus):
    """Producer on first use and anew after each failure: one that failed may wedge, or send late what was given up."""

    def __init__(self, access: KafkaAccess, *, waits: KafkaWaits, compression: Compression | None) -> None:
        self._access = access
        self._waits = waits
        self._compression = compression
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, access: KafkaAccess, *, waits: KafkaWaits | None = None, compression: Compression | None = None
    ) -> AsyncIterator[Self]:
        """The bus for as long as the scope lasts; it opens while no broker answers.

        :raises Invalid: the access cannot work.
        """
        access.options()
        bus = cls(access, waits=waits or KafkaWaits(), compression=compression)
        try:
            yield bus
        finally:
            await bus._discard(bus._producer)

    async def publish(self, messages: Sequence[Message]) -> None:
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(self._waits.publish_s):
                producer = await self._started()
                await _send(producer, messages)
        except FAILURES as error:
            await self._discard(producer)
            raise self._unavailable("did not take all messages", error) from error
        except BusUnavailable:
            await self._discard(producer)
            raise

    @asynccontextmanager
    async def subscribe(self, topics: Sequence[str], *, group: str, member: str) -> AsyncIterator[Subscription]:
        consumer = AIOKafkaConsumer(*topics, **self._consumer_options(group, member))
        try:
            try:
                async with asyncio.timeout(self._waits.join_s):
                    await consumer.start()
            except UnknownTopicOrPartitionError as error:
                raise lacking(*topics) from error
            except FAILURES as error:
                raise self._unavailable(f"did not let {member} into group {group}", error) from error
            yield KafkaSubscription(consumer, self._waits)
        finally:
            await _leave(consumer, self._waits.stop_s)

    async def check(self) -> None:
        try:
            async with asyncio.timeout(self._waits.check_s):
                producer = await self._started()
                answered = await producer.client.force_metadata_update()
        except FAILURES as error:
            raise self._unavailable("does not answer", error) from error
        if not answered:
            raise BusUnavailable(f"Kafka at {self._access.bootstrap} does not answer")

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._access.options(),
                    acks="all",
                    enable_idempotence=True,
                    compression_type=self._compression,
                    max_batch_size=_BATCH_BYTES,
                    request_timeout_ms=milliseconds(self._waits.request_s),
                )
                try:
                    await producer.start()
                except BaseException:
                    await _give_up(producer, self._waits.stop_s)
                    raise
                self._producer = producer
            return self._producer

    async def _discard(self, producer: AIOKafkaProducer | None) -> None:
        if producer is not None and producer is self._producer:
            self._producer = None
            await _give_up(producer, self._waits.stop_s)

    def _consumer_options(self, group: str, member: str) -> Mapping[str, object]:
        return {
            **self._access.options(),
            "client_id": member,
            "group_id": group,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "metadata_max_age_ms": milliseconds(self._waits.refresh_s),
            "session_timeout_ms": milliseconds(self._waits.session_s),
            "heartbeat_interval_ms": milliseconds(self._waits.session_s / 3),
            # Joining takes as long as the slowest other member takes to notice.
            "request_timeout_ms": milliseconds(self._waits.session_s + _JOIN_MARGIN_S),
        }

    def _unavailable(self, what: str, error: BaseException) -> BusUnavailable:
        return BusUnavailable(f"Kafka at {self._access.bootstrap} {what}: {type(error).__name__}")


async def _send(producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
    """One batch a partition is under way at a time, so that order holds within a key."""
    futures: list[asyncio.Future[object]] = []
    try:
        for message in messages:
            futures.append(await _queue(producer, message))  # noqa: PERF401 - reads worse as a comprehension
        await asyncio.gather(*futures)
    finally:
        for future in futures:
            future.add_done_callback(_retrieve)


async def _queue(producer: AIOKafkaProducer, message: Message) -> "asyncio.Future[object]":
    headers = list(message.headers.items())
    key = message.key.encode(errors="surrogateescape")
    try:
        future: asyncio.Future[object] = await producer.send(message.topic, message.value, key=key, headers=headers)
    except UnknownTopicOrPartitionError as error:
        raise lacking(message.topic) from error
    return future


def _retrieve(future: "asyncio.Future[object]") -> None:
    """A failure that was already told by another message of the batch."""
    if not future.cancelled():
        future.exception()


async def _give_up(producer: AIOKafkaProducer, wait_s: float) -> None:
    """Close without waiting for acknowledgements: `stop` alone waits until a broker answers, however long."""
    await _end("sender", producer._sender.close(), wait_s)  # noqa: SLF001 - the library has no other way
    _fail_unsent(producer._message_accumulator)  # noqa: SLF001 - the same
    await _end("producer", producer.stop(), wait_s)
    await _end("client", producer.client.close(), wait_s)


def _fail_unsent(accumulator: MessageAccumulator) -> None:
    """End every batch that waits, and look at each failure: nobody else does once its sender has given up."""
    queued = {batch for batches in accumulator._batches.values() for batch in batches}  # noqa: SLF001 - the same
    # A batch that was tried before takes itself from the pending ones when it ends.
    pending = accumulator._pending_batches  # noqa: SLF001 - the same
    pending |= queued
    unsent = [batch for batch in pending if not batch.future.done()]
    accumulator.fail_all(KafkaTimeoutError())
    for batch in unsent:
        messages = (future for future, _ in batch._msg_futures)  # noqa: SLF001 - the same
        for future in (batch.future, batch._drain_waiter, *messages):  # noqa: SLF001 - the same
            if future.done() and not future.cancelled():
                future.exception()


async def _leave(consumer: AIOKafkaConsumer, wait_s: float) -> None:
    await _end("consumer", consumer.stop(), wait_s)
    # What `stop` leaves if it breaks off would go on for ever, and a member that nobody has would keep its partitions.
    if consumer._coordinator is not None:  # noqa: SLF001 - the library has no other way
        await _end("heartbeat", consumer._coordinator._stop_heartbeat_task(), wait_s)  # noqa: SLF001 - the same
        await _end("marks", consumer._coordinator._stop_commit_offsets_refresh_task(), wait_s)  # noqa: SLF001 - the same
    if consumer._fetcher is not None:  # noqa: SLF001 - the same
        await _end("fetcher", consumer._fetcher.close(), wait_s)  # noqa: SLF001 - the same
    await _end("client", consumer._client.close(), wait_s)  # noqa: SLF001 - the same


async def _end(what: str, closing: Coroutine[None, None, None], wait_s: float) -> None:
    """Wait, but not for ever. In a task of its own, for aiokafka lets cancellations of its tasks out as if ours."""

    async def close() -> None:
        try:
            await closing
        except FAILURES as error:
            _log.debug("kafka_client.broke_off", what=what, error=type(error).__name__)

    async with asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(close())
        await asyncio.wait({ending}, timeout=wait_s)
        if not ending.done():
            _log.warning("kafka_client.abandoned", what=what)
            ending.cancel()

"""The bus over Apache Kafka: everything that aiokafka would wait for without end has an end here."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.errors import KafkaError, KafkaTimeoutError, RebalanceInProgressError, UnknownTopicOrPartitionError
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.structs import OffsetAndMetadata

from tailrace.bus.base import Bus, Message, Received, Subscription
from tailrace.bus.kafka_access import Compression, KafkaAccess, KafkaWaits
from tailrace.core.errors import BusUnavailable, Invalid
from tailrace.observe import metrics

_log = structlog.get_logger(__name__)
_FAILURES = (KafkaError, OSError, TimeoutError)
_MEMBER = re.compile(r"[A-Za-z0-9._-]{1,249}")
_BATCH_BYTES = 64 * 1024
_JOIN_MARGIN_S = 5.0
_COMMIT_AGAIN_S = 0.1


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
        except _FAILURES as error:
            await self._discard(producer)
            raise self._unavailable("did not take all messages", error) from error
        except BusUnavailable:
            await self._discard(producer)
            raise

    @asynccontextmanager
    async def subscribe(self, topics: Sequence[str], *, group: str, member: str) -> AsyncIterator[Subscription]:
        if not _MEMBER.fullmatch(member):
            raise Invalid(f"{member!r} cannot be a member's name: letters, digits, dots, dashes, 249 at most")
        consumer = AIOKafkaConsumer(*topics, **self._consumer_options(group, member))
        try:
            try:
                async with asyncio.timeout(self._waits.join_s):
                    await consumer.start()
            except UnknownTopicOrPartitionError as error:
                raise BusUnavailable(_missing(", ".join(topics))) from error
            except _FAILURES as error:
                raise self._unavailable(f"did not let {member} into group {group}", error) from error
            yield KafkaSubscription(consumer, self._waits)
        finally:
            await _leave(consumer, self._waits.stop_s)

    async def check(self) -> None:
        try:
            async with asyncio.timeout(self._waits.check_s):
                producer = await self._started()
                answered = await producer.client.force_metadata_update()
        except _FAILURES as error:
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
                    request_timeout_ms=_ms(self._waits.request_s),
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
            "group_id": group,
            "group_instance_id": member,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "metadata_max_age_ms": _ms(self._waits.refresh_s),
            "session_timeout_ms": _ms(self._waits.session_s),
            "heartbeat_interval_ms": _ms(self._waits.session_s / 3),
            # Joining takes as long as the slowest other member takes to notice.
            "request_timeout_ms": _ms(self._waits.session_s + _JOIN_MARGIN_S),
        }

    def _unavailable(self, what: str, error: BaseException) -> BusUnavailable:
        return BusUnavailable(f"Kafka at {self._access.bootstrap} {what}: {type(error).__name__}")


class KafkaSubscription(Subscription):
    """A static member of a group: a restart under its name within the session moves no partition."""

    def __init__(self, consumer: AIOKafkaConsumer, waits: KafkaWaits) -> None:
        self._consumer = consumer
        self._waits = waits
        self._progress_at = time.monotonic()
        self._was_behind = False
        self._read_to: dict[TopicPartition, int] = {}
        self._marked: set[TopicPartition] = set()

    async def receive(self, *, at_most: int, wait_s: float) -> Sequence[Received]:
        try:
            async with asyncio.timeout(wait_s + self._waits.request_s):
                batches = await self._consumer.getmany(timeout_ms=_ms(wait_s), max_records=at_most)
        except _FAILURES as error:
            raise BusUnavailable(f"the subscription broke: {type(error).__name__}") from error
        received = [_received(record) for records in batches.values() for record in records]
        self._read_to |= {place: records[-1].offset + 1 for place, records in batches.items() if records}
        self._measure()
        if received or time.monotonic() - self._progress_at > self._waits.stall_s:
            await self._refuse_stall(is_moving=bool(received))
        if not received:
            await self._mark_start()
        return received

    async def commit(self) -> None:
        try:
            async with asyncio.timeout(self._waits.commit_s):
                await _commit(self._consumer, self._assignment().all_consumed_offsets())
        except _FAILURES as error:
            raise BusUnavailable(f"the commit did not succeed: {type(error).__name__}") from error

    async def _mark_start(self) -> None:
        """Commit where the group begins on partitions without messages: a scaler counts from the mark, or from zero."""
        unmarked = self._consumer.assignment() - self._marked - self._read_to.keys()
        if not unmarked:
            return
        try:
            async with asyncio.timeout(self._waits.request_s):
                starts = {place: await self._consumer.position(place) for place in unmarked}
                await _commit(self._consumer, {place: OffsetAndMetadata(at, "") for place, at in starts.items()})
        except _FAILURES as error:
            _log.debug("start.not_marked", error=type(error).__name__)
        self._marked |= unmarked

    def _assignment(self) -> Assignment:
        subscription = self._consumer._subscription.subscription  # noqa: SLF001 - the library has no other way
        if subscription is None or subscription.assignment is None:
            raise RebalanceInProgressError
        return subscription.assignment

    def _measure(self) -> None:
        lags = dict.fromkeys(self._consumer.subscription(), 0)
        for place in self._consumer.assignment() & self._read_to.keys():
            lags[place.topic] += max((self._consumer.highwater(place) or 0) - self._read_to[place], 0)
        for topic, lag in lags.items():
            metrics.BUS_LAG.labels(topic).set(lag)

    async def _refuse_stall(self, *, is_moving: bool) -> None:
        """A consumer can stop fetching for good without a word: it is behind twice in a row, and gets nothing."""
        is_behind = not is_moving and await self._is_behind()
        if is_behind and self._was_behind:
            raise BusUnavailable("the subscription stands still before messages that it does not get")
        self._was_behind = is_behind
        if not is_behind:
            self._progress_at = time.monotonic()

    async def _is_behind(self) -> bool:
        try:
            async with asyncio.timeout(self._waits.request_s):
                assigned = self._consumer.assignment()
                ends = await self._consumer.end_offsets(assigned) if assigned else {}
                positions = {place: await self._consumer.position(place) for place in assigned}
        except _FAILURES as error:
            raise BusUnavailable(f"the subscription does not answer: {type(error).__name__}") from error
        return any(positions[place] < ends[place] for place in assigned)


async def _commit(consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
    """Until it is done, or refused. The library's own commit leaves its request to itself where it is given up."""
    coordinator = consumer._coordinator  # noqa: SLF001 - the library has no other way
    while True:
        await coordinator.ensure_coordinator_known()
        try:
            await coordinator._do_commit_offsets(None, offsets)  # noqa: SLF001 - the same
        except KafkaError as error:
            if not error.retriable:
                raise
            await asyncio.sleep(_COMMIT_AGAIN_S)
        else:
            return


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
        raise BusUnavailable(_missing(message.topic)) from error
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
    await _end("client", consumer._client.close(), wait_s)  # noqa: SLF001 - `stop` leaves it open if it breaks off


async def _end(what: str, closing: Coroutine[None, None, None], wait_s: float) -> None:
    """Wait, but not for ever. In a task of its own, for aiokafka lets cancellations of its tasks out as if ours."""

    async def close() -> None:
        try:
            await closing
        except _FAILURES as error:
            _log.debug("kafka_client.broke_off", what=what, error=type(error).__name__)

    async with asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(close())
        await asyncio.wait({ending}, timeout=wait_s)
        if not ending.done():
            _log.warning("kafka_client.abandoned", what=what)
            ending.cancel()


def _received(record: ConsumerRecord) -> Received:
    return Received(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        {name: value or b"" for name, value in record.headers},
        record.timestamp,
    )


def _missing(topic: str) -> str:
    return f"Kafka lacks a topic, {topic}: `tailrace kafka topics apply` makes those that are missing"


def _ms(wait_s: float) -> int:
    return int(wait_s * 1000)

"""Reading as a member of a group of Apache Kafka: what stands still, or is given up, is told of."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError, RebalanceInProgressError, UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndMetadata

from tailrace.bus.base import Received, Subscription
from tailrace.bus.kafka_access import KafkaWaits, lacking, milliseconds
from tailrace.core.errors import BusUnavailable
from tailrace.observe import metrics

FAILURES = (KafkaError, OSError, TimeoutError)
"""What a call on a client of aiokafka fails with, bounded in time as each is here."""

_log = structlog.get_logger(__name__)
_COMMIT_AGAIN_S = 0.1


class KafkaSubscription(Subscription):
    """A member of a group that is of no more use once it stands still."""

    def __init__(self, consumer: AIOKafkaConsumer, waits: KafkaWaits) -> None:
        self._consumer = consumer
        self._waits = waits
        self._progress_at = time.monotonic()
        self._was_behind = False
        self._read_to: dict[TopicPartition, int] = {}
        self._marked: set[TopicPartition] = set()

    async def receive(self, *, at_most: int, wait_s: float) -> Sequence[Received]:
        self._refuse_missing_topics()
        try:
            async with asyncio.timeout(wait_s + self._waits.request_s):
                batches = await self._consumer.getmany(timeout_ms=milliseconds(wait_s), max_records=at_most)
        except FAILURES as error:
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
                await self._commit(self._consumed(), self._generation())
        except FAILURES as error:
            raise BusUnavailable(f"the commit did not succeed: {type(error).__name__}") from error

    async def _mark_start(self) -> None:
        """Commit where the group begins on partitions without messages: a scaler counts from the mark, or from zero."""
        unmarked = self._consumer.assignment() - self._marked - self._read_to.keys()
        if not unmarked:
            return
        try:
            async with asyncio.timeout(self._waits.request_s):
                generation = self._generation()
                starts = {place: await self._consumer.position(place) for place in unmarked}
                await self._commit({place: OffsetAndMetadata(at, "") for place, at in starts.items()}, generation)
        except FAILURES as error:
            _log.debug("start.not_marked", error=type(error).__name__)
        self._marked |= unmarked

    async def _commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], generation: tuple[str, int]) -> None:
        """As the library does, whose own commit forgets a request that is given up, and goes on in a group made anew.

        :raises RebalanceInProgressError: the member has joined anew, maybe another cluster, where places mean nothing.
        """
        while True:
            await self._coordinator.ensure_coordinator_known()
            if self._generation() != generation:
                raise RebalanceInProgressError
            try:
                await self._coordinator._do_commit_offsets(None, offsets)  # noqa: SLF001 - the library has no other way
            except KafkaError as error:
                if not error.retriable or isinstance(error, UnknownTopicOrPartitionError):
                    raise
                await asyncio.sleep(_COMMIT_AGAIN_S)
            else:
                return

    def _consumed(self) -> Mapping[TopicPartition, OffsetAndMetadata]:
        subscription = self._consumer._subscription.subscription  # noqa: SLF001 - the library has no other way
        if subscription is None or subscription.assignment is None:
            raise RebalanceInProgressError
        consumed: Mapping[TopicPartition, OffsetAndMetadata] = subscription.assignment.all_consumed_offsets()
        return consumed

    def _generation(self) -> tuple[str, int]:
        """What the group knows this member by; in a group that is empty, a commit by nobody would count."""
        if self._coordinator.generation < 0:
            raise RebalanceInProgressError
        return self._coordinator.member_id, self._coordinator.generation

    @property
    def _coordinator(self) -> GroupCoordinator:
        return self._consumer._coordinator  # noqa: SLF001 - the library has no other way

    def _refuse_missing_topics(self) -> None:
        """Messages of a topic that was deleted and made anew begin anew; its members must too."""
        missing = {name for name in self._consumer.subscription() if not self._consumer.partitions_for_topic(name)}
        if missing:
            raise lacking(*missing)

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
        except FAILURES as error:
            raise BusUnavailable(f"the subscription does not answer: {type(error).__name__}") from error
        return any(positions[place] < ends[place] for place in assigned)


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

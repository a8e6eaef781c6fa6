"""Topics of one ground on a Kafka, and what is on them."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from tailrace.bus.base import Received, Subscription
from tailrace.bus.cloudevents import decode
from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka_access import KafkaAccess
from tailrace.core.ids import RunId
from tailrace.events.models import Event, RunQueued
from tailrace.events.topics import TopicNames
from tests.faults.crowd import Crowd
from tests.faults.ground import PATIENCE_S, Ground
from tests.walks.installation import told

_LOOK_S = 0.1
_EPOCHS = "SELECT array_agg(DISTINCT lease_epoch) FROM run_shards"


async def use_kafka(ground: Ground, bootstrap: str, prefix: str) -> None:
    """Have all services to come use Kafka, with topics of their own."""
    ground.settings |= {"kafka_bootstrap": bootstrap, "topic_prefix": prefix}
    environment = {"TAILRACE_KAFKA_BOOTSTRAP": bootstrap, "TAILRACE_TOPIC_PREFIX": prefix}
    await told("kafka", "topics", "apply", "--replication-factor", "1", environment=environment)


async def delete_topics(bootstrap: str, names: TopicNames) -> None:
    """Take all topics away, with what is on them and what groups have read of it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic.name for topic in names.all()])
    finally:
        await admin.close()


async def heard_of(event: type[RunQueued], bootstrap: str, prefix: str, *, at_least: int) -> Counter[str]:
    """How often each event of that kind is on its topic, by event id."""
    names, heard = TopicNames(prefix), Counter[str]()
    received: Sequence[Received] = ()
    topic = names.of(event.type)
    async with (
        KafkaBus.open(KafkaAccess(bootstrap)) as bus,
        bus.subscribe([topic], group=names.group("test"), member="test-1") as subscription,
        asyncio.timeout(PATIENCE_S),
    ):
        while len(heard) < at_least or received:
            received = await subscription.receive(at_most=500, wait_s=1.0)
            heard.update(decode(one, event).event_id for one in received)
    return heard


@dataclass(frozen=True, slots=True)
class Foreign:
    """A message that is none of ours."""

    key: bytes
    value: bytes
    headers: Mapping[str, bytes] = field(default_factory=dict)


async def put_foreign(bootstrap: str, topic: str, messages: Sequence[Foreign]) -> None:
    """Put them on the topic, in order, however large."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=1 << 22) as producer:
        for one in messages:
            await producer.send_and_wait(topic, one.value, key=one.key, headers=list(one.headers.items()))


async def caught_up(bootstrap: str, names: TopicNames, service: str, event: type[Event]) -> None:
    """Return once the service has committed every message of that kind."""
    topic, group = names.of(event.type), names.group(service)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap)
    await admin.start()
    await consumer.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
            ends = await consumer.end_offsets(places)
            while not _are_reached(ends, await admin.list_consumer_group_offsets(group)):  # noqa: ASYNC110 - others read
                await asyncio.sleep(_LOOK_S)
    finally:
        await consumer.stop()
        await admin.close()


async def everything(subscription: Subscription) -> list[Received]:
    """What is on the topics."""
    found: list[Received] = []
    async with asyncio.timeout(PATIENCE_S):
        while some := await subscription.receive(at_most=1000, wait_s=3.0):
            found += some
    return found


async def carried_out(crowd: Crowd, run_ids: Sequence[RunId]) -> list[str]:
    """What of these runs did not go as if nothing were the matter."""
    statuses = await asyncio.gather(*(crowd.trial.ground.ended(run_id) for run_id in run_ids))
    epochs = await crowd.trial.ground.chassis.database.fetchval(_EPOCHS)
    return [
        *(f"{run_id} is {status}" for run_id, status in zip(run_ids, statuses, strict=True) if status != "succeeded"),
        *([] if epochs == [1] else [f"owners: {epochs}"]),
    ]


def _are_reached(ends: Mapping[TopicPartition, int], committed: Mapping[TopicPartition, OffsetAndMetadata]) -> bool:
    return all(not end or (place in committed and committed[place].offset >= end) for place, end in ends.items())

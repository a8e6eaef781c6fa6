"""Topics of one ground on a Kafka, and what is on them."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from tailrace.bus.base import Received
from tailrace.bus.cloudevents import decode
from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka_access import KafkaAccess
from tailrace.events.models import RunQueued
from tailrace.events.topics import TopicNames
from tests.faults.ground import Ground
from tests.walks.installation import told

_HEARS_WITHIN_S = 60.0


async def use_kafka(ground: Ground, bootstrap: str, prefix: str) -> None:
    """Have all services to come use Kafka, with topics of their own."""
    ground.settings |= {"kafka_bootstrap": bootstrap, "topic_prefix": prefix}
    environment = {"TAILRACE_KAFKA_BOOTSTRAP": bootstrap, "TAILRACE_TOPIC_PREFIX": prefix}
    await told("kafka", "topics", "apply", "--replication-factor", "1", environment=environment)


async def heard_of(event: type[RunQueued], bootstrap: str, prefix: str, *, at_least: int) -> Counter[str]:
    """How often each event of that kind is on its topic, by event id."""
    names, heard = TopicNames(prefix), Counter[str]()
    received: Sequence[Received] = ()
    topic = names.of(event.type)
    async with (
        KafkaBus.open(KafkaAccess(bootstrap)) as bus,
        bus.subscribe([topic], group=names.group("test"), member="test-1") as subscription,
        asyncio.timeout(_HEARS_WITHIN_S),
    ):
        while len(heard) < at_least or received:
            received = await subscription.receive(at_most=500, wait_s=1.0)
            heard.update(decode(one, event).event_id for one in received)
    return heard

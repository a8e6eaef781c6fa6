"""Makes the topics of an installation where they are missing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from tailrace.bus.kafka_access import KafkaAccess
from tailrace.core.errors import BusUnavailable, Invalid
from tailrace.events.topics import RETENTION_MS, Topic

_ANSWER_S = 30.0
_LOOK_AGAIN_S = 0.05
_REPLICAS_IN_SYNC = 2
# A put-aside message with its headers, also where brokers take less by default.
_TAKEN_BYTES = 1024 * 1024


async def make_missing_topics(
    access: KafkaAccess, topics: Sequence[Topic], *, replication_factor: int = 3
) -> list[str]:
    """Make what is missing, ready to be used; gives the names made. What exists stays as it is. Repeatable.

    :raises Invalid: the cluster refuses a topic, such as for having fewer brokers than replicas were asked for.
    :raises BusUnavailable: the cluster does not answer.
    """
    try:
        async with asyncio.timeout(_ANSWER_S), _admin(access) as admin:
            present = set(await admin.list_topics())
            missing = [topic for topic in topics if topic.name not in present]
            if missing:
                _refuse_errors(await admin.create_topics([_described(topic, replication_factor) for topic in missing]))
                await _until_led(admin, missing)
            return [topic.name for topic in missing]
    except (KafkaError, OSError, TimeoutError) as error:
        raise BusUnavailable(f"Kafka at {access.bootstrap} made no topics: {type(error).__name__}") from error


@asynccontextmanager
async def _admin(access: KafkaAccess) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**access.options())
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


def _described(topic: Topic, replication_factor: int) -> NewTopic:
    settings = {
        "cleanup.policy": "delete",
        "retention.ms": str(RETENTION_MS),
        "max.message.bytes": str(_TAKEN_BYTES),
        "min.insync.replicas": str(min(_REPLICAS_IN_SYNC, replication_factor)),
    }
    return NewTopic(topic.name, topic.partitions, replication_factor, topic_configs=settings)


def _refuse_errors(response: object) -> None:
    for topic, code, told in getattr(response, "topic_errors", ()):
        refused = for_code(code)
        if refused not in {TopicAlreadyExistsError, for_code(0)}:
            raise Invalid(f"Kafka refuses topic {topic}: {told or refused.__name__}", code="TOPIC_REFUSED")


async def _until_led(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
    """A topic takes messages once each of its partitions has a leader."""
    names = [topic.name for topic in topics]
    while not all(_is_led(topic) for topic in await admin.describe_topics(names)):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(_LOOK_AGAIN_S)


def _is_led(described: dict[str, object]) -> bool:
    partitions = described["partitions"]
    if described["error_code"] or not isinstance(partitions, list) or not partitions:
        return False
    return all(partition["leader"] >= 0 for partition in partitions)

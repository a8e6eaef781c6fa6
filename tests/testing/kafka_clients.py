"""The little that tests of the broker ask of a client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

_CALL_S = 20.0


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    async with asyncio.timeout(_CALL_S):
        await client.start()
    try:
        yield client
    finally:
        async with asyncio.timeout(_CALL_S):
            await client.close()


async def make_topic(bootstrap: str, topic: str) -> None:
    """A topic with one partition."""
    async with _admin(bootstrap) as client, asyncio.timeout(_CALL_S):
        await client.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])


async def topics_of(bootstrap: str) -> list[str]:
    """The names of all topics that are not Kafka's own."""
    async with _admin(bootstrap) as client, asyncio.timeout(_CALL_S):
        return sorted(name for name in await client.list_topics() if not name.startswith("__"))


async def send(bootstrap: str, topic: str, message: bytes) -> None:
    """Send the message and wait until the broker has it."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    async with asyncio.timeout(_CALL_S):
        await producer.start()
        try:
            await producer.send_and_wait(topic, message)
        finally:
            await producer.stop()


async def first_message(bootstrap: str, topic: str) -> bytes:
    """The oldest message of the topic, which must have one."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with asyncio.timeout(_CALL_S):
        await consumer.start()
        try:
            found: bytes = (await consumer.getone()).value
            return found
        finally:
            await consumer.stop()

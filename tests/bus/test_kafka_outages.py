"""Relay and reading loop over a broker that is killed, frozen and wiped under them."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
import pytest_asyncio

from tailrace.bus.base import Message
from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka_access import KafkaAccess
from tailrace.bus.topics import make_missing_topics
from tailrace.core.errors import BusUnavailable
from tailrace.events.topics import Topic, TopicNames
from tailrace.store.database import Database
from tailrace.testing.eventually import eventually
from tailrace.testing.kafka_server import KafkaServer
from tailrace.testing.received import collect, values
from tests.bus.platform import WAITS, Platform

# One broker for all of them.
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300), pytest.mark.xdist_group("broken kafka")]

A_MEMBER = """
import asyncio, sys
from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka_access import KafkaAccess, KafkaWaits

async def main(bootstrap, topic, group):
    async with KafkaBus.open(KafkaAccess(bootstrap), waits=KafkaWaits(session_s=6)) as bus:
        async with bus.subscribe([topic], group=group, member="killed") as member:
            while not await member.receive(at_most=100, wait_s=1):
                pass
            print("received", flush=True)
            await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broker() -> AsyncIterator[KafkaServer]:
    """One that these tests break in turn, each with topics of its own."""
    async with KafkaServer() as server:
        yield server


@pytest_asyncio.fixture
async def own_kafka(broker: KafkaServer) -> AsyncIterator[KafkaServer]:
    """That broker, whole again after each test."""
    yield broker
    if broker.pid is None:
        await broker.start()
    broker.thaw()


@pytest.fixture(autouse=True)
def nothing_breaks_unheard(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No task, callback or future of the library ends with an error that nobody looks at."""
    yield
    gc.collect()
    records = [*caplog.get_records("call"), *caplog.get_records("teardown")]
    assert [record.getMessage() for record in records if record.name == "asyncio"] == []


async def test_what_was_written_while_the_broker_was_dead_is_handled(
    own_kafka: KafkaServer, database: Database, topic_prefix: str
) -> None:
    async with Platform.over(own_kafka.bootstrap, database, TopicNames(topic_prefix)) as platform:
        await own_kafka.kill()
        await platform.write(*range(1, 20))
        await platform.has_tried_to_send()
        waiting = await platform.pending()

        await own_kafka.start()
        await platform.write(20)

        await platform.has_handled(*range(1, 21))
        await platform.has_sent_all()
    assert waiting == 19


async def test_what_was_written_while_the_broker_was_frozen_is_handled(
    own_kafka: KafkaServer, database: Database, topic_prefix: str
) -> None:
    async with Platform.over(own_kafka.bootstrap, database, TopicNames(topic_prefix)) as platform:
        await own_kafka.freeze()
        await platform.write(*range(1, 20))
        await platform.has_tried_to_send()
        waiting = await platform.pending()

        own_kafka.thaw()
        await platform.write(20)

        await platform.has_handled(*range(1, 21))
        await platform.has_sent_all()
    assert waiting == 19


async def test_new_empty_cluster_in_the_place_of_the_old_one_is_used_without_a_restart(
    own_kafka: KafkaServer, database: Database, topic_prefix: str
) -> None:
    async with Platform.over(own_kafka.bootstrap, database, TopicNames(topic_prefix)) as platform:
        await platform.write(*range(1, 10))
        await platform.has_handled(*range(1, 10))

        await own_kafka.wipe()
        await platform.write(*range(10, 20))
        await make_missing_topics(
            KafkaAccess(own_kafka.bootstrap), TopicNames(topic_prefix).all(), replication_factor=1
        )

        await platform.has_handled(*range(10, 20))
        await platform.has_sent_all()


async def test_place_in_a_cluster_that_was_wiped_means_nothing_in_the_next(
    own_kafka: KafkaServer, topic_prefix: str
) -> None:
    topic, access, received = f"{topic_prefix}.test", KafkaAccess(own_kafka.bootstrap), set[str]()
    await make_missing_topics(access, [Topic(topic, 1)], replication_factor=1)

    async def put(*texts: str) -> None:
        async with KafkaBus.open(access) as bus:
            await bus.publish([Message(topic, "key", text.encode(), {}) for text in texts])

    async def read() -> None:
        """As a service does, but that it commits again and again, also in the outage."""
        async with KafkaBus.open(access, waits=WAITS) as bus:
            while True:
                with suppress(BusUnavailable):
                    async with bus.subscribe([topic], group=topic_prefix, member="a") as member:
                        while True:
                            received.update(values(await member.receive(at_most=100, wait_s=0.1)))
                            with suppress(BusUnavailable):
                                await member.commit()
                await asyncio.sleep(0.1)

    async def read_so_far() -> list[str]:
        return sorted(received)

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        await put("old 1", "old 2", "old 3")
        await eventually(read_so_far, ["old 1", "old 2", "old 3"])

        await own_kafka.wipe()
        await make_missing_topics(access, [Topic(topic, 1)], replication_factor=1)
        await put("new 1", "new 2", "new 3")

        await eventually(read_so_far, ["new 1", "new 2", "new 3", "old 1", "old 2", "old 3"])
        reading.cancel()


async def test_commit_that_was_given_up_leaves_nothing_that_fails_unheard(
    own_kafka: KafkaServer, topic_prefix: str
) -> None:
    topic, access = f"{topic_prefix}.test", KafkaAccess(own_kafka.bootstrap)
    await make_missing_topics(access, [Topic(topic, 1)], replication_factor=1)
    async with (
        KafkaBus.open(access, waits=WAITS) as bus,
        bus.subscribe([topic], group=topic_prefix, member="a") as member,
    ):
        await bus.publish([Message(topic, "key", b"one", {})])
        received = await collect(member, 1)

        await own_kafka.freeze()
        with pytest.raises(BusUnavailable, match="commit"):
            await member.commit()
        await own_kafka.kill()
        with pytest.raises(BusUnavailable, match="commit"):
            await member.commit()

    assert values(received) == ["one"]


async def test_what_a_killed_process_had_in_hand_comes_to_another(kafka_bootstrap: str, topic_prefix: str) -> None:
    topic, access = f"{topic_prefix}.test", KafkaAccess(kafka_bootstrap)
    await make_missing_topics(access, [Topic(topic, 1)], replication_factor=1)
    async with KafkaBus.open(access, waits=WAITS) as bus:
        await bus.publish([Message(topic, "key", b"in hand", {})])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", A_MEMBER, kafka_bootstrap, topic, topic_prefix, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout
        async with asyncio.timeout(90):
            said = await process.stdout.readline()
        process.kill()
        await process.wait()

        async with bus.subscribe([topic], group=topic_prefix, member="heir") as heir:
            received = await collect(heir, 1)

    assert said == b"received\n"
    assert values(received) == ["in hand"]

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from tailrace.bus.base import Message
from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka_access import KafkaAccess, KafkaWaits
from tailrace.bus.kafka_subscription import KafkaSubscription
from tailrace.bus.topics import make_missing_topics
from tailrace.core.errors import BusUnavailable
from tailrace.events.topics import Topic
from tailrace.testing.bus_contract import PARTITIONS, BusContract, BusRig
from tailrace.testing.received import collect, collect_until, values
from tests.bus.network import Network

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

# The shortest session that a broker grants by default.
WAITS = KafkaWaits(publish_s=5, request_s=2, commit_s=4, check_s=4, join_s=20, stop_s=2.5, session_s=6)


class KafkaRig(BusRig):
    def __init__(self, bus: KafkaBus, topic: str, bootstrap: str, network: Network) -> None:
        self.bus = bus
        self.topic = topic
        self.bound_s = 2 * (WAITS.join_s + WAITS.stop_s)
        self.network = network
        self.bootstrap = bootstrap

    async def put_foreign(self, value: bytes | None, *, key: bytes | None, headers: Mapping[str, bytes]) -> None:
        async with a_foreign_producer(self.bootstrap) as producer:
            await producer.send_and_wait(self.topic, value, key=key, headers=list(headers.items()))

    async def go_down(self) -> None:
        self.network.cut()

    async def come_back(self) -> None:
        self.network.mend()


@asynccontextmanager
async def a_foreign_producer(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def committed(rig: KafkaRig, group: str) -> dict[int, int]:
    """The offset that the group has committed on each partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(f"{rig.topic}.{group}")
    finally:
        await admin.close()
    return {place.partition: mark.offset for place, mark in offsets.items()}


async def ended(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def network(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Network]:
    async with Network.around(kafka_bootstrap, monkeypatch) as network:
        yield network


@pytest.fixture
async def rig(kafka_bootstrap: str, topic_prefix: str, network: Network) -> AsyncIterator[KafkaRig]:
    access = KafkaAccess(kafka_bootstrap)
    topic = f"{topic_prefix}.test"
    await make_missing_topics(access, [Topic(topic, PARTITIONS)], replication_factor=1)
    async with KafkaBus.open(access, waits=WAITS) as bus:
        yield KafkaRig(bus, topic, kafka_bootstrap, network)


@pytest.fixture
async def patient(rig: KafkaRig) -> AsyncIterator[KafkaRig]:
    """The same topic, by a bus whose members are missed only after longer than anything here takes."""
    async with KafkaBus.open(KafkaAccess(rig.bootstrap), waits=replace(WAITS, session_s=200, join_s=100)) as bus:
        yield KafkaRig(bus, rig.topic, rig.bootstrap, rig.network)


@pytest.fixture
async def watched(rig: KafkaRig) -> AsyncIterator[KafkaRig]:
    """The same topic, by a bus that asks after a fifth of a second whether a member stands still."""
    async with KafkaBus.open(KafkaAccess(rig.bootstrap), waits=replace(WAITS, stall_s=0.2)) as bus:
        yield KafkaRig(bus, rig.topic, rig.bootstrap, rig.network)


class TestKafkaBus(BusContract):
    async def test_what_was_given_up_does_not_come_late(self, rig: KafkaRig) -> None:
        await rig.bus.publish([rig.message("before")])
        rig.network.cut()
        with pytest.raises(BusUnavailable):
            await rig.bus.publish([rig.message("given up")])

        rig.network.mend()
        await rig.bus.publish([rig.message("after")])

        async with rig.member("a") as member:
            received = await collect_until(member, "after")
            late = await member.receive(at_most=10, wait_s=3)
        assert [*received, *values(late)] == ["before", "after"]

    async def test_member_that_leaves_is_not_waited_for(self, patient: KafkaRig) -> None:
        await self.test_what_a_member_did_not_commit_comes_to_another_once_it_is_gone(patient)

    async def test_group_has_its_mark_on_every_partition_before_the_first_message(self, rig: KafkaRig) -> None:
        async with rig.member("a") as member:
            await member.receive(at_most=10, wait_s=0.5)

        assert await committed(rig, "group") == dict.fromkeys(range(PARTITIONS), 0)

    async def test_mark_passes_over_no_message_that_is_not_committed(self, rig: KafkaRig) -> None:
        await rig.bus.publish([rig.message("one")])
        async with rig.member("a") as member:
            [received] = await collect(member, 1)
            await member.receive(at_most=10, wait_s=0.5)

        marks = await committed(rig, "group")
        assert marks == {number: 0 for number in range(PARTITIONS) if number != received.partition}

    async def test_silent_network_holds_nobody_for_long(self, rig: KafkaRig) -> None:
        await rig.bus.publish([rig.message("before")])
        began_at = time.monotonic()
        async with rig.member("a") as member:
            await collect(member, 1)
            rig.network.swallow()

            with pytest.raises(BusUnavailable):
                await rig.bus.publish([rig.message("swallowed")])
            with pytest.raises(BusUnavailable):
                await member.commit()
            with pytest.raises(BusUnavailable):
                await rig.bus.check()
            received = await member.receive(at_most=10, wait_s=0.1)

        assert not received
        assert time.monotonic() - began_at < rig.bound_s + 2 * WAITS.stop_s

    async def test_outage_leaves_no_task_behind(self, rig: KafkaRig) -> None:
        before = asyncio.all_tasks()
        with suppress(BusUnavailable):
            async with rig.member("a") as member:
                await rig.bus.publish([rig.message("before")])
                await collect(member, 1)
                rig.network.cut()
                await rig.bus.publish([rig.message("lost")])

        async with asyncio.timeout(WAITS.request_s + WAITS.stop_s):
            await ended(asyncio.all_tasks() - before)

        assert asyncio.all_tasks() <= before

    async def test_publish_to_a_missing_topic_says_how_to_make_it(self, rig: KafkaRig) -> None:
        message = Message(f"{rig.topic}.missing", "key", b"{}", {})

        with pytest.raises(BusUnavailable, match=r"missing.*tailrace kafka topics apply"):
            await rig.bus.publish([message])

        await rig.bus.publish([rig.message("the bus goes on")])

    async def test_subscription_to_a_missing_topic_says_how_to_make_it(self, rig: KafkaRig) -> None:
        with pytest.raises(BusUnavailable, match=r"missing.*tailrace kafka topics apply"):
            async with rig.bus.subscribe([f"{rig.topic}.missing"], group=rig.topic, member="a"):
                pytest.fail("read a topic that is not there")

    async def test_member_that_fetches_no_more_says_so(self, watched: KafkaRig) -> None:
        async with watched.member("a") as member:
            assert isinstance(member, KafkaSubscription)
            await watched.bus.publish([watched.message("one")])
            await collect(member, 1)
            member._consumer._fetcher._fetch_task.cancel()
            # A fetch that is under way may still bring the first of these.
            await watched.bus.publish([watched.message("two")])
            received = await member.receive(at_most=10, wait_s=1)
            await watched.bus.publish([watched.message("three")])

            with pytest.raises(BusUnavailable, match="stands still"):
                await collect(member, 2 - len(received))

    async def test_idle_member_is_not_taken_for_a_stalled_one(self, watched: KafkaRig) -> None:
        await watched.bus.publish([watched.message("one")])
        async with watched.member("a") as member:
            await collect(member, 1)

            idle = await member.receive(at_most=10, wait_s=0.3)
            still_idle = await member.receive(at_most=10, wait_s=0.3)
            await watched.bus.publish([watched.message("two")])
            received = await member.receive(at_most=10, wait_s=60)

        assert not [*idle, *still_idle]
        assert values(received) == ["two"]

    async def test_bus_opens_while_no_broker_answers(self, rig: KafkaRig) -> None:
        rig.network.cut()

        async with KafkaBus.open(KafkaAccess(rig.bootstrap), waits=WAITS) as bus:
            with pytest.raises(BusUnavailable):
                await bus.check()
            rig.network.mend()

            await bus.check()

    async def test_compressed_messages_come_as_they_were(self, rig: KafkaRig) -> None:
        async with KafkaBus.open(KafkaAccess(rig.bootstrap), waits=WAITS, compression="gzip") as bus:
            await bus.publish([rig.message("x" * 10_000)])

        async with rig.member("a") as member:
            received = await collect(member, 1)

        assert values(received) == ["x" * 10_000]

"""Relay and reading loop over a broker that is killed, frozen and wiped under them."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from tailrace.bus.base import Message
from tailrace.bus.cloudevents import Incoming
from tailrace.bus.consume import Reader, consume
from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka_access import KafkaAccess, KafkaWaits
from tailrace.bus.relay import Pace, Relay
from tailrace.bus.topics import make_missing_topics
from tailrace.core.errors import BusUnavailable
from tailrace.events.models import RunQueued
from tailrace.events.topics import Topic
from tailrace.store.database import Database
from tailrace.store.outbox import Outbox
from tailrace.testing.eventually import eventually
from tailrace.testing.kafka_server import KafkaServer
from tailrace.testing.received import collect, values
from tests.bus.conftest import NAMES, commit, queued

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

WAITS = KafkaWaits(publish_s=2, request_s=1, commit_s=2, join_s=12, stop_s=1.5, session_s=6)
READER = Reader(NAMES, (RunQueued,), "executor", "pod-0")


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


class Platform:
    """A service that writes events, a relay that sends them and a service that reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._handled: set[str] = set()
        self._rounds = 0
        self._changed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def over(cls, kafka: KafkaServer, database: Database) -> AsyncIterator["Platform"]:
        """All of it, for the scope: it fails if one of the loops ends."""
        platform = cls(database)
        access, stopping = KafkaAccess(kafka.bootstrap), asyncio.Event()
        await make_missing_topics(access, NAMES.all(), replication_factor=1)
        async with KafkaBus.open(access, waits=WAITS) as bus, asyncio.TaskGroup() as tasks:
            relay = Relay(Outbox(database), bus, NAMES, pace=Pace(idle_s=0.1), beat=platform._count_round)
            tasks.create_task(relay.run(stopping))
            tasks.create_task(consume(bus, READER, platform._handle, stopping=stopping))
            await platform.write(0)
            await platform.has_handled(0)
            yield platform
            stopping.set()

    async def write(self, *numbers: int) -> None:
        await commit(self._database, *(queued(number) for number in numbers))

    async def has_handled(self, *numbers: int) -> None:
        wanted = {f"run_{number}" for number in numbers}
        await self._until(lambda: wanted <= self._handled)

    async def has_tried_to_send(self) -> None:
        """A whole round of the relay came and went."""
        first = self._rounds
        await self._until(lambda: self._rounds >= first + 3)

    async def pending(self) -> int:
        return (await Outbox(self._database).backlog()).pending

    async def _until(self, is_met: Callable[[], bool]) -> None:
        async with asyncio.timeout(90):
            while not is_met():
                self._changed.clear()
                await self._changed.wait()

    def _count_round(self) -> None:
        self._rounds += 1
        self._changed.set()

    async def _handle(self, incoming: Incoming) -> None:
        assert isinstance(incoming.event, RunQueued)
        self._handled.add(incoming.event.run_id)
        self._changed.set()


@pytest.fixture(autouse=True)
def nothing_breaks_unheard(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No task, callback or future of the library ends with an error that nobody looks at."""
    yield
    gc.collect()
    records = [*caplog.get_records("call"), *caplog.get_records("teardown")]
    assert [record.getMessage() for record in records if record.name == "asyncio"] == []


async def test_what_was_written_while_the_broker_was_dead_is_handled(
    own_kafka: KafkaServer, database: Database
) -> None:
    async with Platform.over(own_kafka, database) as platform:
        await own_kafka.kill()
        await platform.write(*range(1, 20))
        await platform.has_tried_to_send()
        waiting = await platform.pending()

        await own_kafka.start()
        await platform.write(20)

        await platform.has_handled(*range(1, 21))
    assert waiting == 19
    assert await platform.pending() == 0


async def test_what_was_written_while_the_broker_was_frozen_is_handled(
    own_kafka: KafkaServer, database: Database
) -> None:
    async with Platform.over(own_kafka, database) as platform:
        own_kafka.freeze()
        await platform.write(*range(1, 20))
        await platform.has_tried_to_send()
        waiting = await platform.pending()

        own_kafka.thaw()
        await platform.write(20)

        await platform.has_handled(*range(1, 21))
    assert waiting == 19
    assert await platform.pending() == 0


async def test_new_empty_cluster_in_the_place_of_the_old_one_is_used_without_a_restart(
    own_kafka: KafkaServer, database: Database
) -> None:
    async with Platform.over(own_kafka, database) as platform:
        await platform.write(*range(1, 10))
        await platform.has_handled(*range(1, 10))

        await own_kafka.wipe()
        await platform.write(*range(10, 20))
        await make_missing_topics(KafkaAccess(own_kafka.bootstrap), NAMES.all(), replication_factor=1)

        await platform.has_handled(*range(10, 20))
    assert await platform.pending() == 0


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

        own_kafka.freeze()
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
        async with asyncio.timeout(30):
            said = await process.stdout.readline()
        process.kill()
        await process.wait()

        async with bus.subscribe([topic], group=topic_prefix, member="heir") as heir:
            received = await collect(heir, 1)

    assert said == b"received\n"
    assert values(received) == ["in hand"]

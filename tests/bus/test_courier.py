import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from tailrace.bus.courier import Courier
from tailrace.bus.memory import MemoryBus
from tailrace.core.outgoing import TakenShards
from tailrace.store.database import Database
from tailrace.store.outbox import SHARDS, Outbox, shard_of
from tailrace.testing.eventually import eventually
from tailrace.testing.received import by_key, collect
from tests.bus.conftest import NAMES, QUEUED_TOPIC, commit, queued

PATIENCE_S = 30.0


@dataclass(slots=True)
class Post:
    """A courier at work that hears of what is committed to the database."""

    outbox: "CountingOutbox"
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


class CountingOutbox(Outbox):
    """Counts how often it is asked for a shard."""

    asked = 0

    async def take(
        self, token: UUID, *, ttl_s: float, at_most: int, among: Collection[int] | None = None
    ) -> TakenShards | None:
        self.asked += 1
        return await super().take(token, ttl_s=ttl_s, at_most=at_most, among=among)


@asynccontextmanager
async def courier(database: Database, bus: MemoryBus) -> AsyncIterator[Post]:
    post = Post(CountingOutbox(database))
    working = Courier(post.outbox, bus, topic_prefix="acme", beat=lambda: None)
    database.listen(working.tell)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(working.run(post.stopping))
        yield post
        post.stopping.set()


async def pending(database: Database) -> int:
    return (await Outbox(database).backlog()).pending


async def test_what_a_process_commits_leaves_without_a_scheduler(database: Database, bus: MemoryBus) -> None:
    async with courier(database, bus), bus.subscribe([QUEUED_TOPIC], group="test", member="a") as member:
        await commit(database, queued(1))

        [received] = await collect(member, 1)
        await eventually(lambda: pending(database), 0)

    assert received.value == queued(1).data
    assert received.topic == NAMES.of("tailrace.run.queued.v1")


async def test_courier_that_is_told_nothing_asks_nothing(database: Database, bus: MemoryBus) -> None:
    await commit(database, queued(1))

    async with courier(database, bus) as post:
        await database.execute("SELECT pg_sleep(0.3)")

    assert post.outbox.asked == 0


async def test_what_others_committed_in_other_shards_is_left_to_the_relays(database: Database, bus: MemoryBus) -> None:
    theirs = next(key for key in map(str, range(SHARDS * 8)) if shard_of(key) != shard_of("sync_1"))
    await commit(database, queued(1, sync=theirs))

    async with courier(database, bus), bus.subscribe([QUEUED_TOPIC], group="test", member="a") as member:
        await commit(database, queued(2))
        await collect(member, 1)
        await eventually(lambda: pending(database), 1)

    assert await database.fetchval("SELECT key FROM outbox") == theirs


async def test_what_came_while_its_shard_was_sent_follows_in_order(database: Database, bus: MemoryBus) -> None:
    async with courier(database, bus), bus.subscribe([QUEUED_TOPIC], group="test", member="a") as member:
        await commit_one_by_one(database, 100)

        received = await collect(member, 100)

    assert by_key(received) == {b"sync_1": [queued(number).data.decode() for number in range(100)]}


async def commit_one_by_one(database: Database, count: int) -> None:
    for number in range(count):
        await commit(database, queued(number))


async def test_events_that_the_bus_refused_follow_when_it_is_back(database: Database, bus: MemoryBus) -> None:
    bus.go_down()
    async with courier(database, bus) as post:
        await commit(database, queued(1))
        await eventually(lambda: is_asked_again(post.outbox), wanted=True)

        bus.come_back()

        async with bus.subscribe([QUEUED_TOPIC], group="test", member="a") as member:
            assert len(await collect(member, 1)) == 1


async def is_asked_again(outbox: CountingOutbox) -> bool:
    return outbox.asked > 1


async def test_courier_ends_when_it_is_told_to_and_leaves_the_rest(database: Database, bus: MemoryBus) -> None:
    bus.go_down()
    async with courier(database, bus) as post:
        await commit(database, queued(1))
        await eventually(lambda: is_asked_again(post.outbox), wanted=True)
        post.stopping.set()

    assert await pending(database) == 1

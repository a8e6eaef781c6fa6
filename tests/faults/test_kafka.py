"""Kafka is wiped, shaken, repeats itself and talks nonsense: runs do not notice."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import orjson
import pytest

from tailrace.bus.base import Message
from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka_access import KafkaAccess
from tailrace.core.errors import BusUnavailable
from tailrace.core.ids import RunId
from tailrace.events.models import BatchCompleted, Event, RowFailed, RunFinished, RunQueued, RunRequested
from tailrace.events.topics import TopicNames, dead_letter_topic
from tailrace.store.database import Database
from tailrace.testing.eventually import eventually
from tailrace.testing.kafka_server import KafkaServer
from tests.faults import wedged
from tests.faults.clients import caller_of, open_session, token_of
from tests.faults.crowd import Crowd, open_crowd
from tests.faults.ground import CALM, PATIENCE_S, Ground
from tests.faults.topics import Foreign, carried_out, caught_up, delete_topics, everything, put_foreign, use_kafka
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.trials import Count, Outcome
from tests.walks.processes import ServiceProcess

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(400)]

SERVICES = ("scheduler", "executor", "executor", "dlq")
READERS: Mapping[str, type[Event]] = {"scheduler": RunRequested, "executor": RunQueued, "dlq": RowFailed}
"""The groups of services and what they read."""
RUNS = 20
STAYS_S = 2.0
"""With two members that come for so long and go, the group is shared out anew every two seconds at the latest."""
_WAITING = "SELECT count(*) FROM outbox"
# Everything that an event could have changed; ids and times of what was delivered stay as they are.
_STATE = """
SELECT (SELECT jsonb_agg(to_jsonb(runs) ORDER BY id) FROM runs) AS runs,
  (SELECT jsonb_agg(to_jsonb(run_shards) ORDER BY run_id) FROM run_shards) AS shards,
  (SELECT jsonb_agg(to_jsonb(dead_letters) ORDER BY id) FROM dead_letters) AS letters,
  (SELECT count(*) FROM outbox) AS waiting
"""

# What services know an event by, and the run that it made, are an hour old.
_AN_HOUR_LATER = """
WITH taken AS (UPDATE inbox SET received_at = received_at - interval '1 hour')
UPDATE runs SET queued_at = queued_at - interval '1 hour', started_at = started_at - interval '1 hour',
  finished_at = finished_at - interval '1 hour'
"""


async def start(ground: Ground, **settings: int) -> None:
    """All services, ready."""
    services = [await ground.start(name, "", **{**CALM, **settings}) for name in SERVICES]
    await asyncio.gather(*(service.ready() for service in services))


async def drained(database: Database) -> None:
    """Return once every event was handed to Kafka."""
    async with asyncio.timeout(PATIENCE_S):
        while await database.fetchval(_WAITING):  # noqa: ASYNC110 - another process sends
            await asyncio.sleep(0.1)


async def test_cluster_that_was_wiped_loses_no_run_and_its_topics_are_used_again_without_a_restart(
    postgres_server: PostgresServer, ground: Ground, own_kafka: KafkaServer, topic_prefix: str, count: Count
) -> None:
    database, names = ground.chassis.database, TopicNames(topic_prefix)
    await use_kafka(ground, own_kafka.bootstrap, topic_prefix)
    async with open_crowd(postgres_server, ground, RUNS) as crowd:
        await start(ground)
        before = await carried_out(crowd, await crowd.start())
        await drained(database)

        await own_kafka.freeze()
        frozen = await carried_out(crowd, await started_by_api(crowd))
        own_kafka.thaw()
        await own_kafka.kill()
        without = await carried_out(crowd, await crowd.start())
        waiting = await database.fetchval(_WAITING)
        await own_kafka.wipe()
        await use_kafka(ground, own_kafka.bootstrap, topic_prefix)
        async with KafkaBus.open(KafkaAccess(own_kafka.bootstrap)) as bus:
            await bus.publish([asked_for(names, sync_id) for sync_id in crowd.ids])
        on_request = await carried_out(crowd, await asked(database, RUNS))
        after = await carried_out(crowd, await crowd.start())
        await drained(database)

        assert (before, frozen, without, on_request, after) == ([], [], [], [], [])
        assert waiting > 0
    count([Outcome("Kafka frozen"), Outcome("Kafka wiped")])
    assert await ground.breaches() == []


async def started_by_api(crowd: Crowd) -> list[RunId]:
    """A run of each, by a gateway that answers as if there were no Kafka."""
    ground = crowd.trial.ground
    gateway = await ground.start("gateway", "", **CALM)
    async with open_session() as session:
        caller = await caller_of(gateway, session, await token_of(ground, crowd.trial.yard.sync.workspace_id))
        answers = await asyncio.gather(
            *(caller.post("/api/reverse-etl/sync/run", {"syncId": sync_id}) for sync_id in crowd.ids)
        )
    return [RunId(answer.json["data"]["id"]) for answer in answers]


def asked_for(names: TopicNames, sync_id: str) -> Message:
    """A request for a run, as another service may send it."""
    body = {"sync_id": sync_id, "event_id": f"for {sync_id}"}
    return Message(names.of(RunRequested.type), sync_id, orjson.dumps(body), {})


async def asked(database: Database, runs: int) -> list[RunId]:
    """The runs that were asked for by events, once there are so many."""
    async with asyncio.timeout(PATIENCE_S):
        while len(rows := await database.fetch("SELECT id FROM runs WHERE trigger = 'event'")) < runs:  # noqa: ASYNC110 - others work
            await asyncio.sleep(0.1)
    return [RunId(row["id"]) for row in rows]


async def test_members_that_come_and_go_disturb_no_run(
    postgres_server: PostgresServer,
    ground: Ground,
    kafka_bootstrap: str,
    topic_prefix: str,
    count: Count,
) -> None:
    await use_kafka(ground, kafka_bootstrap, topic_prefix)
    names, stopping = TopicNames(topic_prefix), asyncio.Event()

    async def come_and_go(member: str) -> int:
        """A member of the executors' group that stays for two seconds, leaves, and comes again; says how often."""
        times = 0
        async with KafkaBus.open(KafkaAccess(kafka_bootstrap)) as bus:
            while not stopping.is_set():
                with suppress(BusUnavailable):
                    async with bus.subscribe(
                        [names.of(RunQueued.type)], group=names.group("executor"), member=f"{member}-{times}"
                    ) as subscription:
                        await subscription.receive(at_most=10, wait_s=STAYS_S)
                times += 1
        return times

    async with open_crowd(postgres_server, ground, RUNS) as crowd:
        crowd.trial.sink.delay_s = 1.0
        await start(ground)
        async with asyncio.TaskGroup() as tasks:
            shaking = [tasks.create_task(come_and_go(name)) for name in ("one", "two")]
            breaches = [await carried_out(crowd, await crowd.start()) for _ in range(3)]
            stopping.set()

        sent = [arrival.idempotency_key for arrival in crowd.trial.sink.ledger]
        assert breaches == [[], [], []]
        assert crowd.trial.sink.requests == len(sent) == 3 * RUNS
        assert min(task.result() for task in shaking) > 1
    count([Outcome("Kafka rebalanced")])
    assert await ground.breaches() == []


async def test_every_message_twice_more_an_hour_late_and_shuffled_changes_nothing(
    postgres_server: PostgresServer, ground: Ground, kafka_bootstrap: str, topic_prefix: str, count: Count
) -> None:
    await use_kafka(ground, kafka_bootstrap, topic_prefix)
    database, names = ground.chassis.database, TopicNames(topic_prefix)
    topics = [names.of(event.type) for event in (RunRequested, RunQueued, BatchCompleted, RowFailed, RunFinished)]
    async with (
        open_crowd(postgres_server, ground, RUNS) as crowd,
        KafkaBus.open(KafkaAccess(kafka_bootstrap)) as bus,
        bus.subscribe(topics, group=names.group("test"), member="test-1") as subscription,
    ):
        crowd.trial.sink.refused_each = 5
        await start(ground)
        await bus.publish([asked_for(names, sync_id) for sync_id in crowd.ids])
        assert await carried_out(crowd, await asked(database, RUNS)) == []
        await noticed(database)
        await drained(database)
        told = await everything(subscription)
        await database.execute(_AN_HOUR_LATER)
        before, requests = await state_of(database), crowd.trial.sink.requests

        again = [*told, *told]
        random.Random(1).shuffle(again)
        await bus.publish(
            [Message(one.topic, (one.key or b"").decode(), one.value or b"", one.headers) for one in again]
        )
        await asyncio.gather(*(caught_up(kafka_bootstrap, names, *read) for read in READERS.items()))

        assert await state_of(database) == before
        assert crowd.trial.sink.requests == requests
        assert len(told) > 4 * RUNS
    count([Outcome("messages repeated")])
    assert await ground.breaches() == []


async def noticed(database: Database) -> None:
    """Return once the DLQ manager has noticed every letter."""
    async with asyncio.timeout(PATIENCE_S):
        while await database.fetchval("SELECT count(*) FROM dead_letters WHERE noticed_at IS NULL"):  # noqa: ASYNC110 - others work
            await asyncio.sleep(0.1)


async def state_of(database: Database) -> object:
    """All that could change."""
    return await database.fetchrow(_STATE)


@pytest.fixture
def wedged_consumers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first consumer of every service fetches nothing."""
    monkeypatch.setenv("PYTHONPATH", str(Path(wedged.__file__).parent))


@pytest.mark.usefixtures("wedged_consumers")
async def test_consumers_that_fetch_no_more_hold_up_no_run_and_are_replaced(
    postgres_server: PostgresServer, ground: Ground, kafka_bootstrap: str, topic_prefix: str, count: Count
) -> None:
    await use_kafka(ground, kafka_bootstrap, topic_prefix)
    names = TopicNames(topic_prefix)
    async with open_crowd(postgres_server, ground, RUNS) as crowd, KafkaBus.open(KafkaAccess(kafka_bootstrap)) as bus:
        crowd.trial.sink.refused_each = 5
        await start(ground)

        meanwhile = await carried_out(crowd, await crowd.start())
        await bus.publish([asked_for(names, sync_id) for sync_id in crowd.ids])
        on_request = await carried_out(crowd, await asked(ground.chassis.database, RUNS))
        await drained(ground.chassis.database)
        await asyncio.gather(*(caught_up(kafka_bootstrap, names, *read) for read in READERS.items()))

        await asyncio.gather(*(service.first("subscription.lost") for service in ground.services))

        assert (meanwhile, on_request) == ([], [])
    count([Outcome("Kafka consumers wedged")])
    assert await ground.breaches() == []


async def asks_for_topics(service: ServiceProcess, event: str) -> None:
    """Return once such a line of its log says how to make topics that are missing."""

    async def has_asked() -> bool:
        return any("`tailrace kafka topics apply`" in line["error"] for line in service.all(event))

    await eventually(has_asked, wanted=True, within_s=PATIENCE_S)


async def test_topics_that_are_deleted_are_asked_for_aloud_and_used_again_without_a_restart(
    postgres_server: PostgresServer, ground: Ground, kafka_bootstrap: str, topic_prefix: str, count: Count
) -> None:
    await use_kafka(ground, kafka_bootstrap, topic_prefix)
    database, names = ground.chassis.database, TopicNames(topic_prefix)
    async with open_crowd(postgres_server, ground, RUNS) as crowd, KafkaBus.open(KafkaAccess(kafka_bootstrap)) as bus:
        await start(ground)
        before = await carried_out(crowd, await crowd.start())
        await drained(database)

        await delete_topics(kafka_bootstrap, names)
        without = await carried_out(crowd, await crowd.start())
        await asyncio.gather(*(asks_for_topics(service, "subscription.lost") for service in ground.services))
        await asks_for_topics(ground.services[0], "relay.held")
        waiting = await database.fetchval(_WAITING)
        await use_kafka(ground, kafka_bootstrap, topic_prefix)
        await bus.publish([asked_for(names, sync_id) for sync_id in crowd.ids])
        on_request = await carried_out(crowd, await asked(database, RUNS))
        await drained(database)
        await asyncio.gather(*(caught_up(kafka_bootstrap, names, *read) for read in READERS.items()))

        assert (before, without, on_request) == ([], [], [])
        assert waiting > 0
    count([Outcome("Kafka topics deleted")])
    assert await ground.breaches() == []


POISON = (
    Foreign(b"garbage", b"\xff\x00 no JSON"),
    Foreign(b"empty", b""),
    Foreign(b"list", b"[1, 2, 3]"),
    Foreign(b"deep", b"[" * 100_000),
    Foreign(b"nothing of ours", b'{"colour": "blue"}'),
    Foreign(b"another version", b'{"sync_id": 1}', {"ce_specversion": b"9.9", "ce_type": b"tailrace.run.begun.v9"}),
    Foreign(b"long", b'{"sync_id": "' + b"x" * 1_000_000 + b'"}'),
)
"""Messages that no reader can make anything of, each for another reason."""


async def test_messages_that_make_no_sense_are_put_aside_and_the_next_one_is_read(
    postgres_server: PostgresServer, ground: Ground, kafka_bootstrap: str, topic_prefix: str, count: Count
) -> None:
    await use_kafka(ground, kafka_bootstrap, topic_prefix)
    database, names = ground.chassis.database, TopicNames(topic_prefix)
    topics = [names.of(event.type) for event in READERS.values()]
    async with (
        open_crowd(postgres_server, ground, RUNS) as crowd,
        KafkaBus.open(KafkaAccess(kafka_bootstrap)) as bus,
        bus.subscribe(
            [dead_letter_topic(topic) for topic in topics], group=names.group("test"), member="test-1"
        ) as subscription,
    ):
        # Only events make a run begin.
        await start(ground, poll_s=300)
        for topic in topics:
            await put_foreign(kafka_bootstrap, topic, POISON)
        await bus.publish(
            [asked_for(names, "retl_sync_unknown"), *(asked_for(names, sync_id) for sync_id in crowd.ids)]
        )
        await asyncio.gather(*(caught_up(kafka_bootstrap, names, *read) for read in READERS.items()))

        assert await carried_out(crowd, await asked(database, RUNS)) == []
        aside = await everything(subscription)
        assert sorted((one.topic, one.key) for one in aside) == sorted(
            (dead_letter_topic(topic), poison.key) for topic in topics for poison in POISON
        )
    count([Outcome("messages that make no sense")])
    assert await ground.breaches(expected=["event.put_aside"]) == []

import asyncio

from tailrace.events.models import RunQueued
from tailrace.events.outgoing import outgoing
from tailrace.events.topics import TopicNames
from tailrace.runtime.sending import send_own_events
from tailrace.store.outbox import enqueue
from tailrace.testing.received import collect
from tests.executor.yard import open_chassis

QUEUED = RunQueued(run_id="run_1", sync_id="sync_1", workspace_id="ws_1")


async def test_process_sends_what_it_commits_and_stops_when_told_to(database_url: str) -> None:
    topic = TopicNames("tailrace").of(RunQueued.type)
    async with open_chassis(database_url) as chassis, asyncio.timeout(50), asyncio.TaskGroup() as tasks:
        tasks.create_task(send_own_events(chassis))
        async with chassis.bus.subscribe([topic], group="test", member="a") as member:
            await asyncio.sleep(0)

            async with chassis.database.transaction() as connection:
                await enqueue(connection, [outgoing(QUEUED, key="sync_1")])

            [received] = await collect(member, 1)
        beats = chassis.health.live().checks
        chassis.stopping.set()

    assert received.key == b"sync_1"
    assert beats == {"courier": "ok"}

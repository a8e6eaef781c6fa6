"""The scheduler as a whole: it fires, survives outages, and ends when it is told to."""

import asyncio
from datetime import timedelta

import pytest

from tailrace.core.errors import StoreUnavailable
from tailrace.runtime.health import OK
from tailrace.store.database import Database, Waits
from tailrace.testing.eventually import eventually
from tailrace_scheduler.__main__ import serve, service
from tests.scheduler.conftest import Surroundings, surround
from tests.store.conftest import Stage

HOURLY = {"type": "interval", "every_minutes": 60}


async def make_due(stage: Stage) -> None:
    await stage.database.execute("UPDATE syncs SET schedule = $1, next_run_at = clock_timestamp()", HOURLY)


async def count_runs(stage: Stage) -> int:
    count: int = await stage.database.fetchval("SELECT count(*)::int FROM runs")
    return count


async def count_outbox(stage: Stage) -> int:
    count: int = await stage.database.fetchval("SELECT count(*)::int FROM outbox")
    return count


async def test_due_sync_is_fired_and_told_of(surroundings: Surroundings, stage: Stage) -> None:
    await make_due(stage)

    async with (
        surroundings.running(serve),
        surroundings.bus.subscribe(["tailrace.run.queued.v1"], group="a test", member="a test") as subscription,
    ):
        told = await subscription.receive(at_most=10, wait_s=10)
        await eventually(lambda: count_outbox(stage), 0)

    assert len(told) == 1
    assert await count_runs(stage) == 1


async def test_several_schedulers_fire_a_sync_once(database: Database, stage: Stage) -> None:
    await make_due(stage)
    first, second, third = (surround(database) for _ in range(3))

    async with first.running(serve), second.running(serve), third.running(serve):
        await eventually(lambda: count_runs(stage), 1)
        await eventually(lambda: count_outbox(stage), 0)

    assert await stage.database.fetchval("SELECT count(*) FROM schedule_ticks") == 1


async def test_events_wait_while_the_bus_is_down(surroundings: Surroundings, stage: Stage) -> None:
    await make_due(stage)
    surroundings.bus.go_down()

    async with surroundings.running(serve):
        await eventually(lambda: count_runs(stage), 1)
        waiting = await count_outbox(stage)
        surroundings.bus.come_back()
        await eventually(lambda: count_outbox(stage), 0)

    assert waiting == 1


async def test_scheduler_without_a_store_lives_and_ends_in_order() -> None:
    nowhere = Database.open("postgresql://127.0.0.1:1/none", application_name="test", waits=Waits(1, 1))
    async with nowhere as database:
        surroundings = surround(database)

        async with surroundings.running(serve):
            await eventually(lambda: silent_loops(surroundings), set[str]())
            with pytest.raises(StoreUnavailable):
                await database.fetchval("SELECT 1")

    assert service.name == "scheduler"


async def test_scheduler_ends_within_moments(surroundings: Surroundings, stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    async with surroundings.running(serve):
        await eventually(lambda: silent_loops(surroundings), set[str]())
        asked = loop.time()

    assert loop.time() - asked < timedelta(seconds=3).total_seconds()


async def silent_loops(surroundings: Surroundings) -> set[str]:
    """Loops that do not tell that they live."""
    checks = surroundings.chassis.health.live().checks
    loops = ("relay", "events", "firing", "closing", "telling", "pruning ticks", "pruning inbox")
    return {loop for loop in loops if checks.get(f"scheduler.{loop}") != OK}

"""Schedulers side by side: every tick once, whoever dies; and no trouble of one sync is another's."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
import pytest_asyncio

from tailrace.core.clock import SystemClock
from tailrace.core.errors import Unavailable
from tailrace.observe import metrics
from tailrace.store.database import Database, Waits
from tailrace.store.runs import Runs
from tailrace.store.schedules import Schedules
from tailrace_scheduler.firing import CLOCKS_APART_S, Firing
from tests.scheduler.hours import add_sync, an_hour_goes_by, assert_fired_once, count_due
from tests.store.conftest import Stage

SCHEDULERS = 5
SYNCS = 150
HOURS = 6

_KILL_ONE = """
SELECT count(pg_terminate_backend(pid)) FROM (
  SELECT pid FROM pg_stat_activity WHERE application_name = 'victim' AND state = 'idle in transaction'
    AND datname = current_database() ORDER BY random() LIMIT 1) AS picked
"""


@dataclass(slots=True)
class AnotherClock(SystemClock):
    """A clock that is set wrong."""

    wrong_by: timedelta = timedelta(0)

    def now(self) -> datetime:
        return SystemClock().now() + self.wrong_by


@dataclass(slots=True)
class Chaos:
    """Schedulers that are killed and replaced while they work."""

    database: Database
    pools: list[Database]
    luck: random.Random
    killed: Counter[str] = field(default_factory=Counter)

    async def fire_all(self) -> None:
        """Let them work until nothing is due."""
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(work(pool)) for pool in self.pools]
            while await count_due(self.database):
                await asyncio.sleep(self.luck.uniform(0.001, 0.02))
                seat = self.luck.randrange(len(working))
                if self.luck.random() < 0.5:
                    working[seat].cancel()
                    working[seat] = tasks.create_task(work(self.pools[seat]))
                    self.killed["tasks"] += 1
                else:
                    self.killed["connections"] += await self.database.fetchval(_KILL_ONE)
            for task in working:
                task.cancel()


async def work(pool: Database) -> None:
    firing = firing_on(pool)
    while True:
        with suppress(Unavailable):
            await firing.fire_due()
        await asyncio.sleep(0.001)


def firing_on(pool: Database, clock: SystemClock | None = None) -> Firing:
    return Firing(Schedules(pool, Runs(pool)), clock or SystemClock(), random.Random(1))


@pytest_asyncio.fixture
async def pools(database_url: str) -> AsyncIterator[list[Database]]:
    """A pool for each of several schedulers."""
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(Database.open(database_url, application_name="victim", max_size=4))
            for _ in range(SCHEDULERS)
        ]
        yield opened


async def live_through(stage: Stage, chaos: Chaos, *, hours: int) -> None:
    for _ in range(hours):
        await an_hour_goes_by(stage)
        await chaos.fire_all()


def count_of(outcome: str) -> float:
    return metrics.REGISTRY.get_sample_value("tailrace_schedule_ticks_total", {"outcome": outcome}) or 0.0


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_tick_is_fired_once_by_schedulers_that_are_killed_all_the_time(
    stage: Stage, pools: list[Database], seed: int
) -> None:
    ids = [await add_sync(stage, due_in=timedelta(minutes=59, milliseconds=number)) for number in range(SYNCS)]
    chaos = Chaos(stage.database, pools, random.Random(seed))

    await live_through(stage, chaos, hours=HOURS)

    await assert_fired_once(stage, ids, hours=HOURS)
    assert await stage.database.fetchval("SELECT count(*) FROM outbox") == SYNCS * HOURS
    assert chaos.killed["tasks"] > HOURS
    assert chaos.killed["connections"] > 0


async def test_fired_ticks_are_counted_and_told(stage: Stage) -> None:
    await add_sync(stage, due_in=timedelta(hours=-2, minutes=-5))
    before = {outcome: count_of(outcome) for outcome in ("started", "coalesced")}
    told: list[set[int]] = []
    stage.database.listen(lambda shards: told.append(set(shards)))

    await firing_on(stage.database).fire_due()

    assert count_of("started") == before["started"] + 1
    assert count_of("coalesced") == before["coalesced"] + 2
    assert len(told) == 1


async def test_long_silence_is_caught_up_with_at_once(stage: Stage) -> None:
    every_minute = {"type": "interval", "every_minutes": 1}
    await add_sync(stage, due_in=timedelta(days=-3, seconds=30), schedule=every_minute)

    await firing_on(stage.database).fire_due()

    rows = await stage.database.fetch("SELECT outcome, count(*) FROM schedule_ticks GROUP BY 1")
    told = {row["outcome"]: row["count"] for row in rows}
    assert told == {"missed_window": 2 * 1440, "coalesced": 1439, "started": 1}


async def test_sync_that_cannot_be_fired_stops_no_other(stage: Stage) -> None:
    broken = await add_sync(stage, due_in=timedelta(hours=-1), schedule={"type": "lunar"})
    fine = await add_sync(stage, due_in=timedelta(0))
    firing = firing_on(stage.database)

    await firing.fire_due()

    fired = [row["sync_id"] for row in await stage.database.fetch("SELECT sync_id FROM runs")]
    assert fired == [fine]
    assert set(firing.held_off) == {broken}


@pytest.mark.parametrize("sign", [1, -1], ids=["ahead", "behind"])
async def test_nothing_fires_while_clocks_are_apart(stage: Stage, sign: int) -> None:
    await add_sync(stage, due_in=timedelta(0))
    wrong = AnotherClock(sign * timedelta(seconds=CLOCKS_APART_S + 5))

    with pytest.raises(Unavailable) as refused:
        await firing_on(stage.database, wrong).fire_due()

    assert refused.value.code == "CLOCKS_APART"
    assert await stage.database.fetchval("SELECT count(*) FROM schedule_ticks") == 0


async def test_small_skew_of_the_pod_does_not_matter(stage: Stage) -> None:
    await add_sync(stage, due_in=timedelta(0))

    await firing_on(stage.database, AnotherClock(timedelta(seconds=CLOCKS_APART_S - 5))).fire_due()

    assert await stage.database.fetchval("SELECT count(*) FROM schedule_ticks") == 1


async def test_frozen_store_is_told_as_such_and_leaves_the_tick_due(stage: Stage, database_url: str) -> None:
    await add_sync(stage, due_in=timedelta(0))
    impatient = Database.open(database_url, application_name="test", waits=Waits(command_s=0.3))

    async with impatient as pool, stage.database.transaction() as other:
        await other.execute("LOCK TABLE schedule_ticks IN EXCLUSIVE MODE")
        with pytest.raises(Unavailable) as refused:
            await firing_on(pool).fire_due()
    await firing_on(stage.database).fire_due()

    assert refused.value.code == "STORE_UNAVAILABLE"
    assert await stage.database.fetchval("SELECT count(*) FROM runs") == 1

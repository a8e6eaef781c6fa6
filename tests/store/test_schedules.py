"""Firing schedules: each tick is recorded once with what became of it, and starts one run at most."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tailrace.core.due import TickOutcome
from tailrace.core.errors import Invalid
from tailrace.core.ids import SyncId, new_sync_id
from tailrace.core.outgoing import OutgoingEvent
from tailrace.core.syncs import CronSchedule
from tailrace.store.database import Database, Record
from tailrace.store.runs import NewRun, Runs
from tailrace.store.schedules import KEPT_DAYS, Fired, Schedules
from tailrace.store.syncs import SyncChange, Syncs
from tests.store.conftest import A_WORKSPACE, Stage, an_event

HOURLY = {"type": "interval", "every_minutes": 60}
HOUR = timedelta(hours=1)


@pytest.fixture
def schedules(database: Database) -> Schedules:
    return Schedules(database, Runs(database))


def announce(new: NewRun) -> OutgoingEvent:
    return an_event(new.run_id)


async def make_due(stage: Stage, *, ago: timedelta, schedule: dict[str, Any] | None = None) -> datetime:
    """Give the sync a schedule whose next tick was so long ago; gives the tick."""
    now: datetime = await stage.database.fetchval("SELECT clock_timestamp()")
    await stage.database.execute(
        "UPDATE syncs SET schedule = $2, next_run_at = $3 WHERE id = $1", stage.sync_id, schedule or HOURLY, now - ago
    )
    return now - ago


async def add_due_sync(stage: Stage) -> SyncId:
    sync_id = new_sync_id()
    await stage.database.execute(
        """
        INSERT INTO syncs (id, workspace_id, name, destination_id, definition, schedule, next_run_at)
        SELECT $1, workspace_id, 'more', destination_id, '{}', $2, clock_timestamp() FROM syncs LIMIT 1
        """,
        sync_id,
        HOURLY,
    )
    return sync_id


async def fire(stage: Stage, schedules: Schedules) -> Fired | None:
    """Fire the sync; None if there was nothing to do."""
    fired = await schedules.fire([stage.sync_id], announce)
    return fired[0] if fired else None


async def ticks(stage: Stage) -> list[tuple[datetime, str]]:
    rows = await stage.database.fetch("SELECT * FROM schedule_ticks WHERE sync_id = $1 ORDER BY 2", stage.sync_id)
    return [(row["scheduled_for"], row["outcome"]) for row in rows]


async def runs(stage: Stage) -> list[Record]:
    return list(await stage.database.fetch("SELECT * FROM runs WHERE sync_id = $1", stage.sync_id))


async def next_run_at(stage: Stage) -> datetime:
    at: datetime = await stage.database.fetchval("SELECT next_run_at FROM syncs WHERE id = $1", stage.sync_id)
    return at


async def test_due_tick_starts_a_run_and_tells_of_it(stage: Stage, schedules: Schedules) -> None:
    tick = await make_due(stage, ago=timedelta(seconds=3))

    fired = await fire(stage, schedules)

    [run] = await runs(stage)
    assert fired is not None
    assert (fired.run_id, fired.outcomes) == (run["id"], {TickOutcome.STARTED: 1})
    assert fired.lag_s == pytest.approx(3, abs=1)
    assert (run["status"], run["trigger"], run["requested_by"]) == ("queued", "schedule", "schedule")
    assert await ticks(stage) == [(tick, "started")]
    assert await stage.database.fetchval("SELECT run_id FROM schedule_ticks") == run["id"]
    assert await stage.database.fetchval("SELECT key FROM outbox") == run["id"]
    assert await next_run_at(stage) == tick + HOUR


async def test_fired_sync_is_not_due_again(stage: Stage, schedules: Schedules) -> None:
    await make_due(stage, ago=timedelta(0))

    before = await schedules.due(without=(), limit=10)
    await fire(stage, schedules)
    again = await fire(stage, schedules)

    assert (before, again) == ([stage.sync_id], None)
    assert await schedules.due(without=(), limit=10) == []
    assert len(await runs(stage)) == 1


async def test_several_syncs_are_fired_together_each_by_its_own_state(stage: Stage, schedules: Schedules) -> None:
    await make_due(stage, ago=timedelta(0))
    others = [await add_due_sync(stage) for _ in range(3)]
    await stage.start_run()
    await stage.database.execute("UPDATE syncs SET enabled = false WHERE id = $1", others[0])

    fired = await schedules.fire([stage.sync_id, *others], announce)

    told = {one.sync_id: (one.run_id is not None, dict(one.outcomes)) for one in fired}
    assert told == {
        stage.sync_id: (False, {TickOutcome.SKIPPED_OVERLAP: 1}),
        others[1]: (True, {TickOutcome.STARTED: 1}),
        others[2]: (True, {TickOutcome.STARTED: 1}),
    }
    rows = await stage.database.fetch("SELECT id, sync_id FROM runs WHERE trigger = 'schedule'")
    assert {row["sync_id"]: row["id"] for row in rows} == {one.sync_id: one.run_id for one in fired if one.run_id}
    assert await stage.database.fetchval("SELECT count(*) FROM run_shards") == 3
    assert await stage.database.fetchval("SELECT count(*) FROM outbox") == 3


async def test_ticks_missed_within_a_day_become_one_run(stage: Stage, schedules: Schedules) -> None:
    first = await make_due(stage, ago=2 * HOUR + timedelta(minutes=5))

    await fire(stage, schedules)

    assert await ticks(stage) == [
        (first, "coalesced"),
        (first + HOUR, "coalesced"),
        (first + 2 * HOUR, "started"),
    ]
    assert len(await runs(stage)) == 1
    assert await next_run_at(stage) == first + 3 * HOUR


async def test_ticks_missed_for_longer_start_nothing(stage: Stage, schedules: Schedules) -> None:
    first = await make_due(stage, ago=25 * HOUR, schedule={"type": "interval", "every_minutes": 48 * 60})

    fired = await fire(stage, schedules)

    assert fired is not None
    assert (fired.run_id, fired.lag_s) == (None, None)
    assert await ticks(stage) == [(first, "missed_window")]
    assert await runs(stage) == []


async def test_tick_during_a_run_is_skipped_for_all_to_see(stage: Stage, schedules: Schedules) -> None:
    active = await stage.start_run()
    tick = await make_due(stage, ago=timedelta(0))

    fired = await fire(stage, schedules)

    assert fired is not None
    assert (fired.run_id, fired.outcomes) == (None, {TickOutcome.SKIPPED_OVERLAP: 1})
    assert [run["id"] for run in await runs(stage)] == [active]
    assert await ticks(stage) == [(tick, "skipped_overlap")]
    assert await stage.database.fetchval("SELECT count(*) FROM outbox") == 1


@pytest.mark.parametrize("change", ["enabled = false", "deleted_at = now()"], ids=["paused", "deleted"])
async def test_sync_that_is_off_is_left_alone(stage: Stage, schedules: Schedules, change: str) -> None:
    await make_due(stage, ago=HOUR)
    await stage.database.execute(f"UPDATE syncs SET {change}")

    assert await schedules.due(without=(), limit=10) == []
    assert await fire(stage, schedules) is None


async def test_sync_in_another_schedulers_hands_is_passed_over(stage: Stage, schedules: Schedules) -> None:
    await make_due(stage, ago=timedelta(0))

    async with stage.database.transaction() as theirs:
        await theirs.execute("SELECT FROM syncs FOR NO KEY UPDATE")
        ours = await fire(stage, schedules)

    assert ours is None
    assert await ticks(stage) == []


async def test_scheduler_that_dies_between_tick_and_run_leaves_both_to_others(
    stage: Stage, schedules: Schedules
) -> None:
    tick = await make_due(stage, ago=timedelta(0))

    def die(_: NewRun) -> OutgoingEvent:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await schedules.fire([stage.sync_id], die)
    left = await ticks(stage)
    fired = await fire(stage, schedules)

    assert left == []
    assert fired is not None
    assert fired.run_id is not None
    assert await ticks(stage) == [(tick, "started")]


async def test_tick_that_was_recorded_before_starts_nothing(stage: Stage, schedules: Schedules) -> None:
    tick = await make_due(stage, ago=timedelta(minutes=1))
    await fire(stage, schedules)
    await stage.database.execute("UPDATE runs SET status = 'succeeded'")
    # As if the clock had gone back and the tick had been computed once more.
    await stage.database.execute("UPDATE syncs SET next_run_at = $1", tick)

    fired = await fire(stage, schedules)

    assert fired is not None
    assert fired.outcomes == {}
    assert len(await runs(stage)) == 1
    assert await next_run_at(stage) == tick + HOUR


async def test_changed_schedule_holds_from_its_next_tick(stage: Stage, schedules: Schedules) -> None:
    tick = await make_due(stage, ago=timedelta(0))
    await fire(stage, schedules)
    await stage.database.execute("UPDATE runs SET status = 'succeeded'")
    destination_id = await stage.database.fetchval("SELECT destination_id FROM syncs")
    await stage.database.execute("UPDATE syncs SET definition = $1", A_DEFINITION | {"destination_id": destination_id})

    new_year = CronSchedule(type="cron", expression="0 0 1 1 *")
    await Syncs(stage.database).update(A_WORKSPACE, stage.sync_id, SyncChange(schedule=new_year))

    coming = await next_run_at(stage)
    assert (coming.month, coming.day, coming.hour) == (1, 1, 0)
    assert coming > tick
    # At the hour at which the old schedule had its tick.
    assert await fire(stage, schedules) is None
    assert await ticks(stage) == [(tick, "started")]


async def test_schedule_that_cannot_be_read_is_named_and_left(stage: Stage, schedules: Schedules) -> None:
    await make_due(stage, ago=timedelta(0), schedule={"type": "lunar"})

    with pytest.raises(Invalid, match=stage.sync_id) as refused:
        await fire(stage, schedules)

    assert refused.value.code == "SCHEDULE_UNREADABLE"
    assert await schedules.due(without=(), limit=10) == [stage.sync_id]
    assert await schedules.due(without={SyncId(stage.sync_id)}, limit=10) == []


async def test_manual_sync_with_a_stray_tick_comes_to_rest(stage: Stage, schedules: Schedules) -> None:
    await make_due(stage, ago=timedelta(0), schedule={"type": "manual"})

    await fire(stage, schedules)

    assert await schedules.due(without=(), limit=10) == []
    assert await runs(stage) == []


async def test_old_ticks_are_forgotten(stage: Stage, schedules: Schedules) -> None:
    now = datetime.now(UTC)
    kept = now - timedelta(days=KEPT_DAYS - 1)
    await stage.database.execute(
        "INSERT INTO schedule_ticks VALUES ($1, $2, NULL, 'coalesced'), ($1, $3, NULL, 'coalesced')",
        stage.sync_id, now - timedelta(days=KEPT_DAYS + 1), kept,
    )  # fmt: skip

    pruned = await schedules.prune()

    assert pruned == 1
    assert await ticks(stage) == [(kept, "coalesced")]


A_DEFINITION = {
    "source_id": "conn_a",
    "source_query": "SELECT 1 AS id",
    "object_name": "contacts",
    "field_mappings": [{"source": "id", "destination": "id", "key": True}],
    "sync_mode": "upsert",
}

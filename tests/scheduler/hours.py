"""Hours that pass for syncs with an hourly schedule, without waiting for them."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from tailrace.core.ids import SyncId, new_sync_id
from tailrace.store.database import Database
from tests.store.conftest import Stage

HOURLY = {"type": "interval", "every_minutes": 60}

_ADD_SYNC = """
INSERT INTO syncs (id, workspace_id, name, destination_id, definition, schedule, next_run_at)
SELECT $1, workspace_id, 'more', destination_id, '{}', $2, clock_timestamp() + $3::interval FROM syncs LIMIT 1
"""
# Everything that happened is an hour older, and the runs are done. Ticks make a detour, since one would come to lie on
# the one before it.
_AN_HOUR_GOES_BY = (
    "UPDATE runs SET status = 'succeeded' WHERE status = 'queued'",
    "UPDATE schedule_ticks SET scheduled_for = scheduled_for - interval '10000 hours'",
    "UPDATE schedule_ticks SET scheduled_for = scheduled_for + interval '9999 hours'",
    "UPDATE syncs SET next_run_at = next_run_at - interval '1 hour'",
)
_DUE = "SELECT count(*)::int FROM syncs WHERE next_run_at <= clock_timestamp()"


async def add_sync(stage: Stage, *, due_in: timedelta, schedule: object = HOURLY) -> SyncId:
    """One more sync beside that of the stage."""
    sync_id = new_sync_id()
    await stage.database.execute(_ADD_SYNC, sync_id, schedule, due_in)
    return sync_id


async def an_hour_goes_by(stage: Stage) -> None:
    """All runs end, and every sync whose tick is within the hour becomes due."""
    async with stage.database.transaction() as connection:
        for statement in _AN_HOUR_GOES_BY:
            await connection.execute(statement)


async def count_due(database: Database) -> int:
    """How many syncs wait for a scheduler."""
    count: int = await database.fetchval(_DUE)
    return count


async def assert_fired_once(stage: Stage, ids: Sequence[SyncId], *, hours: int) -> None:
    """Each sync has a tick an hour, each tick a run of its own, each run is told of once."""
    ticks = await stage.database.fetch("SELECT * FROM schedule_ticks ORDER BY sync_id, scheduled_for")
    runs = {row["id"] for row in await stage.database.fetch("SELECT id FROM runs")}
    gaps = {
        later["scheduled_for"] - earlier["scheduled_for"]
        for earlier, later in pairwise(ticks)
        if earlier["sync_id"] == later["sync_id"]
    }
    assert Counter(row["sync_id"] for row in ticks) == dict.fromkeys(ids, hours)
    assert {row["outcome"] for row in ticks} == {"started"}
    assert gaps == {timedelta(hours=1)}
    assert {row["run_id"] for row in ticks} == runs
    assert len(runs) == len(ids) * hours
    assert await stage.database.fetchval("SELECT count(*) FROM run_shards") == len(runs)

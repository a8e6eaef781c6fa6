"""Runs that nobody works on: cancelled ones are closed, waiting ones are told of again."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from tailrace.core.clock import SystemClock
from tailrace.core.errors import LeaseLost
from tailrace.core.ids import RunId
from tailrace.core.runs import Books, RunStatus
from tailrace.core.settlements import Position, Settlement
from tailrace.events.run_events import run_cancelled_in_queue
from tailrace.observe.metrics import REGISTRY
from tailrace.store.abandoned import AbandonedRuns
from tailrace.store.database import Record
from tailrace.store.runs import CancelRequest, Runs
from tailrace.store.shards import Shards
from tailrace.store.shared_runs import SharedRuns
from tailrace_scheduler.reaping import WAITS_LONG_S, Reaping
from tests.store.conftest import A_WORKSPACE, Stage
from tests.store.letters import Grave

DEAD_FOR_S = 35.0
NOON = datetime(2027, 6, 1, 12, tzinfo=UTC)


class StoppedClock(SystemClock):
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOON


@pytest.fixture
def grave(stage: Stage) -> Grave:
    return Grave(stage)


@pytest.fixture
def reaping(stage: Stage) -> Reaping:
    return Reaping(
        database=stage.database,
        abandoned=AbandonedRuns(stage.database),
        shards=Shards(stage.database),
        shared_runs=SharedRuns(stage.database),
        clock=StoppedClock(),
        owner="scheduler-0",
        dead_for_s=DEAD_FOR_S,
    )


async def cancel(stage: Stage) -> None:
    async with stage.database.transaction() as connection:
        runs = Runs(stage.database)
        request = CancelRequest(A_WORKSPACE, stage.sync_id, "ann")
        await runs.request_cancel(connection, request, run_cancelled_in_queue)


async def let_lease_end(stage: Stage, *, ago_s: float) -> None:
    await stage.database.execute(
        "UPDATE run_shards SET lease_expires_at = clock_timestamp() - $1::interval", timedelta(seconds=ago_s)
    )


async def only_run(stage: Stage) -> Record:
    [run] = await stage.database.fetch("SELECT * FROM runs")
    return run


async def events(stage: Stage, kind: str) -> list[Record]:
    return list(await stage.database.fetch("SELECT * FROM outbox WHERE topic = $1", f"tailrace.run.{kind}.v1"))


async def wait_in_queue(stage: Stage, *, for_s: float) -> RunId:
    run_id = await stage.start_run()
    await stage.database.execute("DELETE FROM outbox")
    await stage.database.execute("UPDATE runs SET queued_at = queued_at - $1::interval", timedelta(seconds=for_s))
    return run_id


async def test_cancelled_run_of_a_dead_executor_is_closed_with_its_books(
    stage: Stage, grave: Grave, reaping: Reaping
) -> None:
    await grave.settle(Settlement(Position(), Books(read=3, delivered=2, skipped=1)))
    await cancel(stage)
    await let_lease_end(stage, ago_s=DEAD_FOR_S + 1)

    await reaping.close_cancelled()

    run = await only_run(stage)
    [finished] = await events(stage, "finished")
    told = orjson.loads(finished["body"])
    assert (run["status"], run["error_code"], run["error_message"]) == ("cancelled", "CANCELLED", "cancelled by ann")
    assert run["finished_at"] is not None
    assert (told["status"], told["read"], told["delivered"], told["skipped"]) == ("cancelled", 3, 2, 1)
    assert finished["key"] == run["id"]


async def test_duration_of_a_reaped_run_is_counted_from_its_first_claim(
    stage: Stage, grave: Grave, reaping: Reaping
) -> None:
    await grave.bury("a")
    await stage.database.execute("UPDATE runs SET started_at = clock_timestamp() - interval '1 hour'")
    await cancel(stage)
    await let_lease_end(stage, ago_s=DEAD_FOR_S + 1)
    before = _durations()

    await reaping.close_cancelled()

    count, total_s = (now - then for now, then in zip(_durations(), before, strict=True))
    assert (count, 3600 <= total_s < 7200) == (1, True)


def _durations() -> tuple[float, float]:
    """How many runs were counted, and the sum of how long they took."""
    name = "tailrace_run_duration_seconds"
    return REGISTRY.get_sample_value(f"{name}_count") or 0, REGISTRY.get_sample_value(f"{name}_sum") or 0


async def test_what_waits_for_an_executor_is_shown(stage: Stage, grave: Grave, reaping: Reaping) -> None:
    await reaping.count()
    nothing = _queue()
    run_id = await stage.start_run()
    await stage.database.execute("UPDATE run_shards SET queued_at = clock_timestamp() - interval '1 hour'")
    await reaping.count()
    queued = _queue()
    await grave.claim_run(run_id)
    await reaping.count()
    taken = _queue()
    assert grave.claim is not None
    await Shards(stage.database).pause(grave.claim.lease, wait_s=60, reason="503")
    await reaping.count()
    paused = _queue()
    await stage.database.execute("UPDATE run_shards SET not_before = NULL")
    await reaping.count()

    assert nothing == taken == paused == (0, 0)
    assert queued[0] == 1
    assert 3600 <= queued[1] < 7200
    # Handed back: nobody knows since when it waits.
    assert _queue() == (1, 0)


def _queue() -> tuple[float, float]:
    """How many runs wait, and the longest wait."""
    shown = map(REGISTRY.get_sample_value, ("tailrace_runs_queued", "tailrace_runs_queued_oldest_seconds"))
    parts, oldest_s = (value or 0 for value in shown)
    return parts, oldest_s


async def test_sync_can_run_again_after_its_run_was_reaped(stage: Stage, grave: Grave, reaping: Reaping) -> None:
    await grave.bury("a")
    await cancel(stage)
    await let_lease_end(stage, ago_s=DEAD_FOR_S + 1)

    await reaping.close_cancelled()

    assert await stage.start_run()


async def test_executor_that_wakes_up_late_can_write_nothing(stage: Stage, grave: Grave, reaping: Reaping) -> None:
    await grave.bury("a")
    await cancel(stage)
    await let_lease_end(stage, ago_s=DEAD_FOR_S + 1)
    await reaping.close_cancelled()

    with pytest.raises(LeaseLost):
        await grave.bury("b")
    with pytest.raises(LeaseLost):
        await grave.finish()

    assert await stage.database.fetchval("SELECT count(*) FROM dead_letters") == 1


async def test_letters_of_a_reaped_replay_are_open_again(stage: Stage, grave: Grave, reaping: Reaping) -> None:
    ids = await grave.bury("a")
    await grave.finish()
    await grave.claim_run(await grave.replay(ids))
    await cancel(stage)
    await let_lease_end(stage, ago_s=DEAD_FOR_S + 1)

    await reaping.close_cancelled()

    assert await grave.state(ids[0]) == "open"


@pytest.mark.parametrize("ago_s", [-20.0, DEAD_FOR_S - 5], ids=["alive", "executors may still take it over"])
async def test_run_that_executors_can_end_is_left_to_them(
    stage: Stage, grave: Grave, reaping: Reaping, ago_s: float
) -> None:
    await grave.bury("a")
    await cancel(stage)
    await let_lease_end(stage, ago_s=ago_s)

    await reaping.close_cancelled()

    assert (await only_run(stage))["status"] == "cancelling"


async def test_run_that_was_not_cancelled_waits_for_an_executor(stage: Stage, grave: Grave, reaping: Reaping) -> None:
    await grave.bury("a")
    await let_lease_end(stage, ago_s=3600)

    await reaping.close_cancelled()

    assert (await only_run(stage))["status"] == "running"


async def test_cancelled_run_that_was_handed_back_is_closed(stage: Stage, grave: Grave, reaping: Reaping) -> None:
    await grave.bury("a")
    assert grave.claim is not None
    await Shards(stage.database).hand_back(grave.claim.lease)
    await cancel(stage)
    await reaping.close_cancelled()
    too_early = (await only_run(stage))["status"]
    await stage.database.execute("UPDATE runs SET cancel_requested_at = cancel_requested_at - interval '1 minute'")

    await reaping.close_cancelled()

    assert (too_early, (await only_run(stage))["status"]) == ("cancelling", RunStatus.CANCELLED)


async def test_run_that_waits_long_is_told_of_once_a_minute(stage: Stage, reaping: Reaping) -> None:
    run_id = await wait_in_queue(stage, for_s=WAITS_LONG_S + 1)

    await reaping.tell_again()
    await reaping.tell_again()

    [event] = await events(stage, "queued")
    assert orjson.loads(event["body"]) == {"run_id": run_id, "sync_id": stage.sync_id, "workspace_id": A_WORKSPACE}
    assert event["key"] == stage.sync_id


async def test_run_that_was_just_queued_is_not_told_of_again(stage: Stage, reaping: Reaping) -> None:
    await wait_in_queue(stage, for_s=WAITS_LONG_S - 5)

    await reaping.tell_again()

    assert await events(stage, "queued") == []

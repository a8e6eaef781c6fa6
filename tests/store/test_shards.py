"""Claims, leases and ends of runs."""

import asyncio

import pytest

from tailrace.core.errors import Conflict, LeaseLost
from tailrace.core.ids import WorkspaceId
from tailrace.core.runs import RunStatus
from tailrace.events.run_events import run_cancelled_in_queue
from tailrace.store.database import Database
from tailrace.store.runs import CancelRequest, RunFilter, Runs
from tailrace.store.shards import Ending, Shards
from tests.store.conftest import A_WORKSPACE, Stage, an_event

SUCCEEDED = RunStatus.SUCCEEDED


async def test_only_one_of_many_starts_gets_a_run(stage: Stage) -> None:
    starts = await asyncio.gather(*(stage.start_run() for _ in range(20)), return_exceptions=True)

    refused = [start for start in starts if isinstance(start, Conflict)]
    won = [start for start in starts if isinstance(start, str)]
    assert len(won) == 1
    assert [conflict.existing_id for conflict in refused] == won * 19


async def test_one_of_many_executors_gets_the_run(stage: Stage) -> None:
    run_id = await stage.start_run()
    shards = Shards(stage.database)

    claims = await asyncio.gather(*(shards.claim(owner=f"pod-{n}", ttl_s=30, grace_s=5) for n in range(10)))

    assert [claim.lease.run_id for claim in claims if claim is not None] == [run_id]


async def test_shards_of_some_workspaces_are_left_to_others(stage: Stage) -> None:
    run_id = await stage.start_run()
    shards = Shards(stage.database)

    without = await shards.but_for([A_WORKSPACE]).claim(owner="busy", ttl_s=30, grace_s=5)
    but_for_others = await shards.but_for([WorkspaceId("ws_other")]).claim(owner="idle", ttl_s=30, grace_s=5)

    assert without is None
    assert but_for_others is not None
    assert but_for_others.lease.run_id == run_id


async def test_a_run_whose_lease_ran_out_is_taken_over_with_another_token(stage: Stage) -> None:
    await stage.start_run()
    shards = Shards(stage.database)
    first = await shards.claim(owner="first", ttl_s=0, grace_s=0)

    second = await shards.claim(owner="second", ttl_s=30, grace_s=0, silent=await shards.sighted())

    assert first is not None
    assert second is not None
    assert (first.lease.epoch, second.lease.epoch) == (1, 2)
    assert first.lease.token != second.lease.token
    assert second.attempts_without_progress == 2


async def test_a_lease_that_was_renewed_since_it_was_seen_is_not_taken_over(stage: Stage) -> None:
    await stage.start_run()
    shards = Shards(stage.database)
    alive = await shards.claim(owner="alive", ttl_s=0, grace_s=0)
    assert alive is not None
    seen = await shards.sighted()
    await shards.heartbeat(alive.lease, ttl_s=0)

    assert await shards.claim(owner="second", ttl_s=30, grace_s=0, silent=seen) is None
    assert await shards.claim(owner="second", ttl_s=30, grace_s=0) is None
    assert await shards.claim(owner="second", ttl_s=30, grace_s=0, silent=await shards.sighted()) is not None


async def test_a_lease_that_was_taken_over_can_neither_be_renewed_nor_finish(stage: Stage) -> None:
    await stage.start_run()
    shards = Shards(stage.database)
    first = await shards.claim(owner="first", ttl_s=0, grace_s=0)
    second = await shards.claim(owner="second", ttl_s=30, grace_s=0, silent=await shards.sighted())
    assert first is not None
    assert second is not None

    with pytest.raises(LeaseLost):
        await shards.heartbeat(first.lease, ttl_s=30)
    with pytest.raises(LeaseLost):
        await shards.finish(first.lease, Ending(SUCCEEDED, an_event("run")))

    await shards.finish(second.lease, Ending(SUCCEEDED, an_event("run")))
    assert await outbox_size(stage.database) == 2


async def test_a_run_that_was_handed_back_is_claimed_at_once(stage: Stage) -> None:
    await stage.start_run()
    shards = Shards(stage.database)
    first = await shards.claim(owner="first", ttl_s=30, grace_s=5)
    assert first is not None

    await shards.hand_back(first.lease)

    second = await shards.claim(owner="second", ttl_s=30, grace_s=5)
    assert second is not None
    assert second.attempts_without_progress == 1


async def test_a_finished_run_tells_its_end_and_makes_room_for_the_next(stage: Stage) -> None:
    run_id = await stage.start_run()
    shards, runs = Shards(stage.database), Runs(stage.database)
    claim = await shards.claim(owner="pod", ttl_s=30, grace_s=5)
    assert claim is not None

    await shards.finish(claim.lease, Ending(RunStatus.FAILED, an_event("run"), "SOURCE_QUERY", "no such table"))

    run = await runs.get(A_WORKSPACE, run_id)
    assert (run.status, run.error_code, run.error_message) == (RunStatus.FAILED, "SOURCE_QUERY", "no such table")
    assert run.finished_at is not None
    assert await stage.start_run() != run_id


async def test_a_queued_run_is_cancelled_at_once_and_never_claimed(stage: Stage) -> None:
    run_id = await stage.start_run()
    runs = Runs(stage.database)

    async with stage.database.transaction() as connection:
        asked = await runs.request_cancel(connection, request_of(stage), run_cancelled_in_queue)

    assert asked == run_id
    assert (await runs.get(A_WORKSPACE, run_id)).status is RunStatus.CANCELLED
    assert await outbox_size(stage.database, "tailrace.run.finished.v1") == 1
    assert await Shards(stage.database).claim(owner="pod", ttl_s=30, grace_s=5) is None


async def test_the_executor_of_a_running_run_learns_that_it_is_to_end(stage: Stage) -> None:
    run_id = await stage.start_run()
    shards, runs = Shards(stage.database), Runs(stage.database)
    await shards.claim(owner="pod", ttl_s=30, grace_s=5)

    async with stage.database.transaction() as connection:
        await runs.request_cancel(connection, request_of(stage), run_cancelled_in_queue)

    assert await shards.cancelling([run_id]) == {run_id}


async def test_nothing_is_left_to_cancel_when_nothing_runs(stage: Stage) -> None:
    async with stage.database.transaction() as connection:
        asked = await Runs(stage.database).request_cancel(connection, request_of(stage), run_cancelled_in_queue)

    assert asked is None


async def test_runs_are_listed_newest_first_a_page_after_another(stage: Stage) -> None:
    shards, runs = Shards(stage.database), Runs(stage.database)
    ids = [await run_to_end(stage, shards) for _ in range(3)]
    everything = RunFilter(sync_id=stage.sync_id)

    first = await runs.list(A_WORKSPACE, everything, limit=2)
    last = first[-1]
    second = await runs.list(A_WORKSPACE, everything, after=(last.queued_at, last.id), limit=2)

    assert [run.id for run in [*first, *second]] == ids[::-1]
    assert await runs.count(A_WORKSPACE, RunFilter(statuses=[SUCCEEDED])) == 3
    assert await runs.count(A_WORKSPACE, RunFilter(statuses=[RunStatus.FAILED])) == 0


async def run_to_end(stage: Stage, shards: Shards) -> str:
    run_id = await stage.start_run()
    claim = await shards.claim(owner="pod", ttl_s=30, grace_s=5)
    assert claim is not None
    await shards.finish(claim.lease, Ending(SUCCEEDED, an_event("run")))
    return run_id


def request_of(stage: Stage) -> CancelRequest:
    return CancelRequest(A_WORKSPACE, stage.sync_id, "ada")


async def outbox_size(database: Database, topic: str = "") -> int:
    return int(await database.fetchval("SELECT count(*) FROM outbox WHERE topic LIKE $1 || '%'", topic))

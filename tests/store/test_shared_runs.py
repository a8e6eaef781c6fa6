"""Runs that are cut into shards: who may cut, what each is given, and who closes the run."""

import asyncio

import pytest

from tailrace.core.errors import LeaseLost
from tailrace.core.rows import RowKey
from tailrace.core.runs import CANCELLED, Books, RunStatus
from tailrace.core.settlements import NOTHING_SENT, Position, Rejections, Settlement
from tailrace.store.checkpoints import Checkpoints, Place
from tailrace.store.runs import Runs
from tailrace.store.secrets import SecretBox
from tailrace.store.shards import LOCK_RUN, Claim, Ending, Shards, rejections_of
from tailrace.store.shared_runs import SharedRuns
from tailrace.store.standings import Standings
from tailrace.store.timelines import Timelines
from tailrace.testing.eventually import eventually
from tests.store.conftest import A_WORKSPACE, Stage, an_event, write

CUTS = [RowKey(("g",)), RowKey(("p",))]
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_STAND = """
UPDATE run_shards SET checkpoint = stands FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS given (stands, number)
WHERE shard = number - 1
"""


async def cut(stage: Stage) -> Claim:
    """A claimed run, cut in three."""
    await stage.start_run()
    claim = await claimed(stage)
    await SharedRuns(stage.database).share_out(claim.lease, CUTS, columns="their digest")
    return claim


async def claimed(stage: Stage) -> Claim:
    claim = await Shards(stage.database).claim(owner="executor-0", ttl_s=30.0, grace_s=0.0)
    assert claim is not None
    return claim


async def settle(stage: Stage, claim: Claim, rejections: Rejections, *, seq: int = 0) -> Rejections | None:
    """A checkpoint of a shard that has sent so much; gives what it is told of the others."""
    place = Place(claim.lease, claim.workspace_id, claim.sync_id, seq, ttl_s=30.0)
    settlement = Settlement(Position(), Books(), rejections=rejections)
    checkpoints = Checkpoints(stage.database, SecretBox([bytes(32)]))
    return await write(checkpoints, place, settlement)


async def states(stage: Stage, claim: Claim) -> list[str]:
    return [shard.state for shard in await Timelines(stage.database).shards(claim.lease.run_id)]


async def test_each_shard_begins_behind_the_one_before_and_agrees_on_columns(stage: Stage) -> None:
    first = await cut(stage)

    others = [await claimed(stage), await claimed(stage)]

    assert (first.is_shared, [claim.is_shared for claim in others]) == (False, [True, True])
    assert [(claim.checkpoint or {})["after"] for claim in others] == [["g"], ["p"]]
    assert [(claim.checkpoint or {})["columns"] for claim in others] == ["their digest"] * 2
    assert [claim.until for claim in others] == [("p",), None]
    assert await Shards(stage.database).claim(owner="executor-1", ttl_s=30.0, grace_s=0.0) is None


async def test_first_shard_keeps_its_end_when_it_is_claimed_anew(stage: Stage) -> None:
    first = await cut(stage)
    await Shards(stage.database).hand_back(first.lease)

    claims = [await claimed(stage) for _ in range(3)]

    [again] = [claim for claim in claims if claim.lease.shard == 0]
    assert (again.until, again.is_shared) == (("g",), True)
    assert again.checkpoint == {"after": None, "null_rows": 0, "columns": "their digest"}


async def test_shard_that_was_left_has_passed_all_of_its_rows(stage: Stage) -> None:
    first = await cut(stage)
    run = await Runs(stage.database).get(A_WORKSPACE, first.lease.run_id)

    await SharedRuns(stage.database).leave(first.lease)

    passed = [await Standings(stage.database).passed(run, RowKey((key,))) for key in "fgh"]
    assert passed == [True, True, False]


async def test_run_is_cut_once_and_by_its_owner(stage: Stage) -> None:
    first = await cut(stage)
    shared = SharedRuns(stage.database)

    with pytest.raises(LeaseLost):
        await shared.share_out(first.lease, CUTS, columns=None)
    assert len(await states(stage, first)) == 3


async def test_process_leaves_shards_of_a_run_it_shares_to_others_until_they_are_begun(stage: Stage) -> None:
    first = await cut(stage)
    ours = Shards(stage.database, sharing={first.lease.run_id})

    fresh = await ours.claim(owner="us", ttl_s=30.0, grace_s=0.0)
    theirs = await claimed(stage)
    await Shards(stage.database).hand_back(theirs.lease)
    begun = await ours.claim(owner="us", ttl_s=30.0, grace_s=0.0)

    assert fresh is None
    assert begun is not None
    assert begun.lease.shard == theirs.lease.shard


async def test_all_leave_but_the_last_who_is_told_what_all_come_to(stage: Stage) -> None:
    first = await cut(stage)
    second, third = await claimed(stage), await claimed(stage)
    await stage.database.execute("UPDATE run_shards SET rows_read = 1 + shard, rows_delivered = 1 + shard")
    shared = SharedRuns(stage.database)

    left = [await shared.leave(claim.lease) for claim in (third, first)]
    total = await shared.leave(second.lease)

    assert left == [None, None]
    assert total is not None
    assert (total.books.read, total.books.delivered, total.error_code) == (6, 6, None)
    assert await states(stage, first) == ["done", "running", "done"]


async def test_of_two_that_leave_at_once_one_stays(stage: Stage) -> None:
    first = await cut(stage)
    second, third = await claimed(stage), await claimed(stage)
    shared = SharedRuns(stage.database)
    await shared.leave(third.lease)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks, stage.database.transaction() as connection:
        await connection.execute("SELECT FROM runs FOR UPDATE")
        leaving = [tasks.create_task(shared.leave(claim.lease)) for claim in (first, second)]
        await eventually(lambda: stage.database.fetchval(_WAITING), 2)

    assert [task.result() is None for task in leaving].count(True) == 1
    assert sorted(await states(stage, first)) == ["done", "done", "running"]


async def test_shard_does_not_wait_for_its_destination_where_another_failed(stage: Stage) -> None:
    first = await cut(stage)
    second = await claimed(stage)
    shards = Shards(stage.database)
    await SharedRuns(stage.database).leave(first.lease, code="FAILURE_THRESHOLD", message="too many")

    await shards.pause(second.lease, wait_s=900.0, reason="it is down")

    assert (await claimed(stage)).lease.shard == second.lease.shard


async def test_shard_does_not_wait_for_its_destination_where_another_fails_at_that_moment(stage: Stage) -> None:
    first = await cut(stage)
    second = await claimed(stage)

    async with asyncio.TaskGroup() as tasks, stage.database.transaction() as connection:
        await connection.execute(LOCK_RUN, first.lease.run_id)
        await connection.execute("UPDATE run_shards SET error_code = 'BAD' WHERE shard = $1", first.lease.shard)
        pausing = tasks.create_task(Shards(stage.database).pause(second.lease, wait_s=900.0, reason="it is down"))
        await asyncio.wait({pausing}, timeout=0.3)

    _, paused, _ = await Timelines(stage.database).shards(first.lease.run_id)
    assert (paused.state, paused.not_before) == ("queued", None)


async def test_run_that_ends_before_its_owner_knows_that_it_was_cut_leaves_nothing_to_claim(stage: Stage) -> None:
    first = await cut(stage)
    shards = Shards(stage.database)

    await shards.finish(first.lease, Ending(RunStatus.CANCELLED, an_event("run"), CANCELLED))

    assert await states(stage, first) == ["done"] * 3
    assert await shards.claim(owner="executor-1", ttl_s=30.0, grace_s=0.0) is None


async def test_what_a_shard_said_first_stays_when_it_is_taken_over(stage: Stage) -> None:
    first = await cut(stage)
    shared = SharedRuns(stage.database)
    for claim in [await claimed(stage), await claimed(stage)]:
        await shared.leave(claim.lease)

    await shared.leave(first.lease, code="DELETE_GUARD", message="too many are gone")
    total = await shared.leave(first.lease, code=CANCELLED)

    assert total is not None
    assert (total.error_code, total.error_message) == ("DELETE_GUARD", "too many are gone")


async def test_shard_that_was_left_can_not_be_left_again(stage: Stage) -> None:
    first = await cut(stage)
    shared = SharedRuns(stage.database)
    await shared.leave(first.lease)

    with pytest.raises(LeaseLost):
        await shared.leave(first.lease)


async def test_failure_closes_what_nobody_works_on_and_is_told_to_who_does(stage: Stage) -> None:
    first = await cut(stage)
    second = await claimed(stage)
    shared = SharedRuns(stage.database)
    run_id = first.lease.run_id

    before = await shared.failing({run_id})
    left = await shared.leave(first.lease, code="FAILURE_THRESHOLD", message="too many")
    after = await shared.failing({run_id})
    total = await shared.leave(second.lease, code=CANCELLED)

    assert (before, left, after) == (set(), None, {run_id})
    assert await states(stage, first) == ["done", "running", "done"]
    assert total is not None
    assert (total.error_code, total.error_message) == ("FAILURE_THRESHOLD", "too many")


async def test_each_shard_is_told_what_all_the_others_have_sent(stage: Stage) -> None:
    first = await cut(stage)
    second = await claimed(stage)

    told = [
        await settle(stage, first, Rejections(10, 3)),
        await settle(stage, second, Rejections(20, 5, in_a_row=2)),
        await settle(stage, first, Rejections(15, 4), seq=1),
    ]
    third = await claimed(stage)
    [left, *_] = [await SharedRuns(stage.database).leave(claim.lease) for claim in (second, third)]
    total = await SharedRuns(stage.database).leave(first.lease)

    assert told == [NOTHING_SENT, Rejections(10, 3), Rejections(20, 5)]
    assert (first.elsewhere, second.elsewhere, third.elsewhere) == (NOTHING_SENT, NOTHING_SENT, Rejections(35, 9))
    assert left is None
    assert total is not None
    assert total.elsewhere == Rejections(20, 5)


async def test_shard_that_is_claimed_anew_knows_what_it_has_sent(stage: Stage) -> None:
    first = await cut(stage)
    await settle(stage, first, Rejections(20, 5, in_a_row=2))
    await Shards(stage.database).hand_back(first.lease)

    claims = [await claimed(stage) for _ in range(3)]

    [again] = [claim for claim in claims if claim.lease.shard == 0]
    assert rejections_of(again.checkpoint) == Rejections(20, 5, in_a_row=2)
    assert again.elsewhere == NOTHING_SENT


async def test_run_was_begun_when_its_first_shard_was(stage: Stage) -> None:
    first = await cut(stage)
    await stage.database.execute("UPDATE runs SET started_at = started_at - interval '1 hour'")

    second = await claimed(stage)

    assert first.begun_for_s < 3600 <= second.begun_for_s


def test_checkpoint_of_an_earlier_release_says_nothing_of_what_was_sent() -> None:
    assert rejections_of({"after": None, "null_rows": 0}) == NOTHING_SENT


@pytest.mark.parametrize(("key", "is_passed"), [("c", True), ("e", False), ("k", False), ("h", True), ("z", False)])
async def test_row_is_passed_where_its_own_shard_has_settled_it(stage: Stage, key: str, *, is_passed: bool) -> None:
    first = await cut(stage)
    await stage.database.execute(_STAND, [{"after": ["d"], "null_rows": 0}, {"after": ["i"], "null_rows": 0}])
    run = await Runs(stage.database).get(A_WORKSPACE, first.lease.run_id)

    assert await Standings(stage.database).passed(run, RowKey((key,))) is is_passed

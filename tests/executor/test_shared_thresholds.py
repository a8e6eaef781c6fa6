"""Thresholds of failures in runs that are cut into shards: they hold for the run, whoever counts."""

import pytest_asyncio

from tailrace.core.policies import DeliveryPolicy, FailureThresholds
from tailrace.core.rows import RowKey
from tailrace.core.runs import Books, RunStatus
from tailrace.core.settlements import Position, Rejections, Settlement
from tailrace.store.checkpoints import Checkpoints, Place
from tailrace.store.shards import Claim, Shards
from tailrace.store.shared_runs import SharedRuns
from tests.executor.sharing import SHARED, claimed, shards_of, shared
from tests.executor.sink import Row, Sink
from tests.executor.yard import Yard

PEOPLE = 1000
SHARD = 250
WAITS = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest_asyncio.fixture
async def peopled(yard: Yard) -> Yard:
    """A yard whose warehouse holds people, and knows how many: they are cut into four shards."""
    await yard.add_people(1, PEOPLE)
    await yard.warehouse.execute("ANALYZE people")
    return yard


async def set_thresholds(yard: Yard, thresholds: FailureThresholds) -> None:
    await yard.change_sync(delivery=DeliveryPolicy(failure_thresholds=thresholds))


def is_anybody(_: Row) -> bool:
    return True


async def test_ratio_counts_the_rows_of_all_shards(peopled: Yard, sink: Sink) -> None:
    await set_thresholds(peopled, FailureThresholds(minimum=2 * SHARD + 100, consecutive=None))
    sink.is_bad = is_anybody

    run = await shared(peopled)

    rejected = run.books.rejected
    assert (run.status, run.error_code) == (RunStatus.FAILED, "FAILURE_THRESHOLD")
    assert (run.error_message or "").startswith(f"the destination rejected {rejected} of {rejected} rows: look at")
    assert 2 * SHARD + 100 <= rejected < PEOPLE
    assert run.books.balance
    assert {shard.state for shard in await shards_of(peopled, run.id)} == {"done"}


async def test_bad_shard_does_not_end_a_run_that_is_good_on_the_whole(peopled: Yard, sink: Sink) -> None:
    await set_thresholds(peopled, FailureThresholds(minimum=200, consecutive=None))
    sink.is_bad = lambda row: str(row["id"]) >= "8"
    run_id = await peopled.start()

    async with peopled.executor(**SHARED):
        run = await peopled.ended(run_id)

    assert len(await shards_of(peopled, run_id)) == PEOPLE // SHARD
    assert (run.status, run.books.rejected) == (RunStatus.SUCCEEDED, 222)


async def test_rejections_in_a_row_are_counted_over_all_shards(peopled: Yard, sink: Sink) -> None:
    await set_thresholds(peopled, FailureThresholds(ratio=None, consecutive=SHARD + 100))
    sink.is_bad = is_anybody

    run = await shared(peopled)

    assert (run.status, run.error_code) == (RunStatus.FAILED, "FAILURE_THRESHOLD")
    assert SHARD + 100 <= run.books.rejected < PEOPLE


async def test_what_was_counted_stays_counted_when_a_run_is_handed_over(peopled: Yard, sink: Sink) -> None:
    await set_thresholds(peopled, FailureThresholds(minimum=PEOPLE, consecutive=None))
    sink.is_bad, sink.delay_s = is_anybody, 0.02
    run_id = await peopled.start()

    async with peopled.executor(window_rows=50) as stopping:
        await sink.was_asked.wait()
        stopping.set()
    async with peopled.executor():
        run = await peopled.ended(run_id)

    assert (run.status, run.error_code, run.books.rejected) == (RunStatus.FAILED, "FAILURE_THRESHOLD", PEOPLE)


async def test_last_shard_sees_what_none_could_see_before(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 20)
    await set_thresholds(yard, FailureThresholds(minimum=25, consecutive=None))
    sink.is_bad = is_anybody
    run_id = await yard.start()
    store = yard.chassis.database
    first = await claimed(Shards(store))
    await SharedRuns(store).share_out(first.lease, [RowKey(("0",))], columns=None)

    sink.may_answer.clear()
    async with yard.executor():
        await sink.was_asked.wait()
        async with store.transaction() as connection:
            await connection.execute("SELECT FROM runs FOR NO KEY UPDATE")
            sink.may_answer.set()
            # All of its rows are settled, and it is about to look whether others are at work.
            await yard.until(lambda: store.fetchval(WAITS))
            await _settle(yard, first, rejected=5)
            await store.execute("UPDATE run_shards SET state = 'done' WHERE shard = 0")
        run = await yard.ended(run_id)

    assert (run.status, run.error_code) == (RunStatus.FAILED, "FAILURE_THRESHOLD")
    assert (run.error_message or "").startswith("the destination rejected 25 of 25 rows: look at")


async def _settle(yard: Yard, claim: Claim, *, rejected: int) -> None:
    """A checkpoint of a shard whose rows were all rejected."""
    place = Place(claim.lease, claim.workspace_id, claim.sync_id, claim.checkpoint_seq, ttl_s=60.0)
    counted = Rejections(sent=rejected, rejected=rejected, in_a_row=rejected)
    settlement = Settlement(Position(), Books(read=rejected, rejected=rejected), rejections=counted)
    checkpoints = Checkpoints(yard.chassis.database, yard.chassis.box)
    await checkpoints.commit(place, checkpoints.prepare(place.origin, settlement), lambda _seq, _letters: [])

"""Runs over many rows that several executors share: cut by key, and yet one run with one account of every row."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.ids import RunId
from tailrace.core.policies import DeliveryPolicy, FailureThresholds
from tailrace.core.rows import RowKey
from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tailrace.runtime.service import Chassis
from tailrace.store.shards import Shards
from tailrace.store.shared_runs import SharedRuns
from tailrace.store.timelines import Timelines
from tests.executor.modes import REMOVED, SNAPSHOT, Way, open_way
from tests.executor.sharing import SHARED, claimed, shards_of, shared, two_executors
from tests.executor.sink import Sink
from tests.executor.yard import Yard

PEOPLE = 1000
SHORT_LEASE = {"lease_ttl_s": 1.5, "heartbeat_s": 0.3, "lease_margin_s": 0.2, "request_timeout_s": 50.0}


@pytest_asyncio.fixture
async def peopled(yard: Yard) -> Yard:
    """A yard whose warehouse holds people, and knows how many."""
    await yard.add_people(1, PEOPLE)
    await yard.warehouse.execute("ANALYZE people")
    return yard


@pytest_asyncio.fixture
async def mirror(
    chassis: Chassis, warehouse: "asyncpg.Connection[asyncpg.Record]", empty_database_url: str
) -> AsyncIterator[Way]:
    """People whose contacts were delivered once by a mirror."""
    async with open_way((SyncMode.MIRROR, SNAPSHOT), chassis, warehouse, empty_database_url) as way:
        await way.first_run()
        yield way


async def test_first_run_is_cut_by_a_sample_and_every_row_comes_once(peopled: Yard, sink: Sink) -> None:
    await peopled.warehouse.execute("INSERT INTO people VALUES (NULL, 'x'), (NULL, 'y'), (7, 'again')")
    sink.delay_s = 0.1

    run = await shared(peopled)

    shards = await shards_of(peopled, run.id)
    assert (run.status, run.error_message) == (RunStatus.SUCCEEDED, None)
    assert sink.times_by_id == dict.fromkeys(range(1, PEOPLE + 1), 1)
    assert (run.books.read, run.books.delivered, run.books.rejected) == (PEOPLE + 3, PEOPLE, 3)
    assert run.books.reasons["rejected.NULL_KEY"] == 2
    assert len(shards) > 2
    assert {shard.lease_owner for shard in shards} == {"a", "b"}


async def test_later_run_is_cut_by_what_is_known_and_sends_only_the_difference(peopled: Yard, sink: Sink) -> None:
    await peopled.run()
    sink.rows.clear()
    await peopled.warehouse.execute("UPDATE people SET email = 'new@example.com' WHERE id % 100 = 0")
    await peopled.warehouse.execute("DELETE FROM people WHERE id % 250 = 1")
    await peopled.add_people(5000, 5001)

    run = await shared(peopled)

    assert sorted(sink.times_by_id.elements()) == [*range(100, PEOPLE + 1, 100), 5000, 5001]
    assert run.books.reasons == {
        "change.added": 2,
        "change.changed": 10,
        "change.removed": 4,
        "skipped.UNCHANGED": PEOPLE - 14,
    }


async def test_query_that_grew_is_cut_a_run_later_since_only_a_first_run_asks(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 10)
    await yard.run()
    await yard.add_people(11, PEOPLE)
    await yard.warehouse.execute("ANALYZE people")

    grown, after = await shared(yard), await shared(yard)

    assert [len(await shards_of(yard, run.id)) for run in (grown, after)] == [1, 4]
    assert sink.times_by_id == dict.fromkeys(range(1, PEOPLE + 1), 1)


async def test_what_shared_runs_delivered_is_known_to_the_next(peopled: Yard, sink: Sink) -> None:
    await shared(peopled)
    sink.rows.clear()

    run = await peopled.run()

    assert sink.rows == []
    assert run.books.reasons == {"skipped.UNCHANGED": PEOPLE}


async def test_lone_executor_carries_one_shard_after_the_other(peopled: Yard, sink: Sink) -> None:
    run_id = await peopled.start()

    async with peopled.executor(**SHARED):
        run = await peopled.ended(run_id)

    shards = await shards_of(peopled, run_id)
    moments = await Timelines(peopled.chassis.database).since(run_id)
    assert sink.times_by_id == dict.fromkeys(range(1, PEOPLE + 1), 1)
    assert (run.status, run.books.delivered) == (RunStatus.SUCCEEDED, PEOPLE)
    assert [moment.shard for moment in moments] == [shard.shard for shard in shards]


async def test_each_executor_has_one_shard_at_a_time(peopled: Yard, sink: Sink) -> None:
    sink.delay_s = 1.0
    run_id = await peopled.start()

    async with two_executors(peopled):
        await peopled.until(lambda: _are_at_work(peopled, run_id, 2))
        owners = [shard.lease_owner for shard in await shards_of(peopled, run_id) if shard.state == "running"]
        sink.delay_s = 0.0
        run = await peopled.ended(run_id)

    assert sorted(map(str, owners)) == ["a", "b"]
    assert run.books.delivered == PEOPLE


@pytest.mark.parametrize("policy", [DeliveryPolicy(shards=1), DeliveryPolicy(strict=True)])
async def test_sync_that_wants_no_sharing_or_one_batch_at_a_time_has_one_shard(
    peopled: Yard, sink: Sink, policy: DeliveryPolicy
) -> None:
    await peopled.change_sync(delivery=policy)

    run = await shared(peopled)

    assert len(await shards_of(peopled, run.id)) == 1
    assert sink.times_by_id == dict.fromkeys(range(1, PEOPLE + 1), 1)


async def test_too_many_rejections_in_one_shard_end_the_whole_run(peopled: Yard, sink: Sink) -> None:
    thresholds = FailureThresholds(ratio=None, consecutive=20)
    await peopled.change_sync(delivery=DeliveryPolicy(failure_thresholds=thresholds))
    sink.is_bad = lambda row: str(row["id"]) < "3"
    sink.delay_s = 1.0

    run = await shared(peopled)
    sink.is_bad, sink.delay_s = lambda _: False, 0.0
    after = await peopled.run()

    assert (run.status, run.error_code) == (RunStatus.FAILED, "FAILURE_THRESHOLD")
    assert run.books.balance
    assert run.books.delivered < PEOPLE // 4
    assert {shard.state for shard in await shards_of(peopled, run.id)} == {"done"}
    assert after.status is RunStatus.SUCCEEDED
    assert set(sink.times_by_id.values()) == {1}
    assert run.books.delivered + run.books.failed + after.books.delivered == PEOPLE


async def test_cancelled_run_ends_in_all_its_shards_and_the_next_goes_on(peopled: Yard, sink: Sink) -> None:
    sink.delay_s = 0.05
    run_id = await peopled.start()

    async with two_executors(peopled):
        await sink.was_asked.wait()
        await peopled.cancel()
        cancelled = await peopled.ended(run_id)
    sink.delay_s = 0.0
    run = await peopled.run()

    assert (cancelled.status, cancelled.error_message) == (RunStatus.CANCELLED, "cancelled by ada")
    assert cancelled.books.balance
    assert {shard.state for shard in await shards_of(peopled, run_id)} == {"done"}
    assert cancelled.books.delivered + run.books.delivered == PEOPLE
    assert set(sink.times_by_id.values()) == {1}


async def test_shard_that_is_handed_back_goes_on_where_it_stood(peopled: Yard, sink: Sink) -> None:
    sink.delay_s = 0.02
    run_id = await peopled.start()

    async with peopled.executor(pod_name="a", **SHARED) as stopping:
        await sink.was_asked.wait()
        stopping.set()
    between = await peopled.look(run_id)
    async with two_executors(peopled):
        run = await peopled.ended(run_id)

    assert 0 < between.books.delivered < PEOPLE
    assert (run.status, run.books.delivered) == (RunStatus.SUCCEEDED, PEOPLE)
    assert sink.times_by_id == dict.fromkeys(range(1, PEOPLE + 1), 1)


async def test_lost_shard_is_taken_over_alone(peopled: Yard, sink: Sink) -> None:
    sink.delay_s = 0.05
    run_id = await peopled.start()

    async with two_executors(peopled, **SHORT_LEASE):
        await peopled.until(lambda: _are_at_work(peopled, run_id, 2))
        await peopled.chassis.database.execute(
            "UPDATE run_shards SET lease_token = gen_random_uuid() WHERE lease_owner = 'b' AND state = 'running'"
        )
        run = await peopled.ended(run_id)

    moments = await Timelines(peopled.chassis.database).since(run_id)
    assert (run.status, run.books.delivered) == (RunStatus.SUCCEEDED, PEOPLE)
    assert set(sink.times_by_id) == set(range(1, PEOPLE + 1))
    taken_over = [moment.what for moment in moments].count("taken_over")
    assert taken_over > 0
    assert len(sink.rows) - PEOPLE <= SHARED["window_rows"] * taken_over


async def test_mirror_deletes_what_is_gone_from_all_shards(mirror: Way) -> None:
    await mirror.change()

    run = await shared(mirror.yard, rows_per_shard=50)

    assert (run.status, run.books.deleted, run.books.removed) == (RunStatus.SUCCEEDED, len(REMOVED), len(REMOVED))
    assert len(await shards_of(mirror.yard, run.id)) > 2
    assert await mirror.contacts() == mirror.expected(run.kind)


async def test_mirror_deletes_nothing_where_another_shard_failed(mirror: Way) -> None:
    await mirror.change()
    run_id = await mirror.yard.start()
    store = mirror.yard.chassis.database
    shards, shared_runs = Shards(store), SharedRuns(store)
    failing = await claimed(shards)
    await shared_runs.share_out(failing.lease, [RowKey(("10",))], columns=None)
    last = await claimed(shards)

    await shared_runs.leave(failing.lease, code="DESTINATION_INVALID", message="it is gone")
    await shards.hand_back(last.lease)
    async with mirror.yard.executor():
        run = await mirror.yard.ended(run_id)

    assert (run.status, run.error_code, run.error_message) == (RunStatus.FAILED, "DESTINATION_INVALID", "it is gone")
    assert (run.books.removed, run.books.deleted, run.books.balance) == (0, 0, True)


async def test_rows_whose_keys_may_become_one_are_not_shared_out(peopled: Yard, sink: Sink) -> None:
    mappings = [
        {"source": "id", "destination": "id", "key": True, "cast": "string"},
        {"source": "email", "destination": "email"},
    ]
    await peopled.change_sync(field_mappings=mappings)

    run = await shared(peopled)

    assert len(await shards_of(peopled, run.id)) == 1
    assert run.books.delivered == PEOPLE


async def test_guard_of_deletes_looks_at_the_whole_and_not_at_a_shard(mirror: Way) -> None:
    before = await mirror.contacts()
    await mirror.yard.warehouse.execute("DELETE FROM people WHERE id::text < '13'")

    guarded = await shared(mirror.yard, rows_per_shard=50)
    await mirror.yard.change_sync(max_delete_ratio=0.2)
    run = await shared(mirror.yard, rows_per_shard=50)

    assert (guarded.status, guarded.error_code, guarded.books.deleted) == (RunStatus.FAILED, "DELETE_GUARD", 0)
    assert (run.status, run.books.deleted) == (RunStatus.SUCCEEDED, len(before) - len(await mirror.contacts()))
    assert run.books.deleted == 34


async def _are_at_work(yard: Yard, run_id: RunId, count: int) -> bool:
    at_work = [shard for shard in await shards_of(yard, run_id) if shard.state == "running" and shard.checkpoint_seq]
    return len(at_work) == count

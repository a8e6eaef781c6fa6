"""What an executor tells of a run that it has shards of: one run, however many leases begin and end."""

from tailrace.core.rows import RowKey
from tailrace.core.runs import RunStatus
from tailrace.observe.metrics import REGISTRY
from tailrace.store.shards import Shards
from tailrace.store.shared_runs import SharedRuns
from tests.executor.sharing import claimed, shards_of, shared
from tests.executor.sink import Sink
from tests.executor.yard import Yard

PEOPLE = 1000
# A shard is closed so slowly that heartbeats come meanwhile, and wait to be told that nobody has it any more.
SLOW_ENDS = """
CREATE FUNCTION end_slowly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_sleep(0.5);
  RETURN NEW;
END $$;
CREATE TRIGGER run_shards_end_slowly BEFORE UPDATE ON run_shards FOR EACH ROW
  WHEN (OLD.state = 'running' AND NEW.state <> 'running') EXECUTE FUNCTION end_slowly();
"""


def told(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


async def test_two_shards_of_a_run_are_one_run_at_work(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 9)
    run_id = await yard.start()
    store = yard.chassis.database
    shards = Shards(store)
    first = await claimed(shards)
    await SharedRuns(store).share_out(first.lease, [RowKey(("5",))], columns=None)
    second = await claimed(shards)
    await shards.hand_back(first.lease)
    await shards.hand_back(second.lease)
    before = told("tailrace_runs_active")

    sink.may_answer.clear()
    async with yard.executor():
        await yard.until(lambda: _are_sending(sink, 2))
        during = told("tailrace_runs_active")
        sink.may_answer.set()
        await yard.ended(run_id)

    assert (during - before, told("tailrace_runs_active") - before) == (1, 0)
    assert len(sink.rows) == 9


async def test_run_of_several_shards_has_one_duration(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, PEOPLE)
    await yard.warehouse.execute("ANALYZE people")
    before = told("tailrace_run_duration_seconds_count")

    run = await shared(yard)

    assert len(await shards_of(yard, run.id)) > 1
    assert told("tailrace_run_duration_seconds_count") - before == 1
    assert len(sink.rows) == PEOPLE


async def test_heartbeat_that_is_under_way_as_a_shard_ends_loses_no_lease(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, PEOPLE)
    await yard.warehouse.execute("ANALYZE people")
    await yard.chassis.database.execute(SLOW_ENDS)
    before = told("tailrace_leases_lost_total")

    run = await shared(yard, heartbeat_s=0.1)

    assert (run.status, len(sink.rows)) == (RunStatus.SUCCEEDED, PEOPLE)
    assert told("tailrace_leases_lost_total") == before


async def _are_sending(sink: Sink, count: int) -> bool:
    return await sink.count_in_flight() == count

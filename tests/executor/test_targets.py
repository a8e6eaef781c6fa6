"""What a sync delivered counts for the object that it went to, and for no other."""

import pytest

from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tests.executor.sink import Sink
from tests.executor.yard import Yard


@pytest.mark.parametrize("change", [{"object_name": "friends"}, {"sync_mode": SyncMode.DELETE}])
async def test_all_rows_are_sent_again_once_they_go_elsewhere_or_are_to_be_deleted(
    yard: Yard, sink: Sink, change: dict[str, str]
) -> None:
    await yard.add_people(1, 20)
    await yard.run()
    await yard.change_sync(**change)

    run = await yard.run()
    unchanged = await yard.run()

    assert (run.books.delivered, unchanged.books.delivered) == (20, 0)
    assert set(sink.times_by_id.values()) == {2}


async def test_rows_of_a_replay_are_all_that_it_sends_to_another_object(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 20)
    await yard.run()
    await yard.change_sync(object_name="friends")
    await yard.run(RunKind.REPLAY)

    run = await yard.run()

    assert run.books.delivered == 20
    assert len(sink.rows) == 40


async def test_clock_that_jumped_back_does_not_mix_up_what_went_where(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 20)
    await yard.run()
    await yard.chassis.database.execute("UPDATE runs SET queued_at = queued_at + interval '1 hour'")
    await yard.change_sync(object_name="friends")
    elsewhere = await yard.run()
    unchanged = await yard.run()
    await yard.change_sync(object_name="people")

    back = await yard.run()

    assert [run.books.delivered for run in (elsewhere, unchanged, back)] == [20, 0, 20]


async def test_rows_are_not_sent_again_because_other_things_of_a_sync_changed(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 20)
    await yard.run()
    await yard.change_sync(sync_mode=SyncMode.INSERT, source_query="SELECT id, email FROM people WHERE id <= 15")

    run = await yard.run()

    assert (run.books.skipped, run.books.kept) == (15, 5)
    assert len(sink.rows) == 20

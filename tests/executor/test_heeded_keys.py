"""A destination that heeds `Idempotency-Key` takes what is meant anew, though it be the same as something before."""

import pytest

from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tests.executor.sink import Sink
from tests.executor.yard import Yard

A, B = {"id": 1, "email": "a"}, {"id": 1, "email": "b"}


@pytest.fixture
def heeding(sink: Sink) -> Sink:
    sink.heeds_keys = True
    return sink


async def run_with(yard: Yard, *emails: str) -> None:
    """A run of a table with nothing but these, all under one id."""
    await yard.warehouse.execute("DELETE FROM people")
    await yard.warehouse.execute("INSERT INTO people SELECT 1, email FROM unnest($1::text[]) AS email", list(emails))
    await yard.run()


async def test_value_that_changed_back_arrives(yard: Yard, heeding: Sink) -> None:
    await run_with(yard, "a")
    await run_with(yard, "b")
    await run_with(yard, "a")

    assert heeding.rows == [A, B, A]


async def test_row_that_left_and_came_back_arrives(yard: Yard, heeding: Sink) -> None:
    await yard.change_sync(sync_mode=SyncMode.MIRROR, max_delete_ratio=1.0)
    await run_with(yard, "a")
    await run_with(yard)
    await run_with(yard, "a")

    assert heeding.rows == [A, {"id": 1}, A]


async def test_full_run_sends_what_was_sent_before(yard: Yard, heeding: Sink) -> None:
    await run_with(yard, "a")

    await yard.run(RunKind.FULL)

    assert heeding.rows == [A, A]


async def test_rows_that_are_alike_are_appended_as_often_as_they_are_there(yard: Yard, heeding: Sink) -> None:
    unkeyed = [mapping.model_copy(update={"key": False}) for mapping in yard.sync.definition.field_mappings]
    await yard.change_sync(sync_mode=SyncMode.APPEND, field_mappings=unkeyed)

    await run_with(yard, *["a"] * 45)

    assert (heeding.requests, heeding.rows) == (5, [A] * 45)


@pytest.mark.parametrize("mode", [SyncMode.UPSERT, SyncMode.INSERT])
async def test_replay_does_not_get_the_answer_to_what_was_refused(yard: Yard, heeding: Sink, mode: SyncMode) -> None:
    await yard.change_sync(sync_mode=mode)
    heeding.is_bad = lambda _: True
    await run_with(yard, "a")
    heeding.is_bad = lambda _: False

    run = await yard.replay()

    assert (run.books.delivered, heeding.rows) == (1, [A])


async def test_row_to_another_object_is_another_request(yard: Yard, heeding: Sink) -> None:
    await yard.change_sync(sync_mode=SyncMode.INSERT)
    await run_with(yard, "a")
    await yard.change_sync(sync_mode=SyncMode.INSERT, object_name="friends")

    await run_with(yard, "a")

    assert heeding.rows == [A, A]


async def test_insert_that_may_have_arrived_is_the_same_request_in_the_next_run(yard: Yard, heeding: Sink) -> None:
    await yard.change_sync(sync_mode=SyncMode.INSERT)
    await run_with(yard, "a")
    await yard.chassis.database.execute("DELETE FROM snapshot_pages")

    await run_with(yard, "a")

    assert heeding.rows == [A]

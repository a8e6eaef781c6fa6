"""Append: every row that a reading gives is sent once, for what it says."""

from collections.abc import Sequence

import pytest

from tailrace.core.batches import Batch
from tailrace.core.errors import BatchRefused, DestinationUnavailable
from tailrace.core.readings import CursorReading
from tailrace.core.rows import DELIVERED, Operation, RowOutcome, rejected
from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tests.pipeline.world import MemoryDestination, World, people

EVENTS: list[tuple[str | None, str]] = [("7", "click"), ("7", "click"), (None, "view"), ("8", "click"), ("7", "buy")]


def append(rows: list[tuple[str | None, str]], *, is_keyed: bool = False) -> World:
    return World(rows, mode=SyncMode.APPEND, is_keyed=is_keyed, window_rows=10)


def refuses_bad(batch: Batch) -> Sequence[RowOutcome]:
    """Rows whose name begins with bad are rejected."""
    return [rejected("BAD", "no") if b'"bad' in row.body else DELIVERED for row in batch.rows]


def spoils_whole(batch: Batch) -> Sequence[RowOutcome]:
    """A bad row spoils the batch, and the destination does not say which."""
    if any(b'"bad' in row.body for row in batch.rows):
        raise BatchRefused("one of them")
    return [DELIVERED] * len(batch.rows)


def is_down(_: Batch) -> Sequence[RowOutcome]:
    raise DestinationUnavailable("down")


async def test_rows_without_a_key_are_inserted_one_by_one_alike_or_not() -> None:
    world = append(EVENTS)

    books = await world.run()

    assert sorted(world.destination.events) == ["buy", "click", "click", "click", "view"]
    assert {batch.operation for batch in world.destination.requests} == {Operation.INSERT}
    assert (books.read, books.delivered, books.balance) == (5, 5, True)
    assert world.ledger.entries == {}


@pytest.mark.parametrize("kind", [RunKind.INCREMENTAL, RunKind.FULL])
async def test_every_run_sends_all_of_the_query_where_no_cursor_tells_what_is_new(kind: RunKind) -> None:
    world = append(EVENTS)
    await world.run()

    books = await world.run(kind)

    assert (books.delivered, len(world.destination.events)) == (5, 10)


async def test_same_rows_of_another_run_are_other_batches() -> None:
    world = append(people(5), is_keyed=True)
    await world.run()
    await world.run()

    first, second = world.destination.requests
    assert first.rows == second.rows
    assert first.idempotency_key != second.idempotency_key


async def test_parts_of_a_refused_batch_belong_to_their_run_too() -> None:
    world = append([("1", "good"), ("2", "bad")], is_keyed=True)
    world.destination.always = spoils_whole
    await world.run()
    await world.run()

    keys = [batch.idempotency_key for batch in world.destination.requests]
    assert len(keys) == len(set(keys)) == 6


@pytest.mark.parametrize("is_keyed", [True, False])
async def test_interrupted_run_goes_on_with_the_same_batches(is_keyed: bool) -> None:  # noqa: FBT001 - a parameter
    rows = [*people(60), *([] if is_keyed else [("0007", "name 7")] * 25)]
    world, whole = append(rows, is_keyed=is_keyed), append(rows, is_keyed=is_keyed)
    await whole.run()
    world.destination.answers = [lambda batch: [DELIVERED] * len(batch.rows)] * 3
    world.destination.always = is_down

    with pytest.raises(DestinationUnavailable):
        await world.run()
    world.destination.always = None
    books = await world.run(resume=True)

    assert (books.read, books.delivered) == (len(rows), len(rows))
    assert sorted(world.destination.events) == sorted(whole.destination.events)
    assert {batch.idempotency_key for batch in world.destination.requests} == {
        batch.idempotency_key for batch in whole.destination.requests
    }


async def test_replay_sends_what_was_refused_whatever_the_query_gives_now() -> None:
    world = append([("1", "bad 1"), ("2", "good"), ("3", "bad 3")], is_keyed=True)
    world.destination.always = refuses_bad
    await world.run()
    world.destination.always = None
    world.rows = [("1", "changed")]

    books = await world.run(RunKind.REPLAY, only=["1", "3"])

    assert sorted(world.destination.events) == ["bad 1", "bad 3", "good"]
    assert (books.read, books.delivered, world.ledger.letters) == (2, 2, {})


async def test_refused_versions_of_a_row_have_a_letter_each() -> None:
    world = append([("1", "bad @1")], is_keyed=True)
    world.reading = CursorReading(type="cursor", column="at", look_back_s=0)
    world.destination.always = refuses_bad
    await world.run()
    world.rows = [("1", "bad @2")]

    await world.run()

    assert sorted(letter.payload for letter in world.ledger.letters.values()) == [
        b'{"id":"1","name":"bad @1"}',
        b'{"id":"1","name":"bad @2"}',
    ]


async def test_refused_row_that_a_later_run_delivers_needs_no_letter_any_more() -> None:
    world = append([("1", "bad"), ("2", "bad")], is_keyed=True)
    world.destination.always = refuses_bad
    await world.run()
    world.destination.always = None

    await world.run()

    assert world.ledger.letters == {}


async def test_only_new_rows_are_sent_where_a_cursor_tells_them() -> None:
    world = append([(None, "a@1"), (None, "b@2"), (None, "b@2")])
    world.reading = CursorReading(type="cursor", column="at", look_back_s=10)
    await world.run()
    world.rows = [*world.rows, (None, "late@1"), (None, "c@3")]

    books = await world.run()

    assert world.destination.events == ["a@1", "b@2", "b@2", "late@1", "c@3"]
    assert books.reasons == {"change.added": 2, "skipped.UNCHANGED": 3}


async def test_row_of_rows_that_are_alike_is_cut_into_batches_of_the_size_asked_for() -> None:
    world = World([("1", "same")] * 35, MemoryDestination(), mode=SyncMode.APPEND, is_keyed=False)

    await world.run()

    assert [len(batch.rows) for batch in world.destination.requests] == [10, 10, 10, 5]

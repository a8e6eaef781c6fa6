"""The walk of a row from end to end: what is sent, what is kept, what is told."""

from collections.abc import Sequence
from itertools import accumulate

import orjson
import pytest

from tailrace.core.batches import Batch
from tailrace.core.errors import BatchRefused
from tailrace.core.rows import DELIVERED, RowKey, RowOutcome, rejected
from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tests.pipeline.world import MemoryDestination, World, name_in, people

BAD = rejected("DESTINATION_VALIDATION", "no such name")


def refuses_bad(batch: Batch) -> Sequence[RowOutcome]:
    """Rows named bad are rejected one by one."""
    return [BAD if name_in(row) == "bad" else DELIVERED for row in batch.rows]


def refuses_whole(batch: Batch) -> Sequence[RowOutcome]:
    """One bad row spoils the batch, and the destination does not say which."""
    if any(name_in(row) == "bad" for row in batch.rows):
        raise BatchRefused("something in there is bad")
    return [DELIVERED] * len(batch.rows)


async def test_first_run_delivers_every_row_once() -> None:
    world = World(people(95))

    books = await world.run()

    assert (books.read, books.delivered, books.reasons) == (95, 95, {"change.added": 95})
    assert len(world.destination.applied) == 95
    assert world.destination.holds[RowKey(("0003",))] == b'{"id":"0003","name":"name 3"}'
    assert books.balance


async def test_second_run_sends_only_what_changed_and_sees_what_is_gone() -> None:
    world = World(people(40))
    await world.run()
    world.destination.applied.clear()
    world.rows = [*people(40)[5:-1], ("0007x", "new"), ("0039", "renamed")]

    books = await world.run()

    assert sorted(name_in(row) for row in world.destination.applied) == ["new", "renamed"]
    assert (books.read, books.delivered, books.skipped, books.removed, books.kept) == (36, 2, 34, 5, 5)
    assert books.reasons == {
        "change.added": 1,
        "change.changed": 1,
        "change.removed": 5,
        "skipped.UNCHANGED": 34,
    }
    assert books.balance


async def test_run_without_changes_sends_nothing() -> None:
    world = World(people(20))
    await world.run()
    sent = len(world.destination.requests)

    books = await world.run()

    assert len(world.destination.requests) == sent
    assert (books.read, books.skipped) == (20, 20)


async def test_full_run_sends_every_row_again() -> None:
    world = World(people(20))
    await world.run()

    books = await world.run(RunKind.FULL)

    assert (books.delivered, len(world.destination.applied)) == (20, 40)


async def test_row_that_comes_back_is_delivered_again() -> None:
    world = World(people(3))
    await world.run()
    world.rows = people(2)
    await world.run()
    world.rows = people(3)

    books = await world.run()

    assert books.reasons["change.added"] == 1


@pytest.mark.parametrize("refuses", [refuses_bad, refuses_whole], ids=["row by row", "whole batch"])
async def test_exactly_the_bad_rows_become_dead_letters(refuses: object) -> None:
    world = World(people(50), MemoryDestination(always=refuses))  # type: ignore[arg-type] # either has its type
    world.rows[7] = ("0007", "bad")
    world.rows[33] = ("0033", "bad")

    books = await world.run()

    letters = sorted(world.ledger.letters.values(), key=lambda letter: letter.row_key or ())
    assert [letter.record_keys for letter in letters] == [{"id": "0007"}, {"id": "0033"}]
    assert {letter.error_code for letter in letters} == {"DESTINATION_VALIDATION"}
    assert (books.delivered, books.rejected, books.balance) == (48, 2, True)
    assert len(world.destination.applied) == 48


async def test_dead_row_stays_out_while_it_is_unchanged_and_its_letter_is_open() -> None:
    world = World([("1", "good"), ("2", "bad")], MemoryDestination(always=refuses_bad))
    await world.run()
    sent = len(world.destination.requests)

    books = await world.run()

    assert len(world.destination.requests) == sent
    assert books.reasons == {"skipped.UNCHANGED": 1, "skipped.STILL_DEAD": 1}


async def test_dead_row_is_tried_again_when_it_changed() -> None:
    world = World([("1", "bad")], MemoryDestination(always=refuses_bad))
    await world.run()
    world.rows = [("1", "mended")]

    books = await world.run()

    assert (books.delivered, world.ledger.letters) == (1, {})


async def test_dead_row_is_tried_again_when_its_letter_was_resolved() -> None:
    world = World([("1", "bad")], MemoryDestination(always=refuses_bad))
    await world.run()
    world.ledger.letters.clear()
    world.destination.always = None

    books = await world.run()

    assert books.delivered == 1


async def test_replay_reads_only_its_rows_and_clears_their_letters() -> None:
    world = World([("1", "good"), ("2", "bad"), ("3", "bad")], MemoryDestination(always=refuses_bad))
    await world.run()
    world.destination.always = None
    world.destination.applied.clear()

    books = await world.run(RunKind.REPLAY, only=["2"])

    assert [row.key for row in world.destination.applied] == [("2",)]
    assert [letter.row_key for letter in world.ledger.letters.values()] == [("3",)]
    assert (books.read, books.delivered) == (1, 1)


async def test_changed_row_that_is_rejected_leaves_the_version_before_in_the_snapshot() -> None:
    world = World([("1", "good")], MemoryDestination(always=refuses_bad))
    await world.run()
    world.rows = [("1", "bad")]
    await world.run()
    world.rows = [("1", "good")]

    books = await world.run()

    assert books.reasons == {"skipped.UNCHANGED": 1}
    assert world.ledger.letters == {}


async def test_rows_without_key_and_further_rows_of_a_key_are_kept_with_their_reason() -> None:
    world = World([(None, "x"), ("1", "first"), (None, "x"), ("1", "second"), ("2", "two"), ("1", "third")])

    books = await world.run()

    assert (books.read, books.delivered, books.rejected, books.balance) == (6, 2, 4, True)
    assert books.reasons == {"change.added": 2, "rejected.NULL_KEY": 2, "rejected.DUPLICATE_KEY": 2}
    assert len(world.ledger.letters) == 4


async def test_rows_of_one_key_are_never_parted_by_a_checkpoint() -> None:
    rows: list[tuple[str | None, str]] = [("a", "1"), *(("b", str(number)) for number in range(30)), ("c", "3")]
    world = World(rows, MemoryDestination(rows_per_batch=1), window_rows=1)

    books = await world.run()

    positions = [settlement.position.after for settlement in world.ledger.settlements]
    read = accumulate(settlement.books.read for settlement in world.ledger.settlements)
    assert set(zip(positions, read, strict=True)) <= {(("a",), 1), (("b",), 31), (("c",), 32)}
    assert (books.delivered, books.rejected) == (3, 29)


async def test_row_larger_than_a_batch_may_be_is_a_dead_letter() -> None:
    world = World([("1", "x" * 300), ("2", "small")], MemoryDestination(bytes_per_batch=200))

    books = await world.run()

    assert books.reasons == {"change.added": 1, "rejected.ROW_TOO_LARGE": 1}


async def test_batches_stay_within_rows_and_bytes() -> None:
    world = World(people(100), MemoryDestination(rows_per_batch=10, bytes_per_batch=150))

    await world.run()

    sizes = [sum(len(row.body) for row in batch.rows) for batch in world.destination.requests]
    assert max(sizes) <= 150
    assert max(len(batch.rows) for batch in world.destination.requests) <= 10


async def test_insert_mode_inserts_new_rows_and_leaves_changed_ones() -> None:
    world = World([("1", "one"), ("2", "two")], mode=SyncMode.INSERT)
    await world.run()
    world.rows = [("1", "changed"), ("2", "two"), ("3", "three")]

    books = await world.run()

    assert books.reasons == {"change.added": 1, "skipped.NOT_IN_MODE": 1, "skipped.UNCHANGED": 1}


async def test_delete_mode_deletes_the_rows_of_the_query_once() -> None:
    world = World([("1", "one")], mode=SyncMode.DELETE)
    world.destination.holds = {RowKey(("1",)): b"", RowKey(("2",)): b""}

    books = await world.run()
    again = await world.run()

    assert (books.delivered, list(world.destination.holds)) == (1, [("2",)])
    assert again.skipped == 1


async def test_dead_letter_carries_the_very_bytes_that_would_have_been_sent() -> None:
    world = World([("1", "bad")], MemoryDestination(always=refuses_bad))

    await world.run()

    (letter,) = world.ledger.letters.values()
    assert orjson.loads(letter.payload) == {"id": "1", "name": "bad"}


async def test_codes_of_a_chatty_destination_are_kept_short_and_few() -> None:
    world = World(people(300), MemoryDestination(always=_gives_each_row_a_code))

    books = await world.run()

    assert books.rejected == 150
    assert sum(count for reason, count in books.reasons.items() if reason.startswith("rejected.")) == 150
    assert len(books.reasons) <= 102
    assert max(len(letter.error_code) for letter in world.ledger.letters.values()) == 64


def _gives_each_row_a_code(batch: Batch) -> Sequence[RowOutcome]:
    return [
        rejected(f"code of {row.key[0]}: " + "é" * 100 + row.key[0] * 50, "no") if int(row.key[0]) % 2 else DELIVERED
        for row in batch.rows
    ]


async def test_many_rows_without_a_key_are_written_down_some_at_a_time() -> None:
    world = World([(None, str(number)) for number in range(30_000)])

    books = await world.run()

    assert books.rejected == 30_000
    assert max(len(settlement.letters) for settlement in world.ledger.settlements) < 10_000

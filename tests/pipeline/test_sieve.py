"""Rows whose hash is known are not read, and all ends as if every row had been."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.core.batches import Batch
from tailrace.core.errors import TailraceError
from tailrace.core.rows import DELIVERED, UNKNOWN_SOURCE, Operation, RowOutcome, rejected
from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tests.pipeline.hashing_warehouse import HashingWarehouse
from tests.pipeline.hashing_world import lined, world_of
from tests.pipeline.world import World, people

Table = list[tuple[str | None, str]]

names = st.sampled_from(["ann", "bob", "bad", "eve"])
keys = st.none() | st.sampled_from([*(f"k{number}" for number in range(30)), "7", "x" * 1100])
tables = st.lists(st.tuples(keys, names), max_size=25)
modes = st.sampled_from([SyncMode.UPSERT, SyncMode.MIRROR, SyncMode.UPDATE, SyncMode.INSERT, SyncMode.DELETE])
kinds = st.sampled_from([*[RunKind.INCREMENTAL] * 4, RunKind.FULL])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(tables, kinds), min_size=2, max_size=4),
    modes,
    st.sets(st.integers(1, 30), max_size=6),
    st.integers(0, 12),
    st.sampled_from([2, 100, 100]),
)
async def test_run_by_hashes_comes_to_the_same_as_one_that_reads_all_rows(
    versions: list[tuple[Table, RunKind]], mode: SyncMode, away: set[int], rows_per_text: int, texts_held: int
) -> None:
    by_hashes, whole = world_of(mode, away, lined(rows_per_text, texts_held)), world_of(mode, away)

    for rows, kind in versions:
        by_hashes.rows = whole.rows = rows
        await _run_to_end(by_hashes, kind)
        await _run_to_end(whole, kind)

        assert _state(by_hashes) == _state(whole)


async def test_unchanged_rows_are_not_read() -> None:
    warehouse = HashingWarehouse([])
    world = world_of(SyncMode.MIRROR, set(), warehouse)
    world.rows = people(200)
    await world.run()
    world.rows = [*people(100), ("0100", "changed"), *people(200)[102:], ("0200", "added")]

    first, warehouse.read_whole = warehouse.read_whole, 0
    books = await world.run()

    assert (first, warehouse.fetched, warehouse.read_whole) == (200, 2, 0)
    assert (books.read, books.delivered, books.skipped, books.deleted) == (200, 2, 198, 1)


async def test_rows_are_read_again_and_sent_where_they_are_mapped_in_another_way() -> None:
    warehouse = HashingWarehouse([])
    world = world_of(SyncMode.UPSERT, set(), warehouse)
    world.rows = people(20)
    await world.run()

    world.has_more = True
    changed, read_for_it = await world.run(), warehouse.fetched
    again, read_again = await world.run(), warehouse.fetched

    assert (changed.delivered, read_for_it) == (20, 20)
    assert (again.delivered, again.skipped, read_again) == (0, 20, 20)


async def test_what_the_warehouse_hashes_in_another_way_is_learnt_without_sending_a_row() -> None:
    warehouse = HashingWarehouse([])
    world = world_of(SyncMode.UPSERT, set(), warehouse)
    world.rows = people(20)
    await world.run()
    warehouse.name_of_hash = "memory-2"

    learning = await world.run()
    fetched, warehouse.fetched = warehouse.fetched, 0
    after = await world.run()

    assert (learning.delivered, fetched) == (0, 20)
    assert (after.skipped, warehouse.fetched) == (20, 0)


@pytest.mark.parametrize("rows_per_text", [0, 10])
async def test_row_that_comes_back_before_it_could_be_deleted_is_read_and_sent(rows_per_text: int) -> None:
    world = world_of(SyncMode.MIRROR, set(), lined(rows_per_text))
    world.destination.always = _keeps_all
    world.rows = people(20)
    await world.run()
    world.rows = people(20)[:-1]
    without_it = await world.run()
    world.rows = people(20)

    books = await world.run()

    assert (without_it.removed, without_it.deleted, books.delivered) == (1, 0, 1)
    assert world.destination.applied[-1].body == b'{"id":"0019","name":"name 19"}'


async def test_rows_are_all_read_where_more_than_some_have_changed() -> None:
    warehouse = HashingWarehouse([])
    warehouse.rows_per_block = 150
    world = world_of(SyncMode.UPSERT, set(), warehouse)
    world.rows = people(400)
    await world.run()
    world.rows = [*people(150), *((key, "changed") for key, _ in people(300)[150:]), *people(400)[300:]]

    warehouse.read_whole = 0
    books = await world.run()

    # The last row of a block waits for others of its key.
    assert (warehouse.fetched, warehouse.read_whole) == (0, 251)
    assert (books.read, books.delivered, books.skipped) == (400, 150, 250)


async def test_rows_behind_an_empty_block_of_hashes_are_read_whole() -> None:
    warehouse = HashingWarehouse([])
    world = world_of(SyncMode.MIRROR, set(), warehouse)
    world.rows = people(30)
    await world.run()
    world.rows = [(key, "changed" if key in {"0003", "0025"} else name) for key, name in people(30) if key != "0021"]
    warehouse.texts_held, warehouse.read_whole = 2, 0

    books = await world.run()

    assert (warehouse.fetched, warehouse.read_whole) == (1, 19)
    assert (books.delivered, books.deleted, books.skipped) == (2, 1, 27)


@pytest.mark.parametrize("rows_per_text", [0, 10])
async def test_query_that_gives_other_rows_each_time_is_read_whole(rows_per_text: int) -> None:
    warehouse = lined(rows_per_text)
    warehouse.gives_others = True
    world = world_of(SyncMode.MIRROR, set(), warehouse)
    world.rows = people(30)
    await world.run()
    world.rows = [(key, name.replace("7", "seven")) for key, name in world.rows]

    books = await world.run()

    assert (books.read, books.delivered, books.removed) == (30, 3, 0)


async def test_rows_that_cannot_be_found_quickly_are_all_read() -> None:
    warehouse = HashingWarehouse([])
    warehouse.is_quick = False
    world = world_of(SyncMode.UPSERT, set(), warehouse)
    world.rows = people(30)
    await world.run()

    warehouse.read_whole = 0
    books = await world.run()

    assert (warehouse.fetched, warehouse.read_whole, books.skipped) == (0, 30, 30)


def _keeps_all(batch: Batch) -> list[RowOutcome]:
    """Refuses to delete."""
    return [rejected("KEPT", "no") if batch.operation is Operation.DELETE else DELIVERED for _ in batch.rows]


async def _run_to_end(world: World, kind: RunKind) -> None:
    is_resumed = False
    while True:
        try:
            await world.run(kind, resume=is_resumed)
        except TailraceError:
            is_resumed = True
        else:
            return


def _state(world: World) -> tuple[object, ...]:
    """What was sent, what of it arrived, and all that is kept, but for the warehouse's hashes."""
    ledger = world.ledger
    sent = [(batch.operation, batch.idempotency_key) for batch in world.destination.requests]
    entries = {key: entry._replace(source=UNKNOWN_SOURCE) for key, entry in ledger.entries.items()}
    return sent, world.destination.holds, ledger.books, ledger.letters, entries, ledger.position

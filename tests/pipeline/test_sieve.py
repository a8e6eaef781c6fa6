"""Rows whose hash is known are not read, and all ends as if every row had been."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.core.batches import Batch
from tailrace.core.errors import DestinationUnavailable, SourceInvalid, TailraceError
from tailrace.core.policies import DeliveryPolicy
from tailrace.core.readings import VersionReading
from tailrace.core.rows import DELIVERED, UNKNOWN_SOURCE, Operation, RowOutcome, rejected
from tailrace.core.runs import RunKind
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tests.pipeline.hashing_warehouse import HashingWarehouse
from tests.pipeline.world import MemoryDestination, World, people

Table = list[tuple[str | None, str]]

names = st.sampled_from(["ann", "bob", "bad", "eve"])
keys = st.none() | st.sampled_from([*(f"k{number}" for number in range(30)), "7", "x" * 1100])
tables = st.lists(st.tuples(keys, names), max_size=25)
modes = st.sampled_from([SyncMode.UPSERT, SyncMode.MIRROR, SyncMode.UPDATE, SyncMode.INSERT, SyncMode.DELETE])
kinds = st.sampled_from([*[RunKind.INCREMENTAL] * 4, RunKind.FULL])


@dataclass
class Mood:
    """Refuses rows named bad, and is away for some requests, by their number."""

    away: set[int]
    asked: int = field(default=0)

    def __call__(self, batch: Batch) -> list[RowOutcome]:
        self.asked += 1
        if self.asked in self.away:
            raise DestinationUnavailable("away")
        return [rejected("BAD", "bad name") if b'"bad"' in row.body else DELIVERED for row in batch.rows]


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
    by_hashes, whole = _world(mode, away, _lined(rows_per_text, texts_held)), _world(mode, away)

    for rows, kind in versions:
        by_hashes.rows = whole.rows = rows
        await _run_to_end(by_hashes, kind)
        await _run_to_end(whole, kind)

        assert _state(by_hashes) == _state(whole)


async def test_unchanged_rows_are_not_read() -> None:
    warehouse = HashingWarehouse([])
    world = _world(SyncMode.MIRROR, set(), warehouse)
    world.rows = people(200)
    await world.run()
    world.rows = [*people(100), ("0100", "changed"), *people(200)[102:], ("0200", "added")]

    first, warehouse.read_whole = warehouse.read_whole, 0
    books = await world.run()

    assert (first, warehouse.fetched, warehouse.read_whole) == (200, 2, 0)
    assert (books.read, books.delivered, books.skipped, books.deleted) == (200, 2, 198, 1)


async def test_rows_are_read_again_and_sent_where_they_are_mapped_in_another_way() -> None:
    warehouse = HashingWarehouse([])
    world = _world(SyncMode.UPSERT, set(), warehouse)
    world.rows = people(20)
    await world.run()

    world.has_more = True
    changed, read_for_it = await world.run(), warehouse.fetched
    again, read_again = await world.run(), warehouse.fetched

    assert (changed.delivered, read_for_it) == (20, 20)
    assert (again.delivered, again.skipped, read_again) == (0, 20, 20)


async def test_what_the_warehouse_hashes_in_another_way_is_learnt_without_sending_a_row() -> None:
    warehouse = HashingWarehouse([])
    world = _world(SyncMode.UPSERT, set(), warehouse)
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
    world = _world(SyncMode.MIRROR, set(), _lined(rows_per_text))
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
    world = _world(SyncMode.UPSERT, set(), warehouse)
    world.rows = people(400)
    await world.run()
    world.rows = [*people(150), *((key, "changed") for key, _ in people(300)[150:]), *people(400)[300:]]

    warehouse.read_whole = 0
    books = await world.run()

    # The last row of a block waits for others of its key.
    assert (warehouse.fetched, warehouse.read_whole) == (0, 251)
    assert (books.read, books.delivered, books.skipped) == (400, 150, 250)


@pytest.mark.parametrize("rows_per_text", [0, 10])
async def test_query_that_gives_other_rows_each_time_is_read_whole(rows_per_text: int) -> None:
    warehouse = _lined(rows_per_text)
    warehouse.gives_others = True
    world = _world(SyncMode.MIRROR, set(), warehouse)
    world.rows = people(30)
    await world.run()
    world.rows = [(key, name.replace("7", "seven")) for key, name in world.rows]

    books = await world.run()

    assert (books.read, books.delivered, books.removed) == (30, 3, 0)


async def test_rows_that_cannot_be_found_quickly_are_all_read() -> None:
    warehouse = HashingWarehouse([])
    warehouse.is_quick = False
    world = _world(SyncMode.UPSERT, set(), warehouse)
    world.rows = people(30)
    await world.run()

    warehouse.read_whole = 0
    books = await world.run()

    assert (warehouse.fetched, warehouse.read_whole, books.skipped) == (0, 30, 30)


@pytest.mark.parametrize("rows_per_text", [7, 100, 1000])
async def test_lines_are_compared_and_only_rows_that_are_not_as_they_are_known_are_read(rows_per_text: int) -> None:
    warehouse = _lined(rows_per_text)
    world = _world(SyncMode.MIRROR, set(), warehouse)
    world.rows = people(300)
    await world.run()
    rows = dict(people(300))
    del rows["0004"], rows["0299"]
    world.rows = [*(rows | {"0007": "changed", "0008": "changed", "0100a": "added", "0999": "added"}).items()]

    first, warehouse.read_whole = warehouse.read_whole, 0
    books = await world.run()

    # Behind the last text all that is left is new: nothing is known there.
    assert (first, warehouse.fetched, warehouse.read_whole) == (300, 4, 0)
    assert (books.read, books.delivered, books.skipped, books.deleted) == (300, 4, 296, 2)


async def test_text_of_which_many_lines_changed_is_read_whole_and_the_others_are_not() -> None:
    warehouse = _lined(148)
    world = _world(SyncMode.MIRROR, set(), warehouse)
    world.rows = people(450)
    await world.run()
    changed = [(key, "changed") for key, _ in people(290)[160:]]
    world.rows = [*people(3), *people(160)[4:], *changed, *people(449)[290:], ("0449", "renamed")]

    warehouse.read_whole = 0
    books = await world.run()

    # The second text ends within a page of seven, and the third goes on there.
    assert (warehouse.fetched, warehouse.read_whole) == (1, 148)
    assert (books.read, books.delivered, books.skipped, books.deleted) == (449, 131, 318, 1)


async def test_rows_that_had_lines_and_are_gone_when_all_are_read_are_gone_and_no_others() -> None:
    warehouse = _lined(150)
    world = _world(SyncMode.MIRROR, set(), warehouse)
    world.rows = people(400)
    await world.run()
    world.rows = [*people(10), *((key, "changed") for key, _ in people(140)[10:]), *people(400)[140:]]
    warehouse.expired = frozenset(f"0{number}" for number in range(141, 150))

    books = await world.run()

    assert (books.read, books.delivered, books.deleted) == (391, 130, 9)
    assert sorted(key for [key] in world.ledger.entries) == [
        key for key, _ in people(400) if key not in warehouse.expired
    ]


async def test_few_of_the_rows_that_are_read_by_their_keys_are_held_at_once() -> None:
    warehouse = _lined(20_000)
    world = _world(SyncMode.UPSERT, set(), warehouse)
    world.rows = people(9_000)
    await world.run()
    world.rows = [(f"{number:04}", "changed" if number % 10 == 7 else f"name {number}") for number in range(8_000)]

    books = await world.run()

    assert (books.delivered, warehouse.fetched) == (800, 800)
    assert warehouse.most_fetched < 520


async def test_all_that_is_left_is_read_whole_behind_many_texts_that_were() -> None:
    warehouse = _lined(110)
    world = _world(SyncMode.UPSERT, set(), warehouse)
    world.rows = people(1400)
    await world.run()
    world.rows = [*((key, "changed") for key, _ in people(880)), *people(1400)[880:]]

    warehouse.read_whole = 0
    books = await world.run()

    assert (warehouse.fetched, warehouse.read_whole) == (0, 1400)
    assert (books.delivered, books.skipped) == (880, 520)


async def test_second_row_of_the_last_key_of_a_page_is_a_duplicate() -> None:
    world = _world(SyncMode.UPSERT, set(), _lined(100))
    world.rows = people(20)
    await world.run()
    # A page has seven rows.
    world.rows = [*people(7), ("0006", "other"), *people(20)[7:]]

    books = await world.run()

    assert (books.rejected, books.reasons["rejected.DUPLICATE_KEY"], books.skipped) == (1, 1, 20)


async def test_letters_of_a_page_are_asked_for_at_one_go() -> None:
    warehouse = _lined(100)
    world = _world(SyncMode.UPSERT, set(), warehouse)
    world.rows = [(key, "bad" if number % 5 == 0 else name) for number, (key, name) in enumerate(people(60))]
    await world.run()

    asked = world.ledger.times_asked
    books = await world.run()

    assert (books.skipped, books.reasons["skipped.STILL_DEAD"], warehouse.fetched) == (60, 12, 12)
    # A page has seven rows, and eight of the nine have letters.
    assert world.ledger.times_asked == asked + 8


async def test_row_of_another_version_that_is_the_same_is_read_once_and_not_sent() -> None:
    warehouse = _lined(100)
    world = _world(SyncMode.UPSERT, set(), warehouse)
    world.sends_name, world.reading = False, VersionReading(type="version", column="at")
    world.rows = [(f"{number:04}", "ann @1") for number in range(200)]
    await world.run()
    world.rows[:20] = [(f"{number:04}", "ann @2") for number in range(20)]
    world.rows[50] = ("0050", "renamed @1")

    touched, fetched = await world.run(), warehouse.fetched
    again = await world.run()

    assert (touched.delivered, touched.skipped, fetched) == (0, 200, 20)
    assert (again.delivered, again.skipped, warehouse.fetched) == (0, 200, 20)


async def test_rows_of_a_warehouse_that_compares_nothing_are_all_read_whatever_their_version() -> None:
    world = _world(SyncMode.UPSERT, set())
    world.reading = VersionReading(type="version", column="at")
    world.rows = [(key, f"{name} @1") for key, name in people(20)]
    await world.run()
    world.rows[3] = ("0003", "changed @1")

    books = await world.run()

    assert (books.delivered, books.skipped) == (1, 19)


async def test_column_of_versions_has_to_be_there() -> None:
    world = _world(SyncMode.UPSERT, set(), _lined(100))
    world.reading = VersionReading(type="version", column="version")
    world.rows = people(3)

    with pytest.raises(SourceInvalid, match="no column 'version' for the version of a row; it has: id, name, at") as no:
        await world.run()

    assert no.value.code == "VERSION_COLUMN_MISSING"


def _keeps_all(batch: Batch) -> list[RowOutcome]:
    """Refuses to delete."""
    return [rejected("KEPT", "no") if batch.operation is Operation.DELETE else DELIVERED for _ in batch.rows]


class _World(World):
    """Batches go one by one, so that the same happens each time."""

    has_more = False
    sends_name = True

    @property
    def definition(self) -> SyncDefinition:
        whole = super().definition
        fields = whole.field_mappings if self.sends_name else whole.field_mappings[:1]
        more = (FieldMapping(value="x", destination="more"),) if self.has_more else ()
        return whole.model_copy(update={"field_mappings": (*fields, *more)})


def _lined(rows_per_text: int, texts_held: int = 100) -> HashingWarehouse:
    """A warehouse that gives hashes as lines of text."""
    warehouse = HashingWarehouse([])
    warehouse.rows_per_text, warehouse.texts_held = rows_per_text, texts_held
    return warehouse


def _world(mode: SyncMode, away: set[int], warehouse: HashingWarehouse | None = None) -> _World:
    destination = MemoryDestination(rows_per_batch=4, bytes_per_batch=150, always=Mood(set(away)))
    world = _World([], destination, mode, policy=DeliveryPolicy(strict=True), max_delete_ratio=1.0)
    world.warehouse = warehouse or world.warehouse
    return world


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

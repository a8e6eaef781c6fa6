"""Hashes that come as lines of text: only rows that are not as they are known are read."""

import pytest

from tailrace.connector_kit.compiled import COPY_CELLS
from tailrace.core.errors import SourceInvalid
from tailrace.core.readings import VersionReading
from tailrace.core.syncs import SyncMode
from tests.pipeline.hashing_world import lined, world_of
from tests.pipeline.world import people

pytestmark = pytest.mark.skipif(COPY_CELLS is None, reason="no C compiler was here when Tailrace was installed")


@pytest.mark.parametrize("rows_per_text", [7, 100, 1000])
async def test_lines_are_compared_and_only_rows_that_are_not_as_they_are_known_are_read(rows_per_text: int) -> None:
    warehouse = lined(rows_per_text)
    world = world_of(SyncMode.MIRROR, set(), warehouse)
    world.rows = people(300)
    await world.run()
    rows = dict(people(300))
    del rows["0004"], rows["0299"]
    world.rows = [*(rows | {"0007": "changed", "0008": "changed", "0100a": "added", "0999": "added"}).items()]

    first, warehouse.read_whole = warehouse.read_whole, 0
    books = await world.run()

    assert (first, warehouse.fetched, warehouse.read_whole) == (300, 4, 0)
    assert (books.read, books.delivered, books.skipped, books.deleted) == (300, 4, 296, 2)


async def test_text_of_which_many_lines_changed_is_read_whole_and_the_others_are_not() -> None:
    warehouse = lined(148)
    world = world_of(SyncMode.MIRROR, set(), warehouse)
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
    warehouse = lined(150)
    world = world_of(SyncMode.MIRROR, set(), warehouse)
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
    warehouse = lined(20_000)
    world = world_of(SyncMode.UPSERT, set(), warehouse)
    world.rows = people(9_000)
    await world.run()
    world.rows = [(f"{number:04}", "changed" if number % 10 == 7 else f"name {number}") for number in range(8_000)]

    books = await world.run()

    assert (books.delivered, warehouse.fetched) == (800, 800)
    assert warehouse.most_fetched < 520


async def test_all_that_is_left_is_read_whole_behind_many_texts_that_were() -> None:
    warehouse = lined(110)
    world = world_of(SyncMode.UPSERT, set(), warehouse)
    world.rows = people(1400)
    await world.run()
    world.rows = [*((key, "changed") for key, _ in people(880)), *people(1400)[880:]]

    warehouse.read_whole = 0
    books = await world.run()

    assert (warehouse.fetched, warehouse.read_whole) == (0, 1400)
    assert (books.delivered, books.skipped) == (880, 520)


async def test_second_row_of_the_last_key_of_a_page_is_a_duplicate() -> None:
    world = world_of(SyncMode.UPSERT, set(), lined(100))
    world.rows = people(20)
    await world.run()
    # A page has seven rows.
    world.rows = [*people(7), ("0006", "other"), *people(20)[7:]]

    books = await world.run()

    assert (books.rejected, books.reasons["rejected.DUPLICATE_KEY"], books.skipped) == (1, 1, 20)


async def test_letters_of_a_page_are_asked_for_at_one_go() -> None:
    warehouse = lined(100)
    world = world_of(SyncMode.UPSERT, set(), warehouse)
    world.rows = [(key, "bad" if number % 5 == 0 else name) for number, (key, name) in enumerate(people(60))]
    await world.run()

    asked = world.ledger.times_asked
    books = await world.run()

    assert (books.skipped, books.reasons["skipped.STILL_DEAD"], warehouse.fetched) == (60, 12, 12)
    # A page has seven rows, and eight of the nine have letters.
    assert world.ledger.times_asked == asked + 8


async def test_row_of_another_version_that_is_the_same_is_read_once_and_not_sent() -> None:
    warehouse = lined(100)
    world = world_of(SyncMode.UPSERT, set(), warehouse)
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
    world = world_of(SyncMode.UPSERT, set())
    world.reading = VersionReading(type="version", column="at")
    world.rows = [(key, f"{name} @1") for key, name in people(20)]
    await world.run()
    world.rows[3] = ("0003", "changed @1")

    books = await world.run()

    assert (books.delivered, books.skipped) == (1, 19)


async def test_column_of_versions_has_to_be_there() -> None:
    world = world_of(SyncMode.UPSERT, set(), lined(100))
    world.reading = VersionReading(type="version", column="version")
    world.rows = people(3)

    with pytest.raises(SourceInvalid, match="no column 'version' for the version of a row; it has: id, name, at") as no:
        await world.run()

    assert no.value.code == "VERSION_COLUMN_MISSING"

"""A key that is only written in another way is the same key to most destinations: a mirror keeps its record."""

import pytest

from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tests.executor.sink import Sink
from tests.executor.yard import Yard

REWRITTEN = pytest.mark.parametrize(
    ("kind", "before", "change"),
    [
        ("numeric", "1.0", "UPDATE people SET k = 1.00"),
        ("numeric", "7", "ALTER TABLE people ALTER k TYPE numeric(10,2)"),
        ("float8", "'-0'", "UPDATE people SET k = 0"),
        ("jsonb", "'1.0'", "UPDATE people SET k = '1.00'"),
    ],
)


async def mirror(yard: Yard, kind: str) -> None:
    await yard.warehouse.execute(f"ALTER TABLE people ADD k {kind}")
    mappings = [{"source": "k", "destination": "k", "key": True}, {"source": "email", "destination": "email"}]
    query = "SELECT k, email FROM people"
    await yard.change_sync(source_query=query, field_mappings=mappings, sync_mode=SyncMode.MIRROR, max_delete_ratio=1.0)


@REWRITTEN
async def test_record_of_a_key_that_is_written_in_another_way_is_kept(
    yard: Yard, sink: Sink, kind: str, before: str, change: str
) -> None:
    await mirror(yard, kind)
    await yard.warehouse.execute(f"INSERT INTO people VALUES (1, 'a', {before})")
    await yard.run()
    await yard.warehouse.execute(change)

    run, after = await yard.run(), await yard.run()

    assert [row for row in sink.rows if "email" not in row] == []
    assert (run.books.deleted, after.books.deleted, after.books.skipped) == (0, 0, 1)


async def test_two_rows_with_one_number_as_their_key_are_told_apart(yard: Yard, sink: Sink) -> None:
    await mirror(yard, "numeric")
    await yard.warehouse.execute("INSERT INTO people VALUES (1, 'a', 1.0), (2, 'b', 1.00), (3, 'c', 2)")

    run = await yard.run(RunKind.FULL)

    assert run.books.reasons["rejected.DUPLICATE_MAPPED_KEY"] == 1
    assert sorted(row["email"] for row in sink.rows) == ["a", "c"]


async def test_row_that_left_is_deleted_by_its_number(yard: Yard, sink: Sink) -> None:
    await mirror(yard, "numeric")
    await yard.warehouse.execute("INSERT INTO people VALUES (1, 'a', 1.5), (2, 'b', 1.0)")
    await yard.run()
    await yard.warehouse.execute("DELETE FROM people WHERE id = 1")

    run = await yard.run()

    assert (run.books.deleted, sink.rows[2:]) == (1, [{"k": 1.5}])

"""What a warehouse keeps that hashes rows itself; its tests inherit `RowHashContract` besides `WarehouseContract`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain

import pytest

from tailrace.connector_kit.row_hashes import HashedRows, HashesRows, Hashing
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import UNKNOWN_SOURCE, Block, Column, ColumnKind, RowKey, SourceHash
from tailrace.testing.warehouse_contract import KEYS, WarehouseRig, collect, keys, rows

_ID, _A, _B = (Column(name, ColumnKind.TEXT) for name in ("id", "a", "b"))
_TWINS: list[list[str | None]] = [["b", "1"], ["a", "2"], ["b", "3"], ["c", "4"], [None, "5"]]


class RowHashContract:
    """The promises of `tailrace.connector_kit.row_hashes`."""

    @pytest.mark.parametrize(
        ("kind", "values"),
        [
            (
                ColumnKind.TEXT,
                [None, "", " ", "a", "A", "a ", "NULL", "é", "e\u0301", "\\N", "0", '"', "a,", "x" * 5000],
            ),
            (ColumnKind.INTEGER, [None, "0", "1", "-1", "4294967297", "-4294967296", "9223372036854775807"]),
            (ColumnKind.DECIMAL, [None, "1", "1.1", "1.01", "-1", "0", "12345678901234567890.1"]),
            (ColumnKind.FLOAT, [None, "0", "-0", "1.5", "0.1", "0.30000000000000004", "0.3", "1e300"]),
            (ColumnKind.BOOLEAN, [None, "true", "false"]),
            (
                ColumnKind.TIMESTAMP,
                [None, "2026-03-01T04:05:06Z", "2026-03-01T04:05:06.000001Z", "2026-03-01T04:05:07Z"],
            ),
            (ColumnKind.JSON, [None, "null", '{"a":1}', '{"a": 1}', '{"a":1.0}', "[]"]),
        ],
        ids=lambda given: given if isinstance(given, ColumnKind) else "",
    )
    async def test_rows_that_differ_in_anything_have_other_hashes(
        self, rig: WarehouseRig, kind: ColumnKind, values: Sequence[str | None]
    ) -> None:
        named: list[list[str | None]] = [[f"k{at:02}", value] for at, value in enumerate(values)]

        found = await hashes(rig, rig.query([_ID, Column("a", kind)], named), Hashing(["a"], 7))

        assert len(found) == len(values)
        assert len(set(found.values())) == len(values)

    async def test_hash_tells_which_column_holds_what(self, rig: WarehouseRig) -> None:
        cells: list[list[str | None]] = [
            ["1", "x", "y"],
            ["2", "y", "x"],
            ["3", "xy", ""],
            ["4", "", "xy"],
            ["5", "xy", None],
            ["6", None, "xy"],
        ]

        found = await hashes(rig, rig.query([_ID, _A, _B], cells), Hashing(["a", "b"], 7))

        assert len(set(found.values())) == len(cells)

    async def test_hash_covers_the_columns_named_and_follows_from_them_and_the_seed(self, rig: WarehouseRig) -> None:
        query = rig.query([_ID, _A, _B], [["1", "x", "1"], ["2", "x", "2"]])

        of_a = await hashes(rig, query, Hashing(["a"], 7))
        of_b = await hashes(rig, query, Hashing(["b"], 7))

        assert of_a == await hashes(rig, query, Hashing(["a"], 7))
        assert len(set(of_a.values())) == 1
        assert len(set(of_b.values())) == 2
        assert not set(of_a.values()) & set((await hashes(rig, query, Hashing(["a"], -(2**63)))).values())

    async def test_hash_of_one_column_without_a_value_is_none(self, rig: WarehouseRig) -> None:
        found = await hashes(rig, rig.query([_ID, _A], [["1", None], ["2", ""]]), Hashing(["a"], 7))

        assert found[RowKey(("1",))] == UNKNOWN_SOURCE != found[RowKey(("2",))]

    async def test_hashes_come_in_the_order_of_the_rows(self, rig: WarehouseRig) -> None:
        named: list[list[str | None]] = [[key, "x"] for key in reversed(KEYS)]
        query = rig.query([_ID, _A], [*named, [None, "y"], [None, "z"]])
        reading = Reading(query, ("id",), after=RowKey((sorted(KEYS)[4],)))

        async with view(rig, reading) as seen:
            found = [key async for block in seen.hashes() for key in block.keys]

        assert found == keys(await collect(rig, reading)) == [*((key,) for key in sorted(KEYS)[5:]), None, None]

    async def test_rows_of_some_keys_are_whole_while_hashes_are_read(self, rig: WarehouseRig) -> None:
        query = rig.query([_ID, _A], _TWINS)
        hashed: list[SourceHash] = []
        fetched: list[Block] = []

        async with view(rig, Reading(query, ("id",))) as seen:
            async for block in seen.hashes():
                hashed += block.hashes
                fetched += [some async for some in seen.rows_of([RowKey(("b",)), RowKey(("c",))])]

        assert keys(fetched) == [("b",), ("b",), ("c",)]
        assert sorted(rows(fetched)) == [("b", "1"), ("b", "3"), ("c", "4")]
        assert sorted(_sources(fetched)) == sorted(hashed[1:4])

    async def test_rows_of_keys_of_several_parts_match_as_a_whole(self, rig: WarehouseRig) -> None:
        columns = [Column("x", ColumnKind.INTEGER), Column("a", ColumnKind.TEXT)]
        cells: list[list[str | None]] = [["1", "x"], ["1", "y"], ["2", "x"], ["2", None]]
        query = rig.query(columns, cells)

        async with view(rig, Reading(query, ("x", "a"))) as seen:
            fetched = [some async for some in seen.rows_of([RowKey(("1", "y")), RowKey(("2", "x"))])]

        assert rows(fetched) == [(1, "y"), (2, "x")]

    @pytest.mark.parametrize("kind", list(ColumnKind)[:6])
    async def test_rows_are_found_by_keys_of_every_kind(self, rig: WarehouseRig, kind: ColumnKind) -> None:
        values = {
            ColumnKind.TEXT: ["a ", "a"],
            ColumnKind.BOOLEAN: ["false", "true"],
            ColumnKind.TIMESTAMP: ["2026-03-01T04:05:06Z", "2026-03-01T04:05:06.5Z"],
        }.get(kind, ["10", "-2"])
        query = rig.query([Column("id", kind), _A], [[value, "x"] for value in values])

        async with view(rig, Reading(query, ("id",))) as seen:
            found = [key for block in [some async for some in seen.hashes()] for key in block.keys if key is not None]
            fetched = [some async for some in seen.rows_of(found)]

        assert keys(fetched) == found
        assert len(found) == len(values)

    async def test_rows_behind_a_key_are_whole_and_have_the_same_hashes(self, rig: WarehouseRig) -> None:
        query = rig.query([_ID, _A], _TWINS)

        async with view(rig, Reading(query, ("id",))) as seen:
            hashed = [each async for block in seen.hashes() for each in block.hashes]
            async with seen.rows(after=RowKey(("a",)), with_hashes=True) as read:
                blocks = [block async for block in read]
            async with seen.rows(after=RowKey(("b",)), with_hashes=False) as read:
                without = [block async for block in read]

        assert keys(blocks) == [("b",), ("b",), ("c",), None]
        assert rows(blocks)[2:] == [("c", "4"), (None, "5")]
        assert sorted(_sources(blocks)) == sorted(hashed[1:])
        assert (rows(without), _sources(without)) == (rows(blocks)[2:], [])

    async def test_rows_of_a_small_table_are_found_quickly(self, rig: WarehouseRig) -> None:
        async with view(rig, Reading(rig.query([_ID, _A], _TWINS), ("id",))) as seen:
            assert await seen.finds_quickly([RowKey(("a",))])


@asynccontextmanager
async def view(rig: WarehouseRig, reading: Reading, hashing: Hashing | None = None) -> AsyncIterator[HashedRows]:
    """A view of a reading, hashed by the column `a` if nothing else is said."""
    assert isinstance(rig.warehouse, HashesRows)
    assert await rig.warehouse.row_hash() is not None
    async with rig.warehouse.compare(reading, hashing or Hashing(["a"], 7)) as seen:
        yield seen


async def hashes(rig: WarehouseRig, query: str, hashing: Hashing) -> dict[RowKey | None, SourceHash]:
    """The hashes of all rows of a query, by their keys in the column `id`."""
    async with view(rig, Reading(query, ("id",)), hashing) as seen:
        return dict(chain.from_iterable([zip(*block, strict=True) async for block in seen.hashes()]))


def _sources(blocks: Sequence[Block]) -> list[SourceHash]:
    return list(chain.from_iterable(block.sources or () for block in blocks))

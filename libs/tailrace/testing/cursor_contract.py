"""What a warehouse with cursors keeps besides `WarehouseContract`; its tests inherit `CursorContract`."""

from collections.abc import Sequence

import pytest

from tailrace.connector_kit.warehouse import Cursor, Reading
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import Block, Column, ColumnKind, RowKey
from tailrace.core.watermarks import readable, sortable
from tailrace.testing.warehouse_contract import WarehouseRig, collect, keys, rows

_ID = Column("id", ColumnKind.TEXT)
_EVEN_TIMES = [["2", "2026-03-01T00:00:01Z"], ["10", "2026-03-01T00:00:01Z"], ["1", "2026-03-01T00:00:01Z"]]


class CursorContract:
    """The promises about readings with a cursor, and without key columns."""

    @pytest.mark.parametrize(
        ("kind", "values"),
        [
            (ColumnKind.INTEGER, ["-5", "0", "9", "10", "9007199254740993", "9007199254740994"]),
            (ColumnKind.DECIMAL, ["-10.5", "-9", "0.001", "1.5", "12345678901234567890.1", "12345678901234567890.2"]),
            (ColumnKind.FLOAT, ["-1e300", "-0.1", "0.1", "0.30000000000000004", "2.0", "1e300"]),
            (
                ColumnKind.TIMESTAMP,
                [
                    "1969-12-31T23:59:59Z",
                    "2026-03-01T04:05:06Z",
                    "2026-03-01T04:05:06.000001Z",
                    "2026-03-01T04:05:06.1Z",
                    "2026-03-01T04:05:06.12Z",
                    "2026-03-01T04:05:07Z",
                ],
            ),
        ],
        ids=lambda given: given if isinstance(given, ColumnKind) else "",
    )
    async def test_rows_come_in_the_order_of_the_cursor_s_value_and_go_on_behind_any(
        self, rig: WarehouseRig, kind: ColumnKind, values: Sequence[str]
    ) -> None:
        named = [[f"k{5 - at}", value] for at, value in enumerate(values)]
        query = rig.query([_ID, Column("c", kind)], [*named[1::2], *named[::2]])
        whole = await read(rig, query)

        texts = [sortable(kind, row[1]) for row in rows(whole)]
        behind = [
            await read(rig, query, since=readable(kind, text), after=row[0])
            for row, text in zip(rows(whole), texts, strict=True)
        ]

        assert keys(whole) == [(key,) for key, _ in named]
        assert texts == sorted(texts)
        assert [keys(blocks) for blocks in behind] == [keys(whole)[at:] for at in range(1, len(named) + 1)]

    async def test_rows_of_one_value_are_ordered_by_their_key(self, rig: WarehouseRig) -> None:
        query = rig.query([_ID, Column("c", ColumnKind.TIMESTAMP)], _EVEN_TIMES)

        behind = await read(rig, query, since="2026-03-01T00:00:01", after="10")

        assert keys(await read(rig, query)) == [("1",), ("10",), ("2",)]
        assert keys(behind) == [("2",)]

    async def test_reading_since_a_value_keeps_rows_of_that_value(self, rig: WarehouseRig) -> None:
        query = rig.query([_ID, Column("c", ColumnKind.INTEGER)], [["a", "1"], ["b", "2"], ["c", "2"], ["d", "3"]])

        assert keys(await read(rig, query, since="2")) == [("b",), ("c",), ("d",)]

    async def test_rows_without_a_value_or_a_key_come_last_at_any_reading(self, rig: WarehouseRig) -> None:
        columns = [_ID, Column("c", ColumnKind.INTEGER), Column("n", ColumnKind.TEXT)]
        odd = [["b", None, "1"], [None, "1", "2"], ["a", None, "3"], [None, None, "4"]]
        query = rig.query(columns, [*odd, ["z", "5", "5"]])
        turned = rig.query(columns, [["z", "5", "5"], *reversed(odd)])

        whole = await read(rig, query)
        behind = await read(rig, turned, since="5", after="z")

        assert keys(whole) == [("z",), ("a",), ("b",), None, None]
        assert rows(behind) == rows(whole)[1:]

    async def test_cursor_that_is_not_there_is_named_with_the_columns_that_are(self, rig: WarehouseRig) -> None:
        query = rig.query([_ID, Column("c", ColumnKind.INTEGER)], [["a", "1"]])

        with pytest.raises(SourceInvalid, match=r"nowhere.*id, c") as refused:
            await collect(rig, Reading(query, ("id",), cursor=Cursor("nowhere")))

        assert refused.value.code == "CURSOR_COLUMN_MISSING"

    async def test_rows_without_key_columns_have_a_key_of_their_content(self, rig: WarehouseRig) -> None:
        columns = [Column("a", ColumnKind.TEXT), Column("b", ColumnKind.INTEGER)]
        values: list[list[str | None]] = [["x", "1"], ["x", None], [None, "1"], ["x", "1"], [None, None]]

        first = await collect(rig, Reading(rig.query(columns, values), ()))
        again = await collect(rig, Reading(rig.query(columns, values[::-1]), ()))

        found = dict(zip(rows(first), keys(first), strict=True))
        assert (len(rows(first)), len(set(found.values()))) == (5, 4)
        assert (rows(first), keys(first)) == (rows(again), keys(again))
        assert keys(first) == sorted(key for key in keys(first) if key)

    async def test_reading_on_without_key_columns_begins_with_the_rows_that_are_alike(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("a", ColumnKind.TEXT)], [["x"], ["x"], ["y"], ["z"], ["z"]])
        whole = await collect(rig, Reading(query, ()))

        behind = await collect(rig, Reading(query, (), after=keys(whole)[-1]))

        assert rows(behind) == [row for row in rows(whole) if row == rows(whole)[-1]]

    async def test_reading_on_by_cursor_without_key_columns_does_so_too(self, rig: WarehouseRig) -> None:
        columns = [Column("a", ColumnKind.TEXT), Column("c", ColumnKind.INTEGER)]
        query = rig.query(columns, [["x", "1"], ["x", "2"], ["x", "2"], ["x", "3"]])
        whole = await collect(rig, Reading(query, (), cursor=Cursor("c")))

        behind = await collect(rig, Reading(query, (), after=keys(whole)[1], cursor=Cursor("c", "2")))

        assert rows(whole) == [("x", 1), ("x", 2), ("x", 2), ("x", 3)]
        assert rows(behind) == rows(whole)[1:]


async def read(rig: WarehouseRig, query: str, *, since: str | None = None, after: object = None) -> list[Block]:
    """All blocks of a query by the cursor `c` and the key `id`."""
    behind = None if after is None else RowKey((str(after),))
    return await collect(rig, Reading(query, ("id",), after=behind, cursor=Cursor("c", since)))

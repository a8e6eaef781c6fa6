"""What every warehouse keeps; a warehouse's tests inherit `WarehouseContract` and give it a `rig`."""

import asyncio
import traceback
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.errors import CredentialsRefused, SourceInvalid, SourceUnavailable
from tailrace.core.rows import Block, Column, ColumnKind, RowKey
from tailrace.testing.eventually import eventually

KEYS = ("", "1", "10", "2", "A", "B", "Z", "a", "a ", "ab", "b", "z", "~", "É", "é", "ﬀ", "\U0001f600")
"""Text that people, libraries and databases sort in many ways."""

TEXT = ColumnKind.TEXT


class WarehouseRig(ABC):
    """A warehouse under test, and how to write queries for it."""

    warehouse: Warehouse
    secret: str
    """A word that is in its settings and must be nowhere else."""

    bad_query: str
    """One that is no SQL of this warehouse; it names `nonsense`."""

    endless_query: str
    """One with the column `id` that gives no row before long."""

    @abstractmethod
    def query(self, columns: Sequence[Column], rows: Sequence[Sequence[str | None]]) -> str:
        """A query that gives these rows, their values written as text that the kind of the column reads."""

    @abstractmethod
    async def queries_running(self) -> int:
        """How many queries of ours the server works at."""

    @abstractmethod
    def unreachable(self) -> AbstractAsyncContextManager[Warehouse]:
        """The same settings, but nobody answers there."""


class LockedRig(WarehouseRig):
    """A warehouse that lets nobody in without credentials."""

    @abstractmethod
    def unauthorized(self) -> AbstractAsyncContextManager[Warehouse]:
        """The same settings, but the server knows better."""


class WarehouseContract:
    """The promises of `tailrace.connector_kit.warehouse`, each as a test."""

    async def test_check_passes(self, rig: WarehouseRig) -> None:
        await rig.warehouse.check()

    async def test_columns_have_names_and_kinds_in_the_order_of_the_query(self, rig: WarehouseRig) -> None:
        columns = [Column("b", TEXT), Column("a", ColumnKind.INTEGER), Column("Ä \"' c", ColumnKind.DECIMAL)]

        assert await rig.warehouse.columns(rig.query(columns, [["x", "1", "1.0"]])) == columns

    async def test_keys_come_in_the_order_of_their_code_points(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", TEXT)], [[key] for key in reversed(KEYS)])

        blocks = await read(rig, query, "id")

        assert keys(blocks) == [(key,) for key in sorted(KEYS)]

    async def test_numbers_are_ordered_as_text(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", ColumnKind.INTEGER)], [["2"], ["10"], ["-1"], ["1"]])

        blocks = await read(rig, query, "id")

        assert keys(blocks) == [("-1",), ("1",), ("10",), ("2",)]
        assert rows(blocks) == [(-1,), (1,), (10,), (2,)]

    async def test_keys_of_several_parts_are_ordered_part_by_part(self, rig: WarehouseRig) -> None:
        pairs = [["a", "é"], ["a", "z"], ["ab", "a"], ["a", ""], ["", "z"], ["a ", "b"]]
        query = rig.query([Column("x", TEXT), Column("y", TEXT)], pairs)

        blocks = await read(rig, query, "x", "y")

        assert keys(blocks) == sorted(tuple(pair) for pair in pairs)

    async def test_key_columns_are_taken_in_the_order_given(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("x", TEXT), Column("y", TEXT)], [["a", "2"], ["b", "1"]])

        blocks = await read(rig, query, "y", "x")

        assert keys(blocks) == [("1", "b"), ("2", "a")]
        assert rows(blocks) == [("b", "1"), ("a", "2")]

    async def test_rows_with_the_same_key_are_neighbours(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", TEXT), Column("n", TEXT)], [["b", "1"], ["a", "2"], ["b", "3"]])

        blocks = await read(rig, query, "id")

        assert keys(blocks) == [("a",), ("b",), ("b",)]

    async def test_every_row_comes_once_in_blocks_of_no_more_than_the_size_asked_for(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", ColumnKind.INTEGER)], [[str(n)] for n in range(25)])

        blocks = await collect(rig, Reading(query, ("id",), rows_per_block=10))

        assert max(len(block.rows) for block in blocks) <= 10
        assert sorted(rows(blocks)) == [(n,) for n in range(25)]

    async def test_query_without_rows_gives_no_blocks(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", TEXT)], [["a"]])

        assert await collect(rig, Reading(query, ("id",), after=RowKey(("z",)))) == []

    async def test_reading_on_leaves_out_the_key_and_all_before_it(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", TEXT)], [[key] for key in KEYS])
        ordered = sorted(KEYS)

        blocks = await collect(rig, Reading(query, ("id",), after=RowKey((ordered[5],))))

        assert keys(blocks) == [(key,) for key in ordered[6:]]

    async def test_reading_on_compares_all_parts_of_a_key(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("x", TEXT), Column("y", TEXT)], [["a", "1"], ["a", "2"], ["b", "0"], ["a", "3"]])

        blocks = await collect(rig, Reading(query, ("x", "y"), after=RowKey(("a", "2"))))

        assert keys(blocks) == [("a", "3"), ("b", "0")]

    async def test_reading_on_after_a_key_that_is_gone_finds_the_place(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", ColumnKind.INTEGER)], [["1"], ["10"], ["3"]])

        blocks = await collect(rig, Reading(query, ("id",), after=RowKey(("2",))))

        assert keys(blocks) == [("3",)]

    async def test_reading_up_to_a_key_leaves_out_all_behind_it(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", TEXT), Column("n", TEXT)], [*([key, "1"] for key in KEYS), [None, "2"]])
        ordered = sorted(KEYS)

        blocks = await collect(rig, Reading(query, ("id",), after=RowKey((ordered[1],)), until=RowKey((ordered[5],))))
        from_the_start = await collect(rig, Reading(query, ("id",), until=RowKey((ordered[1],))))

        assert keys(blocks) == [(key,) for key in ordered[2:6]]
        assert keys(from_the_start) == [(key,) for key in ordered[:2]]

    async def test_readings_up_to_a_key_and_behind_it_give_each_row_once(self, rig: WarehouseRig) -> None:
        columns = [Column("x", TEXT), Column("y", TEXT)]
        placed = [["a", "1"], ["a", "2"], ["a", "3"], ["b", "0"], ["b", "2"]]
        query = rig.query(columns, [*placed, ["a", None], [None, "2"], [None, None]])
        cut = RowKey(("a", "2"))

        before = await collect(rig, Reading(query, ("x", "y"), until=cut))
        behind = await collect(rig, Reading(query, ("x", "y"), after=cut))

        assert keys(before) == [("a", "1"), ("a", "2")]
        assert keys(behind) == [("a", "3"), ("b", "0"), ("b", "2"), *[None] * 3]

    async def test_only_some_keys_are_read(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", ColumnKind.INTEGER)], [["1"], ["10"], ["2"], ["3"]])
        wanted = [RowKey(("3",)), RowKey(("10",)), RowKey(("not there",))]

        blocks = await collect(rig, Reading(query, ("id",), only=wanted))

        assert keys(blocks) == [("10",), ("3",)]

    async def test_only_keys_of_several_parts_match_as_a_whole(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("x", TEXT), Column("y", TEXT)], [["a", "1"], ["a", "2"], ["b", "1"], ["b", None]])

        blocks = await collect(rig, Reading(query, ("x", "y"), only=[RowKey(("a", "2")), RowKey(("b", "1"))]))

        assert keys(blocks) == [("a", "2"), ("b", "1")]

    async def test_no_keys_wanted_gives_no_rows(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", TEXT)], [["a"], [None]])

        assert await collect(rig, Reading(query, ("id",), only=[])) == []

    async def test_rows_without_a_whole_key_come_last_in_an_order_that_stays(self, rig: WarehouseRig) -> None:
        columns = [Column("x", TEXT), Column("y", TEXT), Column("n", TEXT)]
        broken = [[None, "z", "4"], ["a", None, "3"], [None, None, "2"], ["a", None, "1"], [None, "z", "0"]]
        query = rig.query(columns, [*broken, ["z", "z", "5"]])
        turned = rig.query(columns, [["z", "z", "5"], *reversed(broken)])

        first = await read(rig, query, "x", "y")
        again = await read(rig, turned, "x", "y")

        assert keys(first) == [("z", "z"), *[None] * 5]
        assert rows(again) == rows(first)

    async def test_reading_on_keeps_every_row_without_a_key(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", TEXT), Column("n", TEXT)], [["a", "1"], [None, "2"], ["b", "3"], [None, "4"]])
        whole = await read(rig, query, "id")

        blocks = await collect(rig, Reading(query, ("id",), after=RowKey(("b",))))

        assert keys(blocks) == [None, None]
        assert rows(blocks) == rows(whole)[2:]

    async def test_values_keep_every_digit(self, rig: WarehouseRig) -> None:
        columns = [
            Column("id", TEXT),
            Column("whole", ColumnKind.INTEGER),
            Column("exact", ColumnKind.DECIMAL),
            Column("near", ColumnKind.FLOAT),
            Column("is_so", ColumnKind.BOOLEAN),
            Column("at", ColumnKind.TIMESTAMP),
        ]
        values = [
            "é\n\"'\\",
            "9007199254740993",
            "-12345678901234567890.1234567890",
            "0.1",
            "true",
            "2026-03-01T04:05:06Z",
        ]

        blocks = await read(rig, rig.query(columns, [values]), "id")

        assert rows(blocks) == [
            ("é\n\"'\\", 9007199254740993, "-12345678901234567890.1234567890", 0.1, True, "2026-03-01T04:05:06Z")
        ]

    async def test_null_is_none(self, rig: WarehouseRig) -> None:
        kinds = [ColumnKind.INTEGER, ColumnKind.DECIMAL, ColumnKind.FLOAT, ColumnKind.BOOLEAN, ColumnKind.TIMESTAMP]
        columns = [Column("id", TEXT), *(Column(kind.value, kind) for kind in kinds)]

        blocks = await read(rig, rig.query(columns, [["a", *[None] * len(kinds)]]), "id")

        assert rows(blocks) == [("a", *[None] * len(kinds))]

    async def test_wide_rows_come_whole(self, rig: WarehouseRig) -> None:
        columns = [Column(f"c{n}", TEXT) for n in range(500)]
        values = [f"v{n}" for n in range(500)]

        blocks = await read(rig, rig.query(columns, [values]), "c0")

        assert rows(blocks) == [tuple(values)]

    async def test_two_columns_of_one_name_are_refused(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("twice", TEXT), Column("twice", TEXT)], [["a", "b"]])

        with pytest.raises(SourceInvalid, match="twice") as refused:
            await rig.warehouse.columns(query)

        assert refused.value.code == "DUPLICATE_COLUMN"

    async def test_query_that_is_no_query_is_refused_in_the_warehouse_s_words(self, rig: WarehouseRig) -> None:
        with pytest.raises(SourceInvalid, match="nonsense") as refused:
            await rig.warehouse.columns(rig.bad_query)

        assert refused.value.code == "SOURCE_QUERY"

    async def test_key_column_that_is_not_there_is_named_with_those_that_are(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", TEXT), Column("name", TEXT)], [["a", "b"]])

        with pytest.raises(SourceInvalid, match=r"nowhere.*id, name") as refused:
            await read(rig, query, "nowhere")

        assert refused.value.code == "KEY_COLUMN_MISSING"

    async def test_a_refused_query_spoils_nothing(self, rig: WarehouseRig) -> None:
        with pytest.raises(SourceInvalid):
            await rig.warehouse.columns(rig.bad_query)

        blocks = await read(rig, rig.query([Column("id", TEXT)], [["a"]]), "id")

        assert keys(blocks) == [("a",)]

    async def test_leaving_in_the_middle_ends_the_stream(self, rig: WarehouseRig) -> None:
        query = rig.query([Column("id", ColumnKind.INTEGER)], [[str(n)] for n in range(25)])
        async with rig.warehouse.read(Reading(query, ("id",), rows_per_block=10)) as blocks:
            await anext(blocks)

        assert len(rows(await read(rig, query, "id"))) == 25

    async def test_cancelling_stops_the_query_on_the_server(self, rig: WarehouseRig) -> None:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(read(rig, rig.endless_query, "id"))
            await eventually(rig.queries_running, 1)

            reading.cancel()

        await eventually(rig.queries_running, 0)

    async def test_server_that_is_not_there_is_unavailable(self, rig: WarehouseRig) -> None:
        with pytest.raises(SourceUnavailable) as failed:
            await use(rig.unreachable())

        assert rig.secret not in told(failed.value)


class CredentialsContract:
    """The promises of a warehouse that has credentials, besides `WarehouseContract`."""

    async def test_wrong_credentials_are_refused_without_being_told(self, rig: LockedRig) -> None:
        with pytest.raises(CredentialsRefused) as refused:
            await use(rig.unauthorized())

        assert rig.secret not in told(refused.value)


async def read(rig: WarehouseRig, query: str, *key_columns: str) -> list[Block]:
    """All blocks of a query."""
    return await collect(rig, Reading(query, key_columns))


async def collect(rig: WarehouseRig, reading: Reading) -> list[Block]:
    """All blocks of a reading."""
    async with rig.warehouse.read(replace(reading)) as blocks:
        return [block async for block in blocks]


async def use(opening: AbstractAsyncContextManager[Warehouse]) -> None:
    """Open a warehouse and look whether it works."""
    async with opening as warehouse:
        await warehouse.check()


def keys(blocks: Sequence[Block]) -> list[RowKey | None]:
    """The keys of all blocks."""
    return [key for block in blocks for key in block.keys]


def rows(blocks: Sequence[Block]) -> list[tuple[object, ...]]:
    """The rows of all blocks."""
    return [row for block in blocks for row in block.rows]


def told(error: BaseException) -> str:
    """Everything that a log would hold of an error."""
    return "".join(traceback.format_exception(error)) + repr(error)

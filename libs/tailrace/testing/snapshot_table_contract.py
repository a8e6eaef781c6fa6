"""What every table of snapshots keeps; a warehouse's tests inherit `SnapshotTableContract` and give it a `rig`."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import pytest

from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import RowHash, RowKey, SourceHash
from tailrace.core.snapshot_tables import TABLE_LOST, SnapshotTable
from tailrace.core.snapshots import Entry
from tailrace.testing.warehouse_contract import KEYS

ODD = (
    Entry(RowKey(("a", "1")), RowHash(b"12345678"), source=SourceHash(-5)),
    Entry(
        RowKey(("a", "10")), RowHash(b"\x01" + b"12345678"), RowHash(b"dead---8"), written=b'{"id":"\\u0000\xc3\xa9"}'
    ),
    Entry(RowKey(("a", "2")), RowHash(b"12345678"), is_gone=True),
    Entry(RowKey(("b", "")), None, RowHash(b"dead---8")),
)
"""Entries with all that there is to say, in key order."""


class SnapshotTableRig(ABC):
    """A warehouse that keeps snapshots."""

    @abstractmethod
    def open(self, sync_id: str = "retl_sync_1") -> AbstractAsyncContextManager[SnapshotTable]:
        """The table of a sync."""

    @abstractmethod
    async def drop(self, sync_id: str = "retl_sync_1") -> None:
        """Take the table away, as a user may who does not know better."""

    @abstractmethod
    async def thin_out(self, sync_id: str = "retl_sync_1") -> None:
        """Delete some row of the table, as a user may."""


class SnapshotTableContract:
    """The promises of `tailrace.core.snapshot_tables`, each as a test."""

    async def test_entries_come_back_as_they_were_in_the_order_of_their_keys(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table:
            await table.make(1)

            state = await table.write(1, list(reversed(ODD)))

            assert await read(table) == list(ODD)
            assert state == await table.check()
            assert state is not None
            assert state.entries == len(ODD)

    async def test_keys_are_ordered_by_code_point(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table:
            await table.make(1)

            await table.write(1, [entry(key) for key in KEYS])

            assert [each.key for each in await read(table)] == [(key,) for key in sorted(KEYS)]

    async def test_entries_take_the_place_of_others_and_tombstones_remove(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table:
            await table.make(1)
            before = await table.write(1, [entry("a"), entry("b"), entry("c")])

            after = await table.write(1, [Entry(RowKey(("a",))), entry("b", b"newer--8"), Entry(RowKey(("none",)))])

            assert await read(table) == [entry("b", b"newer--8"), entry("c")]
            assert before is not None
            assert after is not None
            assert (after.entries, after.writes > before.writes) == (2, True)

    async def test_what_is_written_twice_is_there_once(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table:
            await table.make(1)
            await table.write(1, [entry("a"), Entry(RowKey(("b",)))])

            state = await table.write(1, [entry("a"), Entry(RowKey(("b",)))])

            assert (await read(table), state) == ([entry("a")], await table.check())

    async def test_some_are_read_between_two_keys_and_so_many_at_most(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table:
            await table.make(1)
            await table.write(1, [entry(key) for key in "abcdef"])

            between = await table.entries(after=RowKey(("a",)), until=RowKey(("e",)), gone=False, most=3)
            named = await table.entries_of([RowKey(("f",)), RowKey(("none",)), RowKey(("b",))])

            assert [each.key for each in between] == [("b",), ("c",), ("d",)]
            assert named == [entry("b"), entry("f")]

    async def test_gone_ones_are_counted_and_read_alone(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table:
            await table.make(1)
            await table.write(1, ODD)

            gone = await table.entries(after=None, until=None, gone=True, most=10)

            assert (await table.census(), [each.key for each in gone]) == ((3, 1), [("a", "2")])

    async def test_cuts_part_the_keys_evenly(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table:
            await table.make(1)
            await table.write(1, [entry(key) for key in "abcdefgh"])

            assert await table.cuts(4) == [("b",), ("d",), ("f",)]
            assert await table.cuts(1) == []

    async def test_those_before_a_text_are_forgotten_and_then_all(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table:
            await table.make(1)
            await table.write(1, ODD)

            some = await table.forget(1, before="b")
            left = await read(table)
            none = await table.forget(1)

            assert (left, some is not None and some.entries) == ([ODD[-1]], 1)
            assert (await read(table), none) == ([], await table.check())

    async def test_earlier_fence_writes_nothing_once_a_later_one_has_the_table(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table, rig.open() as deposed:
            await table.make(1)
            await table.write(1, [entry("a")])

            taken = await table.take(2)
            late = await deposed.write(1, [entry("a", b"late---8"), entry("b")])
            forgot = await deposed.forget(1)
            retaken, made = await deposed.take(1), await deposed.make(1)

            assert (taken, late, forgot, retaken, made) == (True, None, None, False, False)
            assert await read(table) == [entry("a")]
            assert (await table.check()).entries == 1

    async def test_writers_of_two_fences_at_once_leave_what_the_later_one_wrote(self, rig: SnapshotTableRig) -> None:
        keys = [f"{number:05}" for number in range(2000)]
        async with rig.open() as table, rig.open() as deposed:
            await table.make(1)

            async def take_over() -> None:
                await table.take(2)
                await table.write(2, [entry(key, b"newer--8") for key in keys])

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(deposed.write(1, [entry(key) for key in keys]))
                tasks.create_task(take_over())

            assert {each.delivered for each in await read(table)} == {b"newer--8"}
            assert (await table.check()).entries == len(keys)

    async def test_tables_of_two_syncs_know_nothing_of_each_other(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table, rig.open("retl_sync_2") as other:
            await table.make(1)
            await other.make(7)

            await table.write(1, [entry("a")])
            await other.drop()

            assert await read(table) == [entry("a")]

    async def test_table_that_is_made_anew_is_empty(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table:
            await table.make(1)
            await table.write(1, [entry("a")])

            assert await table.make(2)

            assert (await read(table), (await table.check()).entries) == ([], 0)

    async def test_table_that_is_gone_is_not_taken_for_an_empty_one(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table:
            await table.make(1)
            await rig.drop()

            for call in (table.check(), read(table), table.write(1, [entry("a")]), table.census()):
                with pytest.raises(SourceInvalid) as refused:
                    await call
                assert refused.value.code == TABLE_LOST

    async def test_table_that_lacks_a_row_is_seen_by_a_check(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table:
            await table.make(1)
            await table.write(1, [entry("a"), entry("b")])
            await rig.thin_out()

            with pytest.raises(SourceInvalid) as refused:
                await table.check()

            assert refused.value.code == TABLE_LOST

    async def test_table_that_was_never_made_is_none(self, rig: SnapshotTableRig) -> None:
        async with rig.open() as table:
            with pytest.raises(SourceInvalid) as refused:
                await table.check()
            await table.drop()

            assert refused.value.code == TABLE_LOST


def entry(key: str, delivered: bytes = b"12345678") -> Entry:
    """An entry of a key of one part."""
    return Entry(RowKey((key,)), RowHash(delivered))


async def read(table: SnapshotTable) -> Sequence[Entry]:
    """All entries of a table."""
    return list(await table.entries(after=None, until=None, gone=False, most=10_000))

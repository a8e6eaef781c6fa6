"""Hashes of a large table as lines of text, part by part, while rows are asked for in between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import chain

import pytest

from tailrace.connector_kit.row_hashes import HashedRows, Hashing
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import RowKey
from tailrace.warehouses.postgres import PostgresWarehouse
from tests.warehouses.postgres_rig import settings
from tests.warehouses.test_postgres_parts import IN_PARTS, ROWS, TABLE, Admin, has_sorted_on_disk

Lines = list[tuple[str, int]]

OF_TEXT = Hashing(["filling"], 7)
OF_A_NUMBER = Hashing(["part"], 7)

ASKED = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@asynccontextmanager
async def view(url: str, reading: Reading = IN_PARTS, hashing: Hashing = OF_TEXT) -> AsyncIterator[HashedRows]:
    async with PostgresWarehouse.open(settings(url)) as warehouse, warehouse.compare(reading, hashing) as seen:
        yield seen


async def texts_of(seen: HashedRows) -> list[bytes]:
    lines = seen.lines()
    assert lines is not None
    async with lines as texts:
        return [text async for text in texts]


def read(texts: Sequence[bytes]) -> Lines:
    """Keys and hashes."""
    cells = (line.split("\t") for text in texts for line in text.decode().splitlines())
    return [(key, int(row_hash)) for row_hash, key in cells]


@pytest.mark.parametrize("hashing", [OF_TEXT, OF_A_NUMBER])
async def test_lines_say_what_hashes_say_in_the_same_order(
    admin: Admin, empty_database_url: str, hashing: Hashing
) -> None:
    await admin.execute(TABLE)

    async with view(empty_database_url, hashing=hashing) as seen:
        texts = await texts_of(seen)
        blocks = [block async for block in seen.hashes()]

    keys = chain.from_iterable(block.keys for block in blocks)
    hashes = chain.from_iterable(block.hashes for block in blocks)
    expected = [(key[0] if key else "\\N", row_hash) for key, row_hash in zip(keys, hashes, strict=True)]
    found = read(texts)
    assert len(found) == ROWS + 3
    assert [key for key, _ in found] == [key for key, _ in expected]
    # Of rows of one key the order is not told.
    assert sorted(found) == sorted(expected)
    assert len(texts) > 2
    assert not {key for key, _ in read(texts[:1])} & {key for key, _ in read(texts[1:])}


async def test_rows_are_read_by_their_keys_and_whole_while_lines_come(admin: Admin, empty_database_url: str) -> None:
    await admin.execute(TABLE)
    found: Lines = []
    fetched: list[RowKey | None] = []
    whole: list[RowKey | None] = []

    async with view(empty_database_url) as seen:
        lines = seen.lines()
        assert lines is not None
        async with lines as texts:
            async for text in texts:
                some = read([text])
                found += some
                keys = [RowKey((key,)) for key, _ in some if key.endswith("77")]
                fetched += [key async for block in seen.rows_of(keys) for key in block.keys]
                if some[0][0] == "\\N":
                    continue
                first, last = RowKey((some[-20][0],)), RowKey((some[-1][0],))
                async with seen.rows(after=first, until=last, with_hashes=True) as rows:
                    whole += [key async for block in rows for key in block.keys]

    assert len(found) == ROWS + 3
    assert fetched == [(key,) for key, _ in found if key.endswith("77")]
    assert len(whole) % 19 == 0
    assert set(whole) <= {(key,) for key, _ in found}
    assert not await has_sorted_on_disk(admin)


async def test_lines_wait_while_rows_are_read_by_their_keys(admin: Admin, empty_database_url: str) -> None:
    await admin.execute(TABLE)
    wanted = [RowKey((str(number),)) for number in range(200, 300)]

    async with view(empty_database_url) as seen:
        lines = seen.lines()
        assert lines is not None
        async with lines as texts:
            rows = seen.rows_of(wanted)
            found = len((await anext(rows)).keys)
            # The first text was asked for before; the second would be by now.
            await asyncio.sleep(0.05)
            query = await admin.fetchval(ASKED)
            found += sum([len(block.keys) async for block in rows])
            lines_read = len(read([text async for text in texts]))

    assert "COPY" not in query
    assert found == len(wanted)
    assert lines_read == ROWS + 3


async def test_lines_wait_while_all_rows_are_read(admin: Admin, empty_database_url: str) -> None:
    await admin.execute(TABLE)

    async with view(empty_database_url) as seen:
        lines = seen.lines()
        assert lines is not None
        async with lines as texts:
            first = read([await anext(texts)])
            async with seen.rows(after=None, until=RowKey((first[-1][0],)), with_hashes=True) as rows:
                found, queries = 0, set()
                async for block in rows:
                    found += len(block.keys)
                    queries.add(await admin.fetchval(ASKED))
                # Texts that wait for their reader hold two parts, and the third would be asked for by now.
                await asyncio.sleep(0.05)
                queries.add(await admin.fetchval(ASKED))
            rest = read([text async for text in texts])

    assert found == len(first)
    assert all("filling" in query for query in queries)
    assert len(first) + len(rest) == ROWS + 3


async def test_lines_come_from_key_to_key(admin: Admin, empty_database_url: str) -> None:
    await admin.execute(TABLE)
    some = replace(IN_PARTS, after=RowKey(("17",)), until=RowKey(("42",)))

    async with view(empty_database_url) as seen:
        every = read(await texts_of(seen))
    async with view(empty_database_url, some) as seen:
        found = read(await texts_of(seen))

    assert found == [(key, row_hash) for key, row_hash in every if "17" < key <= "42"]


async def test_numbers_that_differ_have_other_hashes_and_no_number_has_none(
    admin: Admin, empty_database_url: str
) -> None:
    await admin.execute(TABLE + "; ALTER TABLE big ADD COLUMN version int8; UPDATE big SET version = id * 4294967296")
    await admin.execute("UPDATE big SET version = NULL WHERE id = 20000; ANALYZE big")

    async with view(empty_database_url, hashing=Hashing(["version"], 7)) as seen:
        found = dict(read(await texts_of(seen)))

    assert found.pop("20000") == 0
    found.pop("\\N")
    assert len(set(found.values())) == len(found) == ROWS - 1


async def test_small_table_and_a_key_of_several_columns_come_as_they_did(admin: Admin, empty_database_url: str) -> None:
    await admin.execute(TABLE)

    async with view(empty_database_url, Reading("SELECT * FROM big WHERE id < 100", ("id",))) as seen:
        assert seen.lines() is None
    async with view(empty_database_url, replace(IN_PARTS, key_columns=("id", "part"))) as seen:
        assert seen.lines() is None


async def test_lines_that_are_left_leave_nobody_on_the_server(admin: Admin, empty_database_url: str) -> None:
    await admin.execute(TABLE)

    for _ in range(3):
        async with view(empty_database_url) as seen:
            lines = seen.lines()
            assert lines is not None
            async with lines as texts:
                assert read([await anext(texts)])[0][0] == "-1"

    assert not await has_sorted_on_disk(admin)

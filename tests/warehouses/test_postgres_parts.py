"""Large tables of PostgreSQL by a key of numbers: read without a large sort, and yet as ever."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import asyncpg
import pytest

from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import Block, RowKey
from tailrace.testing.eventually import eventually
from tailrace.warehouses.postgres import PostgresWarehouse
from tailrace_executor.share import cuts_of
from tests.warehouses.postgres_rig import settings

ROWS = 60_000
MANY = 20
"""Of parts, or of lookups in an index: to find the least and the greatest number takes two."""

TABLE = f"""
CREATE TABLE big AS SELECT n AS id, n % 7 AS part, repeat('x', 100) || n AS filling
FROM generate_series(-5000, {ROWS - 5001}) AS n;
INSERT INTO big VALUES (NULL, 1, 'a'), (NULL, 2, 'b'), (17, 3, 'again');
CREATE INDEX ON big (id);
ANALYZE big
"""

IN_PARTS = Reading("SELECT * FROM big", ("id",))

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
def numbers() -> list[str]:
    return sorted([*map(str, range(-5000, ROWS - 5000)), "17"])


async def read_all(url: str, reading: Reading) -> list[Block]:
    async with PostgresWarehouse.open(settings(url)) as warehouse, warehouse.read(reading) as blocks:
        return [block async for block in blocks]


async def all_left(admin: Admin) -> None:
    """Wait until no one else is there: servers tell of what they did as they leave."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    await eventually(lambda: admin.fetchval(others), 0)


async def has_sorted_on_disk(admin: Admin) -> bool:
    """Whether readers of the database have made files for sorts."""
    await all_left(admin)
    files = await admin.fetchval("SELECT temp_files FROM pg_stat_database WHERE datname = current_database()")
    return bool(files)


def keys_of(blocks: Sequence[Block]) -> list[RowKey | None]:
    return [key for block in blocks for key in block.keys]


async def test_large_table_comes_in_order_and_the_server_sorts_nothing_on_disk(
    admin: Admin, empty_database_url: str, numbers: list[str]
) -> None:
    await admin.execute(TABLE)

    blocks = await read_all(empty_database_url, IN_PARTS)

    assert keys_of(blocks) == [*((number,) for number in numbers), None, None]
    assert [row for block in blocks for row in block.rows][-2:] == [(None, 1, "a"), (None, 2, "b")]
    assert not await has_sorted_on_disk(admin)

    # No index knows this key.
    whole = await read_all(empty_database_url, Reading("SELECT id + 0 AS id, part, filling FROM big", ("id",)))
    assert keys_of(whole) == keys_of(blocks)
    assert await has_sorted_on_disk(admin)


async def test_table_some_of_whose_rows_have_moved_to_its_end_is_read_in_parts_too(
    admin: Admin, empty_database_url: str
) -> None:
    await admin.execute(TABLE + "; UPDATE big SET part = part + 1 WHERE id % 50 = 7; ANALYZE big")

    blocks = await read_all(empty_database_url, IN_PARTS)

    assert sum(len(block.keys) for block in blocks) == ROWS + 3
    assert not await has_sorted_on_disk(admin)


async def test_it_is_gone_on_behind_a_key_and_ends_with_one(
    admin: Admin, empty_database_url: str, numbers: list[str]
) -> None:
    await admin.execute(TABLE)
    reading = Reading("SELECT * FROM big", ("id",), after=RowKey(("1234",)), until=RowKey(("30",)))

    blocks = await read_all(empty_database_url, reading)

    assert keys_of(blocks) == [(number,) for number in numbers if "1234" < number <= "30"]
    assert not await has_sorted_on_disk(admin)


async def test_it_may_end_before_its_first_number(admin: Admin, empty_database_url: str) -> None:
    await admin.execute(TABLE)

    assert not await read_all(empty_database_url, Reading("SELECT * FROM big", ("id",), until=RowKey(("-",))))


async def test_key_of_several_columns_comes_in_order_too(admin: Admin, empty_database_url: str) -> None:
    await admin.execute(TABLE + "; UPDATE big SET part = NULL WHERE id = 40000")

    blocks = await read_all(empty_database_url, Reading("SELECT * FROM big", ("id", "part")))

    found = keys_of(blocks)
    placed = [key for key in found if key is not None]
    assert placed == sorted(placed)
    assert (len(placed), found[len(placed) :]) == (ROWS, [None, None, None])


async def test_all_parts_are_of_one_view(admin: Admin, empty_database_url: str, numbers: list[str]) -> None:
    await admin.execute(TABLE)
    found: list[RowKey | None] = []

    async with (
        PostgresWarehouse.open(settings(empty_database_url)) as warehouse,
        warehouse.read(IN_PARTS) as blocks,
    ):
        async for block in blocks:
            if not found:
                await admin.execute("DELETE FROM big WHERE id % 2 = 0; INSERT INTO big VALUES (999999, 1, 'late')")
            found += block.keys

    assert found == [*((number,) for number in numbers), None, None]


async def test_part_with_far_more_text_than_expected_is_left_to_the_server(
    admin: Admin, empty_database_url: str, numbers: list[str]
) -> None:
    # The server expects a text to be as large as it is kept, which is compressed.
    await admin.execute(TABLE)
    await admin.execute("UPDATE big SET filling = repeat('x', 3000)", timeout=60)
    await admin.execute("VACUUM ANALYZE big", timeout=60)

    blocks = await read_all(empty_database_url, IN_PARTS)
    await all_left(admin)

    assert keys_of(blocks) == [*((number,) for number in numbers), None, None]
    assert sum(len(str(row[2])) for block in blocks for row in block.rows) == 3000 * (ROWS + 3)
    assert await admin.fetchval("SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'big'") > MANY


async def test_sample_of_its_keys_is_as_the_server_expects_them_without_a_look_at_the_rows(
    admin: Admin, empty_database_url: str
) -> None:
    # A sixth of the numbers are far larger than the others, and as many are gone.
    await admin.execute(TABLE + f"; UPDATE big SET id = id * 100 WHERE id > {ROWS - 15_000}")
    await admin.execute("DELETE FROM big WHERE id BETWEEN 20000 AND 29999; ANALYZE big")
    numbers = await admin.fetch("SELECT id::text AS number FROM big WHERE id IS NOT NULL")
    looked = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'big'"
    await admin.execute("SELECT pg_stat_force_next_flush()")
    before = await admin.fetchval(looked)

    async with PostgresWarehouse.open(settings(empty_database_url)) as warehouse:
        sample = await warehouse.key_sample(IN_PARTS, part=0.05)

    await all_left(admin)
    assert await admin.fetchval(looked) == before
    assert abs(len(sample) - 0.05 * len(numbers)) < 0.01 * len(numbers)
    shares = Counter(bisect_left(cuts_of(sample, 4), (row["number"],)) for row in numbers)
    assert all(abs(shares[part] - len(numbers) / 4) < len(numbers) / 20 for part in range(4))


async def test_sample_of_a_query_whose_filter_goes_with_its_key_is_as_large_as_it_should_be(
    admin: Admin, empty_database_url: str
) -> None:
    await admin.execute("CREATE TABLE twins AS SELECT n AS id, n AS twin FROM generate_series(1, 130000) AS n")
    await admin.execute("CREATE INDEX ON twins (id); CREATE INDEX ON twins (twin); ANALYZE twins")

    async with PostgresWarehouse.open(settings(empty_database_url)) as warehouse:
        sample = await warehouse.key_sample(Reading("SELECT * FROM twins WHERE twin > 65000", ("id",)), part=0.02)

    assert abs(len(sample) - 0.02 * 65_000) < 0.1 * 0.02 * 65_000


async def test_row_whose_key_has_a_part_that_holds_a_null_is_read(admin: Admin, empty_database_url: str) -> None:
    await admin.execute("CREATE TYPE pair AS (one int, other int)")
    await admin.execute(TABLE + "; ALTER TABLE big ADD COLUMN pair pair; UPDATE big SET pair = ROW(part, NULL)::pair")
    await admin.execute("ANALYZE big")

    blocks = await read_all(empty_database_url, Reading("SELECT id, pair FROM big", ("id", "pair")))

    assert sum(len(block.keys) for block in blocks) == ROWS + 3


async def test_read_that_is_left_in_a_part_leaves_nobody_on_the_server(admin: Admin, empty_database_url: str) -> None:
    await admin.execute(TABLE)

    for _ in range(3):
        async with (
            PostgresWarehouse.open(settings(empty_database_url)) as warehouse,
            warehouse.read(IN_PARTS) as blocks,
        ):
            assert (await anext(blocks)).keys[0] == ("-1",)

    assert not await has_sorted_on_disk(admin)

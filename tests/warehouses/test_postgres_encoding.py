"""A warehouse whose database is not in Unicode: its bytes sort in another order than its characters."""

from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest_asyncio

from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import RowKey
from tailrace.warehouses.postgres import PostgresWarehouse
from tests.fixtures.postgres import PostgresServer
from tests.warehouses.postgres_rig import settings

QUERY = "SELECT k AS id, n FROM unnest(ARRAY['€', 'é', 'a', 'œ', 'ÿ', 'Ž', NULL]) AS k, generate_series(1, 2) AS n"
_CREATE = "CREATE DATABASE in_windows_1252 ENCODING 'WIN1252' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"


@pytest_asyncio.fixture
async def windows_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """Address of an empty database in the encoding of Windows."""
    admin = await asyncpg.connect(postgres_server.url, timeout=10, command_timeout=30)
    await admin.execute(_CREATE)
    yield postgres_server.dsn("in_windows_1252")
    await admin.execute("DROP DATABASE in_windows_1252 WITH (FORCE)")
    await admin.close(timeout=10)


async def keys_of(url: str, reading: Reading) -> Sequence[RowKey | None]:
    """The keys in the order in which they come."""
    async with PostgresWarehouse.open(settings(url)) as warehouse, warehouse.read(reading) as blocks:
        return [
            None if key is None else RowKey(tuple(key))
            for block in [block async for block in blocks]
            for key in block.keys
        ]


async def test_keys_come_by_code_point_whatever_the_encoding(windows_url: str) -> None:
    one = await keys_of(windows_url, Reading(QUERY, ("id",)))
    both = await keys_of(windows_url, Reading(QUERY, ("id", "n")))

    assert one == [key for name in "aéÿœŽ€" for key in [(name,)] * 2] + [None, None]
    assert both == [(name, number) for name in "aéÿœŽ€" for number in "12"] + [None, None]


async def test_reading_goes_on_behind_a_key_whatever_the_encoding(windows_url: str) -> None:
    one = await keys_of(windows_url, Reading(QUERY, ("id",), after=RowKey(("œ",))))
    both = await keys_of(windows_url, Reading(QUERY, ("id", "n"), after=RowKey(("Ž", "1"))))

    assert one == [("Ž",), ("Ž",), ("€",), ("€",), None, None]
    assert both == [("Ž", "2"), ("€", "1"), ("€", "2"), None, None]

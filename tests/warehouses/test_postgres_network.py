import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.errors import SourceUnavailable
from tailrace.testing.eventually import eventually
from tailrace.warehouses.postgres import PostgresWarehouse
from tests.bus.network import Network
from tests.warehouses.postgres_rig import settings

READING = Reading("SELECT g AS id, repeat('x', 1000) AS v FROM generate_series(1, 5000) g", ("id",), rows_per_block=10)
_AT_WORK = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%pg_sleep(120)%' AND state = 'active'"
_READER = """
import asyncio, sys
from tailrace.connector_kit.warehouse import Reading
from tailrace.warehouses.postgres import PostgresWarehouse
from tests.warehouses.postgres_rig import settings

async def read():
    async with PostgresWarehouse.open(settings(sys.argv[1])) as warehouse:
        async with warehouse.read(Reading("SELECT 1 AS id FROM pg_sleep(120)", ("id",))) as blocks:
            await anext(blocks)

asyncio.run(read())
"""


@pytest_asyncio.fixture
async def network(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Network]:
    parts = urlsplit(empty_database_url)
    async with Network.around(f"{parts.hostname}:{parts.port}", monkeypatch) as network:
        yield network


@pytest_asyncio.fixture
async def warehouse(empty_database_url: str, network: Network) -> AsyncIterator[Warehouse]:
    async with PostgresWarehouse.open(settings(empty_database_url, statement_timeout_s=1)) as opened:
        yield opened


async def test_server_that_falls_silent_is_unavailable_in_time(warehouse: Warehouse, network: Network) -> None:
    async with asyncio.timeout(25), warehouse.read(READING) as blocks:
        await anext(blocks)
        network.swallow()

        with pytest.raises(SourceUnavailable) as failed:
            [block async for block in blocks]

    assert failed.value.code == SourceUnavailable.code


async def test_connection_that_breaks_is_unavailable(warehouse: Warehouse, network: Network) -> None:
    async with asyncio.timeout(25), warehouse.read(READING) as blocks:
        await anext(blocks)
        network.cut()

        with pytest.raises(SourceUnavailable) as failed:
            [block async for block in blocks]

    assert failed.value.code == SourceUnavailable.code


async def test_what_the_reader_raises_is_not_taken_for_the_warehouse_s(warehouse: Warehouse) -> None:
    with pytest.raises(TimeoutError):
        await _read_and_fail(warehouse)


async def _read_and_fail(warehouse: Warehouse) -> None:
    async with warehouse.read(READING) as blocks:
        await anext(blocks)
        raise TimeoutError


async def test_server_gives_up_the_query_of_a_reader_that_was_killed(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=30)
    reader = await asyncio.create_subprocess_exec(sys.executable, "-c", _READER, empty_database_url)
    try:
        await eventually(lambda: connection.fetchval(_AT_WORK), 1)

        reader.kill()

        await eventually(lambda: connection.fetchval(_AT_WORK), 0, within_s=45)
    finally:
        with suppress(ProcessLookupError):
            reader.kill()
        await reader.wait()
        await connection.close(timeout=10)

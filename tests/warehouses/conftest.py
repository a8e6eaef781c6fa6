from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from tailrace.warehouses.postgres import PostgresWarehouse
from tests.fixtures.bigquery import bigquery
from tests.warehouses.postgres_rig import PostgresWarehouseRig, settings

__all__ = ["bigquery"]


@pytest_asyncio.fixture
async def admin(empty_database_url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=10)
    yield connection
    await connection.close(timeout=10)


@pytest_asyncio.fixture
async def rig(
    empty_database_url: str, admin: "asyncpg.Connection[asyncpg.Record]"
) -> AsyncIterator[PostgresWarehouseRig]:
    async with PostgresWarehouse.open(settings(empty_database_url)) as warehouse:
        yield PostgresWarehouseRig(warehouse, admin, empty_database_url)

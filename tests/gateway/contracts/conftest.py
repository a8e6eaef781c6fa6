"""Things of RudderStack's contract: a source to make connections of."""

import asyncpg
import pytest_asyncio

from tests.gateway.caller import Caller, a_retl_connection, a_retl_source


@pytest_asyncio.fixture
async def model_id(admin: Caller, source_id: str) -> str:
    return str((await admin.post("/v2/retl-sources", a_retl_source(source_id))).json["id"])


@pytest_asyncio.fixture
async def connection_id(admin: Caller, model_id: str, destination_id: str) -> str:
    made = await admin.post("/v2/retl-connections", a_retl_connection(model_id, destination_id))
    return str(made.json["id"])


@pytest_asyncio.fixture
async def crm_table(empty_database_url: str) -> str:
    """A table to write to, by the name that discovery gives it."""
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("CREATE TABLE accounts (external_id text PRIMARY KEY, name text NOT NULL)")
    await connection.close()
    return "public.accounts"

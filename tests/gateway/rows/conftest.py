"""A sync of people from a warehouse to a sink, executors to run it, and somebody who asks the gateway about it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from tailrace.runtime.http import AiohttpClient
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tailrace.store.tokens import NewToken, Role
from tailrace_gateway.app import make_app
from tailrace_gateway.routes import ROUTES
from tailrace_gateway.stores import open_stores
from tests.executor.sink import Sink, open_sink
from tests.executor.yard import Yard, definition_of, make_sync
from tests.gateway.caller import Caller

QUERY = "SELECT id, email FROM people"


@pytest_asyncio.fixture
async def sink() -> AsyncIterator[Sink]:
    """A service that takes rows."""
    async with open_sink() as opened:
        yield opened


@pytest_asyncio.fixture
async def yard(chassis: Chassis, empty_database_url: str, sink: Sink) -> AsyncIterator[Yard]:
    """A sync of an empty table of people."""
    warehouse = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=30)
    await warehouse.execute("CREATE TABLE people (id int, email text)")
    source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": empty_database_url})
    batches = {"url": sink.url, "rows_per_batch": 10, "requires_results": True}
    sync = await make_sync(chassis, source, ConnectionDraft("sink", batches, {}), definition_of(QUERY, ("id", "email")))
    yield Yard(chassis, warehouse, sync)
    await warehouse.close(timeout=10)


@pytest_asyncio.fixture
async def editor(chassis: Chassis, yard: Yard) -> AsyncIterator[Caller]:
    """An editor of the sync's workspace, whose gateway reaches the sink."""
    async with AiohttpClient.open(allow_private=True) as http:
        stores = open_stores(chassis, http)
        _, text = await stores.tokens.create(NewToken(yard.sync.workspace_id, "of a test", Role.EDITOR))
        async with TestServer(make_app(stores, ROUTES)) as server, ClientSession() as session:
            yield Caller(session, str(server.make_url("")).rstrip("/"), text)

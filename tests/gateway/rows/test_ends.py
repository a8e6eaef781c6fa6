"""Whoever does not answer in time is named: the warehouse is not taken for the destination."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tailrace.core.errors import DestinationUnavailable, InDoubt, SourceUnavailable
from tailrace.core.rows import RowKey
from tailrace.core.syncs import SyncDefinition
from tailrace.runtime.http import AiohttpClient
from tailrace.store.connections import ConnectionDraft, ConnectionKind
from tailrace_gateway.row_tests import send_row
from tailrace_gateway.stores import Stores, open_stores
from tests.executor.sink import Sink
from tests.executor.yard import Yard

_BLOCKED = """
INSERT INTO rate_limits (scope, tat, blocked_until)
SELECT id, clock_timestamp(), clock_timestamp() + interval '9 s' FROM connections
"""


@pytest_asyncio.fixture
async def silent_port() -> AsyncIterator[int]:
    """Where a server takes connections and says nothing."""
    async with await asyncio.start_server(_say_nothing, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest_asyncio.fixture
async def stores(yard: Yard) -> AsyncIterator[Stores]:
    """What the gateway knows."""
    async with AiohttpClient.open(allow_private=True) as http:
        yield open_stores(yard.chassis, http)


async def test_warehouse_that_does_not_open_is_named(yard: Yard, stores: Stores, silent_port: int) -> None:
    definition = await _with_silent(yard, stores, "source_id", silent_port)

    with pytest.raises(SourceUnavailable, match=r"the warehouse does not answer within 0.5 s"):
        await _open(yard, stores, definition, opens_s=0.5)


async def test_destination_that_does_not_open_is_named(yard: Yard, stores: Stores, silent_port: int) -> None:
    definition = await _with_silent(yard, stores, "destination_id", silent_port)

    with pytest.raises(DestinationUnavailable, match=r"the destination does not answer within 0.5 s"):
        await _open(yard, stores, definition, opens_s=0.5)


async def test_row_whose_turn_does_not_come_in_time_was_not_written(yard: Yard, stores: Stores, sink: Sink) -> None:
    await yard.add_people(1, 1)
    await yard.chassis.database.execute(_BLOCKED)

    with pytest.raises(DestinationUnavailable, match=r"the destination does not answer within 5 s"):
        await send_row(stores, yard.sync, RowKey(("1",)), ready_s=5.0)

    assert sink.requests == 0


async def test_row_whose_write_is_not_answered_may_have_been_written(yard: Yard, stores: Stores, sink: Sink) -> None:
    await yard.add_people(1, 1)
    sink.delay_s = 60.0

    with pytest.raises(InDoubt, match=r"the row may have been written, look there: no answer within 5 s"):
        await send_row(stores, yard.sync, RowKey(("1",)), write_s=5.0)

    assert sink.times_by_id == {1: 1}


async def _open(yard: Yard, stores: Stores, definition: SyncDefinition, *, opens_s: float) -> None:
    ends = stores.discovery.ends_of(yard.sync.workspace_id, definition, opens_s=opens_s)
    async with asyncio.timeout(30), ends:
        pass


async def _with_silent(yard: Yard, stores: Stores, end: str, port: int) -> SyncDefinition:
    """The definition with one end at the port, a server of PostgreSQL as far as anybody knows."""
    kind = ConnectionKind.SOURCE if end == "source_id" else ConnectionKind.DESTINATION
    settings = {"host": "127.0.0.1", "port": port, "user": "u", "database": "d", "connect_timeout_s": 60}
    draft = ConnectionDraft("silent", settings, {"/password": "p"})
    stored = await stores.connections.create(yard.sync.workspace_id, kind, "postgres", draft)
    return yard.sync.definition.model_copy(update={end: stored.id})


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()

"""A database with an outbox, a bus in memory, and events to send."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tailrace.bus.memory import MemoryBus
from tailrace.core.outgoing import OutgoingEvent
from tailrace.events.models import RunQueued, RunRequested
from tailrace.events.outgoing import outgoing
from tailrace.events.topics import TopicNames
from tailrace.store.database import Database
from tailrace.store.outbox import enqueue

NAMES = TopicNames("acme")
QUEUED_TOPIC = NAMES.of(RunQueued.type)
REQUESTED_TOPIC = NAMES.of(RunRequested.type)


@pytest.fixture
def bus() -> MemoryBus:
    """A bus within this process."""
    return MemoryBus()


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on a database with our schema."""
    async with Database.open(database_url, application_name="test") as opened:
        yield opened


def queued(number: int, *, sync: str = "sync_1") -> OutgoingEvent:
    """The event of the n-th run of a sync."""
    return outgoing(RunQueued(run_id=f"run_{number}", sync_id=sync, workspace_id="ws_1"), key=sync)


async def commit(database: Database, *events: OutgoingEvent) -> None:
    """Write events as a service does, in one transaction."""
    async with database.transaction() as connection:
        await enqueue(connection, events)

"""Trials on the PostgreSQL of the session, each with databases of its own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio

from tailrace.core.syncs import SyncMode
from tests.faults.ground import Ground, open_ground
from tests.faults.trial import Trial, open_trial
from tests.fixtures.postgres import PostgresServer


@pytest_asyncio.fixture
async def ground(database_url: str, tmp_path: Path) -> AsyncIterator[Ground]:
    """A ground for this test alone."""
    async with open_ground(database_url, tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def trial(postgres_server: PostgresServer, ground: Ground) -> AsyncIterator[Trial]:
    """A trial in mode insert, where each repeat can be told."""
    async with open_trial(postgres_server, ground, SyncMode.INSERT) as opened:
        yield opened


@pytest_asyncio.fixture
async def trials(postgres_server: PostgresServer, ground: Ground) -> AsyncIterator[list[Trial]]:
    """A trial in each mode, on the same ground."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_trial(postgres_server, ground, mode)) for mode in SyncMode]

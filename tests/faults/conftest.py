"""Trials on the PostgreSQL of the session, each with databases of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tailrace.core.syncs import SyncMode
from tests.faults.trial import Trial, open_trial
from tests.fixtures.postgres import PostgresServer

MODES = (SyncMode.UPSERT, SyncMode.INSERT, SyncMode.DELETE)

InEachMode = Callable[[Callable[[Trial], Awaitable[list[str]]]], Awaitable[list[str]]]


@pytest.fixture
def in_each_mode(postgres_server: PostgresServer, template_database: str, tmp_path: Path) -> InEachMode:
    """Goes through the same trial in all modes at once; gives what did not hold in any."""

    async def one(mode: SyncMode, go: Callable[[Trial], Awaitable[list[str]]]) -> list[str]:
        async with open_trial(postgres_server, template_database, mode, tmp_path) as trial:
            return await go(trial)

    async def each(go: Callable[[Trial], Awaitable[list[str]]]) -> list[str]:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one(mode, go)) for mode in MODES]
        return [breach for task in running for breach in task.result()]

    return each


@pytest_asyncio.fixture
async def trial(postgres_server: PostgresServer, template_database: str, tmp_path: Path) -> AsyncIterator[Trial]:
    """A trial in mode insert, where each repeat can be told."""
    async with open_trial(postgres_server, template_database, SyncMode.INSERT, tmp_path) as opened:
        yield opened

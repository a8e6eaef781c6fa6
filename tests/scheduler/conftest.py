"""A scheduler's surroundings: a store with a sync in it, and a bus within the process."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from tailrace.bus.memory import MemoryBus
from tailrace.core.clock import SystemClock
from tailrace.runtime.health import Health
from tailrace.runtime.service import Chassis
from tailrace.runtime.settings import Settings
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox
from tests.store.conftest import database, stage

__all__ = ["database", "stage"]

A_KEY = base64.b64encode(bytes(32)).decode()
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service is given, and a way to run it."""

    chassis: Chassis
    bus: MemoryBus

    @asynccontextmanager
    async def running(self, serve: Callable[[Chassis], Coroutine[None, None, None]]) -> AsyncIterator[None]:
        """The service at work for as long as the scope lasts; leaving it waits for the drain."""
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(self.chassis))
            yield
            self.chassis.stopping.set()


def surround(database: Database) -> Surroundings:
    """Surroundings on a store."""
    key = SecretStr(A_KEY)
    stopping, clock, bus = asyncio.Event(), SystemClock(), MemoryBus()
    settings = Settings(
        database_url=SecretStr("postgresql://named.elsewhere/x"), secret_key=key, pod_name="scheduler-0"
    )
    chassis = Chassis(
        settings=settings,
        database=database,
        bus=bus,
        box=SecretBox.from_setting(A_KEY),
        health=Health(clock=clock, stopping=stopping),
        stopping=stopping,
        clock=clock,
    )
    return Surroundings(chassis, bus)


@pytest.fixture
def surroundings(database: Database) -> Surroundings:
    return surround(database)

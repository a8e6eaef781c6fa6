"""Opens what a process works with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tailrace.core.clock import SystemClock
from tailrace.runtime.carriers import open_bus
from tailrace.runtime.health import Health
from tailrace.runtime.service import Chassis
from tailrace.runtime.settings import Settings, StoreSettings
from tailrace.store.database import Database, Waits
from tailrace.store.readiness import Readiness


@asynccontextmanager
async def open_chassis(
    settings: Settings, name: str, stopping: asyncio.Event, *, stays_open: bool = False
) -> AsyncIterator[Chassis]:
    """The chassis for as long as the scope lasts; it opens while PostgreSQL and Kafka are down.

    One that `stays_open` closes no connection to PostgreSQL because nobody uses it.

    :raises Invalid: the secret key cannot work.
    """
    box = settings.secret_box()
    clock = SystemClock()
    async with (
        open_database(settings, name, stays_open=stays_open) as database,
        open_bus(settings, client_id=f"tailrace-{name}") as bus,
    ):
        health = Health(clock=clock, stopping=stopping)
        readiness = Readiness(database, settings.database_url.get_secret_value())
        health.check("database", readiness.check_writable)
        health.check("schema", readiness.check_schema)
        # PostgreSQL decides: without the bus, work is found by polling and told of later.
        health.check("bus", bus.check, is_needed=False)
        yield Chassis(
            settings=settings,
            database=database,
            bus=bus,
            box=box,
            health=health,
            stopping=stopping,
            clock=clock,
        )


@asynccontextmanager
async def open_database(settings: StoreSettings, name: str, *, stays_open: bool = False) -> AsyncIterator[Database]:
    """The pool of a process, known to PostgreSQL as `tailrace-<name>`."""
    waits = Waits(acquire_s=settings.database_acquire_s, command_s=settings.database_command_s)
    async with Database.open(
        settings.database_url.get_secret_value(),
        application_name=f"tailrace-{name}",
        max_size=settings.database_pool_size,
        waits=waits,
        stays_open=stays_open,
    ) as database:
        yield database

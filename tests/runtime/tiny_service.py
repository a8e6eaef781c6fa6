"""A service as small as one can be, for tests that need a real process: `python -m tests.runtime.tiny_service WORK`."""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable

import structlog

from tailrace.core.errors import Invalid, StoreUnavailable
from tailrace.runtime.lifecycle import main
from tailrace.runtime.service import Chassis, Service

log = structlog.get_logger(__name__)


async def count(chassis: Chassis) -> None:
    """Write now and then, through every outage, until told to stop; the drain takes a tenth of a second."""
    chassis.health.beat("count")
    while not chassis.stopping.is_set():
        try:
            number = await chassis.database.fetchval("SELECT count(*) FROM runs")
        except StoreUnavailable as error:
            log.warning("count.failed", reason=error.message)
        else:
            log.info("rows.counted", number=number, password="hunter2")
        await asyncio.sleep(0.05)
    log.info("drain.started")
    await asyncio.sleep(0.1)
    log.info("drain.ended")


async def cling(chassis: Chassis) -> None:
    """Never end by itself."""
    await asyncio.Event().wait()


async def fail(chassis: Chassis) -> None:
    """Break."""
    raise RuntimeError(f"lost {chassis.settings.database_url.get_secret_value()}")


async def refuse(chassis: Chassis) -> None:
    """Say that what was given cannot work."""
    raise Invalid("name another port")


async def leave(chassis: Chassis) -> None:
    """End before it is told to."""


async def weigh(chassis: Chassis) -> None:
    """Say how many objects a collection of garbage goes through, and how many it leaves out."""
    log.info("heap.weighed", collected=len(gc.get_objects()), spared=gc.get_freeze_count())
    await chassis.stopping.wait()


async def listen(chassis: Chassis) -> None:
    """Listen once a row is there to be counted."""
    while not await chassis.database.fetchval("SELECT count(*) FROM workspaces"):  # noqa: ASYNC110 - a test adds it
        await asyncio.sleep(0.05)
    chassis.health.opened("tiny")
    await chassis.stopping.wait()


WORKS: dict[str, Callable[[Chassis], Awaitable[None]]] = {
    work.__name__: work for work in (count, cling, fail, refuse, leave, weigh, listen)
}

if __name__ == "__main__":
    main(Service("tiny", WORKS[sys.argv[1]], listens=sys.argv[1] == "listen"))

"""Waits that something may end, and tasks that end with their scope."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tailrace.core.errors import TailraceError


@asynccontextmanager
async def side_by_side() -> AsyncIterator[asyncio.TaskGroup]:
    """Tasks beside the body; the first failure ends all of them, and is raised as it is."""
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        failure = group.exceptions[0]
    if failure is not None:
        raise failure


async def pause(ended: asyncio.Event, most_s: float | None) -> None:
    """Wait until it is set, and not longer than that; None is for ever."""
    with suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await ended.wait()


@asynccontextmanager
async def in_time(within_s: float, late: type[TailraceError], told: str) -> AsyncIterator[None]:
    """A scope that is cut after so long, with an error that tells what did not happen."""
    try:
        async with asyncio.timeout(within_s):
            yield
    except TimeoutError as error:
        raise late(f"{told} within {within_s:g} s") from error

"""Waits that something may end."""

import asyncio
from contextlib import suppress


async def pause(ended: asyncio.Event, most_s: float) -> None:
    """Wait until it is set, and not longer than that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await ended.wait()

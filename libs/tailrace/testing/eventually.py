"""Waiting for the world to reach a state, not for the clock."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

_LIMIT_S = 15.0
_LOOK_EVERY_S = 0.02

Value = TypeVar("Value")


async def eventually(look: Callable[[], Awaitable[Value]], wanted: Value) -> None:
    """Return when the look gives what is wanted.

    :raises AssertionError: it does not within 15 seconds; says what it gave last.
    """
    seen: list[Value] = []
    try:
        async with asyncio.timeout(_LIMIT_S):
            while not seen or seen[-1] != wanted:
                seen = [await look()]
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        raise AssertionError(f"{wanted!r} was wanted, {seen} was there") from None

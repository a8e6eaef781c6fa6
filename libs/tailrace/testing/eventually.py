"""Waiting for the world to reach a state, not for the clock."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

_LIMIT_S = 40.0
_LOOK_EVERY_S = 0.02

Value = TypeVar("Value")


async def eventually(look: Callable[[], Awaitable[Value]], wanted: Value, *, within_s: float = _LIMIT_S) -> None:
    """Return when the look gives what is wanted.

    :raises AssertionError: it does not in time; says what it gave last.
    """
    seen: list[Value] = []
    try:
        async with asyncio.timeout(within_s):
            while not seen or seen[-1] != wanted:
                seen = [await look()]
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        raise AssertionError(f"{wanted!r} was wanted, {seen} was there") from None

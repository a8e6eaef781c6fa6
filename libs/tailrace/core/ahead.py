"""Items that are asked for before anybody needs them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from tailrace.core.errors import TailraceError
from tailrace.core.waits import side_by_side

Item = TypeVar("Item")


@asynccontextmanager
async def asked_ahead(items: AsyncIterator[Item]) -> AsyncIterator[AsyncIterator[Item]]:
    """The same items: while one is looked at, the two that follow wait, and the one behind them is asked for."""
    waiting: asyncio.Queue[_Given[Item]] = asyncio.Queue(maxsize=2)
    async with side_by_side() as tasks:
        asking = tasks.create_task(_ask(items, waiting))
        try:
            yield _all_of(waiting)
        finally:
            asking.cancel()


@dataclass(frozen=True, slots=True)
class _Given(Generic[Item]):
    """An item, or the end: by what went wrong, if anything did."""

    item: Item | None
    failure: TailraceError | None = None


async def _ask(items: AsyncIterator[Item], waiting: "asyncio.Queue[_Given[Item]]") -> None:
    end: _Given[Item] = _Given(None)
    try:
        async for item in items:
            await waiting.put(_Given(item))
    except TailraceError as error:
        end = _Given(None, error)
    await waiting.put(end)


async def _all_of(waiting: "asyncio.Queue[_Given[Item]]") -> AsyncIterator[Item]:
    while True:
        given = await waiting.get()
        if given.failure is not None:
            raise given.failure
        if given.item is None:
            return
        yield given.item

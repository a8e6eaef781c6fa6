"""Items that are asked for before anybody needs them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from tailrace.core.errors import TailraceError
from tailrace.core.waits import side_by_side

Item = TypeVar("Item")

_WAITING_AT_MOST = 3
_WAITING_AGAIN = 1


@asynccontextmanager
async def asked_ahead(items: AsyncIterator[Item]) -> AsyncIterator[AsyncIterator[Item]]:
    """The same items, of which up to three wait while one is looked at.

    Once three wait, none is asked for until one is left. If one were whenever another is taken, a reader who has to ask
    the same source about each item would wait for it every time, and the source for the reader after that.
    """
    ahead: _Ahead[Item] = _Ahead()
    async with side_by_side() as tasks:
        asking = tasks.create_task(ahead.ask(items))
        try:
            yield ahead.items()
        finally:
            asking.cancel()


@dataclass(frozen=True, slots=True)
class _Given(Generic[Item]):
    """An item, or the end: by what went wrong, if anything did."""

    item: Item | None
    failure: TailraceError | None = None


class _Ahead(Generic[Item]):
    """What waits, and whether more is to be asked for."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[_Given[Item]] = asyncio.Queue(maxsize=_WAITING_AT_MOST)
        self._has_room = asyncio.Event()

    async def ask(self, items: AsyncIterator[Item]) -> None:
        end: _Given[Item] = _Given(None)
        try:
            async for item in items:
                await self._waiting.put(_Given(item))
                if self._waiting.full():
                    self._has_room.clear()
                    await self._has_room.wait()
        except TailraceError as error:
            end = _Given(None, error)
        await self._waiting.put(end)

    async def items(self) -> AsyncIterator[Item]:
        while True:
            given = await self._waiting.get()
            if self._waiting.qsize() <= _WAITING_AGAIN:
                self._has_room.set()
            if given.failure is not None:
                raise given.failure
            if given.item is None:
                return
            yield given.item

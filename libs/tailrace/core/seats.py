"""Seats for so many at once, given in the order in which they were asked for."""

import asyncio
from collections import deque


class Seats:
    """As `asyncio.Semaphore`, where who waits is told whether a seat came, and can be sent away."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[asyncio.Future[bool]] = deque()

    @property
    def are_taken(self) -> bool:
        """Whether somebody who comes now has to wait."""
        return not self._free

    def take(self) -> bool:
        """Have a seat at once; False where none is free."""
        if self.are_taken:
            return False
        self._free -= 1
        return True

    def ask(self) -> "asyncio.Future[bool]":
        """Stand in line: done with True when a seat is ours. Whoever sets it to False, or cancels it, gets none."""
        asked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(asked)
        return asked

    def give_back(self) -> None:
        """Leave a seat to the next in line."""
        while self._waiting:
            asked = self._waiting.popleft()
            if not asked.done():
                asked.set_result(True)
                return
        self._free += 1

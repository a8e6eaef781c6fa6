"""The window: how many rows may be under way without a checkpoint, how large they may be, and for how long.

It is the bound on what a crash can send twice. Parcels enter and leave it in the order in which they were read.
"""

import asyncio
from collections import deque

from tailrace.core.clock import Clock
from tailrace.core.errors import TailraceError

WINDOW_BYTES = 32 << 20
"""What the bodies of all rows in a window may come to; a parcel that is larger goes alone."""


class WindowClosed(TailraceError):
    """The run stops at a parcel before this one: nothing of it is to be sent any more."""

    code = "WINDOW_CLOSED"


class Window:
    """The parcels of one run that are under way. With 0 rows, one parcel at a time."""

    def __init__(self, rows: int, clock: Clock, *, open_s: float) -> None:
        self.rows = rows
        self._clock = clock
        self._open_s = open_s
        self._entered: deque[Passage] = deque()
        self._begun: deque[Passage] = deque()
        self._rows_open = self._bytes_open = 0
        self._changed = asyncio.Event()

    def is_half(self, rows: int, size_bytes: int) -> bool:
        """Whether so many rows, or bodies of that size, are half of what it holds."""
        return rows * 2 >= self.rows or size_bytes * 2 >= WINDOW_BYTES

    async def enter(self, rows: int, size_bytes: int = 0) -> "Passage":
        """Wait for room; a parcel larger than the window goes alone."""
        while self._rows_open and (self._rows_open + rows > self.rows or self._bytes_open + size_bytes > WINDOW_BYTES):
            await self._changed.wait()
        passage = Passage(self, rows, size_bytes)
        self._rows_open += rows
        self._bytes_open += size_bytes
        if rows:
            self._entered.append(passage)
        return passage

    def leave(self, passage: "Passage") -> None:
        """The rows of this parcel are settled, or given up."""
        passage.is_open = False
        self._rows_open -= passage.rows
        self._bytes_open -= passage.size_bytes
        for line in (self._entered, self._begun):
            while line and not line[0].is_open:
                line.popleft()
        self._changed.set()
        self._changed.clear()

    def lets(self, passage: "Passage") -> bool:
        """Whether rows of the parcel may be sent now: those that were before, and the oldest parcel's, always may."""
        if not passage.is_open:
            return False
        return passage.sent_at is not None or self._entered[0] is passage or not self._is_overdue

    async def until_it_lets(self, passage: "Passage") -> None:
        """Wait for `lets`.

        :raises WindowClosed: it never will.
        """
        while not self.lets(passage):
            if not passage.is_open:
                raise WindowClosed("the run stops before these rows")
            await self._changed.wait()

    def begin(self, passage: "Passage") -> None:
        """Rows of the parcel are about to leave."""
        if passage.sent_at is None:
            passage.sent_at = self._clock.monotonic()
            self._begun.append(passage)

    @property
    def _is_overdue(self) -> bool:
        since = self._begun[0].sent_at if self._begun else None
        return since is not None and self._clock.monotonic() - since > self._open_s


class Passage:
    """The way of one parcel through the window."""

    def __init__(self, window: Window, rows: int, size_bytes: int = 0) -> None:
        self._window = window
        self.rows = rows
        self.size_bytes = size_bytes
        self.is_open = True
        self.sent_at: float | None = None

    @property
    def is_free(self) -> bool:
        """Whether rows of the parcel may be sent now."""
        return self._window.lets(self)

    async def freed(self) -> None:
        """Wait for `is_free`.

        :raises WindowClosed: the passage has ended.
        """
        await self._window.until_it_lets(self)

    def begin(self) -> None:
        """Rows are about to leave."""
        self._window.begin(self)

    def end(self) -> None:
        """The rows are settled, or given up."""
        self._window.leave(self)

"""The window: how many rows may be under way without a checkpoint, and for how long.

It is the bound on what a crash can send twice. Parcels enter and leave it in the order in which they were read.
"""

import asyncio

from tailrace.core.clock import Clock
from tailrace.core.errors import TailraceError


class WindowClosed(TailraceError):
    """The run stops at a parcel before this one: nothing of it is to be sent any more."""

    code = "WINDOW_CLOSED"


class Window:
    """The parcels of one run that are under way. With 0 rows, one parcel at a time."""

    def __init__(self, rows: int, clock: Clock, *, open_s: float) -> None:
        self.rows = rows
        self._clock = clock
        self._open_s = open_s
        self._open: list[Passage] = []
        self._rows_open = 0
        self._changed = asyncio.Condition()

    async def enter(self, rows: int) -> "Passage":
        """Wait for room; a parcel larger than the window goes alone."""
        passage = Passage(self, rows)
        async with self._changed:
            await self._changed.wait_for(lambda: not self._rows_open or self._rows_open + rows <= self.rows)
            self._rows_open += rows
            if rows:
                self._open.append(passage)
        return passage

    async def leave(self, passage: "Passage") -> None:
        """The rows of this parcel are settled, or given up."""
        async with self._changed:
            self._rows_open -= passage.rows
            if passage.rows:
                self._open.remove(passage)
            self._changed.notify_all()

    def lets(self, passage: "Passage") -> bool:
        """Whether rows of the parcel may be sent now: those that were before, and the oldest parcel's, always may."""
        if passage not in self._open:
            return False
        return passage.sent_at is not None or self._open[0] is passage or not self._is_overdue

    async def until_it_lets(self, passage: "Passage") -> None:
        """Wait for `lets`.

        :raises WindowClosed: it never will.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self.lets(passage) or passage not in self._open)
        if passage not in self._open:
            raise WindowClosed("the run stops before these rows")

    def begin(self, passage: "Passage") -> None:
        """Rows of the parcel are about to leave."""
        if passage.sent_at is None:
            passage.sent_at = self._clock.monotonic()

    @property
    def _is_overdue(self) -> bool:
        since = min((passage.sent_at for passage in self._open if passage.sent_at is not None), default=None)
        return since is not None and self._clock.monotonic() - since > self._open_s


class Passage:
    """The way of one parcel through the window."""

    def __init__(self, window: Window, rows: int) -> None:
        self._window = window
        self.rows = rows
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

    async def end(self) -> None:
        """The rows are settled, or given up."""
        await self._window.leave(self)

"""`asyncio.timeout` for many waits of the same length side by side, by one timer instead of one for each."""

import asyncio
from types import TracebackType
from typing import Self


class TimeLimit:
    """So many seconds for each of the scopes that are opened of it, in whatever tasks of one event loop."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        self._open: dict[_Timed, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def scope(self) -> "_Timed":
        """Raise TimeoutError out of what is still waited for inside when the time is over."""
        return _Timed(self)

    def enter(self, timed: "_Timed") -> None:
        """Its time begins; what began before ends before."""
        loop = asyncio.get_running_loop()
        ends = self._open[timed] = loop.time() + self.wait_s
        if self._timer is None:
            self._timer = loop.call_at(ends, self._end_overdue)

    def leave(self, timed: "_Timed") -> None:
        """It has ended, in time or not."""
        del self._open[timed]

    def _end_overdue(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        for timed, ends in self._open.items():
            if timed.is_over:
                continue
            if ends > loop.time():
                self._timer = loop.call_at(ends, self._end_overdue)
                return
            timed.end()


class _Timed:
    """One scope; what `asyncio.timeout` does where a cancellation from elsewhere meets its own, this does too."""

    __slots__ = ("_cancelling", "_limit", "_task", "is_over")

    def __init__(self, limit: TimeLimit) -> None:
        self._limit = limit
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self.is_over = False

    def end(self) -> None:
        """The time is over."""
        self.is_over = True
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("a time limit is for tasks")
        self._cancelling = self._task.cancelling()
        self._limit.enter(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._limit.leave(self)
        if not self.is_over or self._task is None:
            return
        if self._task.uncancel() <= self._cancelling and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error

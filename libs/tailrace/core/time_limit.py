"""Waits side by side that something ends: `asyncio.timeout` for many, by one timer or none instead of one for each."""

import asyncio
from types import TracebackType
from typing import Self


class Scopes:
    """Scopes that are open, in whatever tasks of one event loop."""

    def __init__(self) -> None:
        self._open: dict[Scope, float] = {}

    def scope(self) -> "Scope":
        """A scope out of which TimeoutError is raised where it is ended from outside."""
        return Scope(self)

    def enter(self, scope: "Scope") -> None:
        """It begins."""
        self._open[scope] = 0.0

    def leave(self, scope: "Scope") -> None:
        """It was left, ended or not."""
        del self._open[scope]

    def end_all(self) -> None:
        """End what is waited for in any of them."""
        for scope in self._open:
            if not scope.is_over:
                scope.end()


class TimeLimit(Scopes):
    """So many seconds for each scope."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self._wait_s = wait_s
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, scope: "Scope") -> None:
        """Its time begins; what began before ends before."""
        loop = asyncio.get_running_loop()
        ends = self._open[scope] = loop.time() + self._wait_s
        if self._timer is None:
            self._timer = loop.call_at(ends, self._end_overdue)

    def _end_overdue(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        for scope, ends in self._open.items():
            if scope.is_over:
                continue
            if ends > loop.time():
                self._timer = loop.call_at(ends, self._end_overdue)
                return
            scope.end()


class Scope:
    """One of them; where a cancellation from elsewhere meets its end, it is left as `asyncio.timeout` would be."""

    __slots__ = ("_cancelling", "_scopes", "_task", "is_over")

    def __init__(self, scopes: Scopes) -> None:
        self._scopes = scopes
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self.is_over = False

    def end(self) -> None:
        """End what is waited for inside, from another task; once."""
        self.is_over = True
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("only what a task waits for can be ended")
        self._cancelling = self._task.cancelling()
        self._scopes.enter(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._scopes.leave(self)
        if not self.is_over or self._task is None:
            return
        if self._task.uncancel() <= self._cancelling and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error

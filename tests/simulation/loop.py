"""An event loop whose time jumps to the next timer, and processes in it that can be frozen and killed.

All that happens follows from the order of calls: the same work gives the same course, whatever the machine.
"""

import asyncio
import contextlib
import heapq
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import Any, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

START = datetime(2026, 3, 2, 9, 0, 30, tzinfo=UTC)
"""When every world begins."""

_STEPS_AT_MOST = 400_000
_FAREWELLS = 30


class Stuck(Exception):
    """Nothing is left that could ever happen, or it never stops."""


class State(StrEnum):
    """What a process can be in."""

    RUNNING = "running"
    FROZEN = "frozen"
    DEAD = "dead"


@dataclass(eq=False, slots=True)
class Process:
    """Everything that runs in its context; what comes to pass while it does not run waits, for ever if it is dead."""

    name: str
    state: State = State.RUNNING
    parked: "list[Due]" = field(default_factory=list)


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""Which process the code at hand belongs to; None for the world around them."""


class SimulatedTask(asyncio.Task[Any]):
    """A task whose place in a set follows from when it was made, not from where it lies in memory."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, number: int, **options: Any) -> None:  # noqa: ANN401 - asyncio's own
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


class Due(asyncio.TimerHandle):
    """A call that is to be made, now or later; lighter than what asyncio makes of it, since a story makes thousands."""

    __slots__ = ("arguments", "at", "context", "is_cancelled", "work")

    def __init__(self, at: float, work: Callable[..., object], arguments: Sequence[Any], context: Context) -> None:
        self.at = at
        self.work = work
        self.arguments = arguments
        self.context = context
        self.is_cancelled = False

    def cancel(self) -> None:
        """Have it not made."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Whether it will not be made."""
        return self.is_cancelled

    def when(self) -> float:
        """The virtual time from which on it can be made."""
        return self.at


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs what is ready in order; with nothing ready, time is what the next timer says."""

    _ready: "Any"  # a deque of calls that are due, made by the base, which also asks
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._timers: list[tuple[float, int, Due]] = []
        self._nowhere = Context()
        self._timers_made = count()
        self._tasks_made = count()
        self.steps = 0
        self.problems: list[str] = []

    def time(self) -> float:
        """Virtual seconds since the world began."""
        return self._now

    def create_task(
        self,
        coro: "Generator[Any, None, _T] | Coroutine[Any, Any, _T]",
        *,
        name: object = None,
        context: Context | None = None,
    ) -> "asyncio.Task[_T]":
        """A task that keeps its place in sets; its name is nobody's business."""
        assert isinstance(coro, Coroutine)
        return SimulatedTask(coro, loop=self, number=next(self._tasks_made), context=context)

    def call_soon(self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None) -> Due:
        """Call in the next round."""
        due = Due(self._now, callback, args, copy_context() if context is None else context)
        self._ready.append(due)
        return due

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> Due:
        """Call at a time; calls for the same time are made in the order in which they were asked for."""
        due = Due(when, callback, args, copy_context() if context is None else context)
        heapq.heappush(self._timers, (when, next(self._timers_made), due))
        return due

    def call_later(
        self, delay: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> Due:
        """Call after so many virtual seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def outside(self, delay_s: float, callback: Callable[[*_Ts], object], *arguments: *_Ts) -> None:
        """Call later, whatever becomes of the process that asks for it."""
        self.call_at(self._now + delay_s, callback, *arguments, context=self._nowhere)

    def freeze(self, process: Process) -> None:
        """Stop a process between two of its steps."""
        if process.state is State.RUNNING:
            process.state = State.FROZEN

    def thaw(self, process: Process) -> None:
        """Let a frozen process go on with all that came to pass meanwhile."""
        if process.state is State.FROZEN:
            process.state = State.RUNNING
            self._ready.extend(process.parked)
            process.parked.clear()

    def kill(self, process: Process) -> None:
        """End a process at once: none of its code runs any more, not even what cleans up."""
        process.state = State.DEAD

    def bury(self, processes: Iterable[Process]) -> None:
        """Make room: let the tasks of the dead be cancelled, in a world that answers nobody any more."""
        for process in processes:
            process.state = State.RUNNING
            self._ready.extend(process.parked)
            process.parked.clear()
        self.steps = 0
        for _ in range(_FAREWELLS):
            left = asyncio.all_tasks(self)
            if not left:
                return
            for task in left:
                task.cancel()
            self.run_until_complete(asyncio.sleep(0))
        raise Stuck(f"tasks that nothing ends: {asyncio.all_tasks(self)}")

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        while not self._stopping:
            if not ready:
                self._jump()
            self.steps += 1
            if self.steps > _STEPS_AT_MOST:
                raise Stuck(f"{self.steps} rounds, and no end")
            while timers and timers[0][0] <= self._now:
                ready.append(heapq.heappop(timers)[2])
            for _ in range(len(ready)):
                self._make(ready.popleft())

    def _make(self, due: Due) -> None:
        if due.is_cancelled:
            return
        context = due.context
        process = context.get(PROCESS)
        if process is not None and process.state is not State.RUNNING:
            process.parked.append(due)
            return
        try:
            context.run(due.work, *due.arguments)
        except Exception as error:  # noqa: BLE001 - as asyncio does: the error of a call is the loop's to tell of
            self.problems.append(f"a call failed: {error!r}")

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2].is_cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Stuck("everybody waits, and nothing will come")
        self._now = max(self._now, timers[0][0])

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what asyncio tells of: a task whose error nobody looked at."""
        self.problems.append(f"{context.get('message')}: {context.get('exception')!r}")


class SimulatedClock:
    """The clock of a process: the wall may be wrong, the steady one never."""

    def __init__(self, loop: SimulatedLoop, *, skew_s: float = 0.0) -> None:
        self._loop = loop
        self._skew = timedelta(seconds=skew_s)

    def now(self) -> datetime:
        """The wall clock."""
        return START + timedelta(seconds=self._loop.time()) + self._skew

    def monotonic(self) -> float:
        """Virtual seconds."""
        return self._loop.time()

    async def sleep(self, wait_s: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(wait_s)


@contextlib.contextmanager
def a_loop() -> Generator[SimulatedLoop]:
    """A loop for as long as the scope lasts."""
    loop = SimulatedLoop()
    try:
        yield loop
    finally:
        loop.close()

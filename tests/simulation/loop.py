"""An event loop whose time jumps to the next timer, and processes in it that can be frozen and killed.

All that happens follows from the order of calls: the same work gives the same course, whatever the machine.
"""

import asyncio
import contextlib
import heapq
from collections.abc import Coroutine, Generator, Iterable
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import Any

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
    parked: list[asyncio.Handle] = field(default_factory=list)


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""Which process the code at hand belongs to; None for the world around them."""


class SimulatedTask(asyncio.Task[Any]):
    """A task whose place in a set follows from when it was made, not from where it lies in memory."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, number: int, **options: Any) -> None:  # noqa: ANN401 - asyncio's own
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs what is ready in order; with nothing ready, time is what the next timer says."""

    _ready: "Any"  # a deque of handles, and
    _scheduled: list[asyncio.TimerHandle]  # a heap: both kept by the base

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self.steps = 0
        self.problems: list[str] = []
        numbers = count()
        self.set_task_factory(lambda loop, work, **rest: SimulatedTask(work, loop=loop, number=next(numbers), **rest))
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Virtual seconds since the world began."""
        return self._now

    def outside(self, delay_s: float, callback: Any, *arguments: Any) -> None:  # noqa: ANN401 - as call_later
        """Call later, whatever becomes of the process that asks for it."""
        self.call_later(delay_s, callback, *arguments, context=Context())

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
            for task in asyncio.all_tasks(self):
                task.cancel()
            self.run_until_complete(asyncio.sleep(0))
        if left := asyncio.all_tasks(self):
            raise Stuck(f"tasks that nothing ends: {left}")

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            self._jump()
        self.steps += 1
        if self.steps > _STEPS_AT_MOST:
            raise Stuck(f"{self.steps} rounds, and no end")
        while self._scheduled and self._scheduled[0].when() <= self._now:
            ready.append(heapq.heappop(self._scheduled))
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is None or process.state is State.RUNNING:
                handle._run()
            else:
                process.parked.append(handle)

    def _jump(self) -> None:
        timers = self._scheduled
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Stuck("everybody waits, and nothing will come")
        self._now = max(self._now, timers[0].when())

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are left out when their time comes."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""

    def _note(self, _: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        error = told.get("exception")
        self.problems.append(f"{told.get('message')}: {error!r}")


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

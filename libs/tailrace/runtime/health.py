"""Whether a process can be given work (ready) and whether it should be restarted (live).

Liveness never asks PostgreSQL or Kafka: their outage must not become a storm of restarts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from tailrace.core.clock import Clock
from tailrace.core.errors import TailraceError

Check = Callable[[], Awaitable[None]]
"""Returns if all is well, raises one of our errors otherwise; its message is shown to whoever asks."""

OK = "ok"
CHECK_S = 3.0
BEAT_WITHIN_S = 60.0

_KEEP_S = 1.0
_NOT_YET = "does not listen yet"


@dataclass(frozen=True, slots=True)
class Report:
    """What each check says; `ok` if it is well. What is `spared` may fail and work still be done, if more slowly."""

    checks: Mapping[str, str]
    spared: Collection[str] = ()

    @property
    def is_well(self) -> bool:
        """Whether work may be given: everything that is needed is well."""
        return all(said == OK for name, said in self.checks.items() if name not in self.spared)

    @property
    def is_degraded(self) -> bool:
        """Whether something fails that can be spared."""
        return any(self.checks.get(name, OK) != OK for name in self.spared)


@dataclass(frozen=True, slots=True)
class _Beat:
    at: float
    within_s: float


class Health:
    """The checks and heartbeats of a process. Answers are kept for a second, so that probes cost little."""

    def __init__(self, *, clock: Clock, stopping: asyncio.Event) -> None:
        self._clock = clock
        self._stopping = stopping
        self._checks: dict[str, Check] = {}
        self._spared: set[str] = set()
        self._opening: set[str] = set()
        self._beats: dict[str, _Beat] = {}
        self._known: Report | None = None
        self._known_at = 0.0

    def check(self, name: str, asked: Check, *, is_needed: bool = True) -> None:
        """Make readiness depend on `asked`, which has three seconds to answer; or only show it, if not needed."""
        self._checks[name] = asked
        if not is_needed:
            self._spared.add(name)

    def opening(self, name: str) -> None:
        """Say that a part of this process is to listen, and does not yet."""
        self._opening.add(name)

    def opened(self, name: str) -> None:
        """Say that it listens."""
        self._opening.discard(name)

    def beat(self, name: str, *, within_s: float = BEAT_WITHIN_S) -> None:
        """Say that a loop goes on, and will say so again in time.

        A loop beats also while the store or the bus is down.
        """
        self._beats[name] = _Beat(self._clock.monotonic(), within_s)

    def rest(self, name: str) -> None:
        """Say that a loop ended as it should."""
        self._beats.pop(name, None)

    async def ready(self) -> Report:
        """Whether work may be given to this process."""
        if self._stopping.is_set():
            return Report({"stopping": "the process is stopping"})
        now = self._clock.monotonic()
        if self._known is None or now - self._known_at > _KEEP_S:
            async with asyncio.TaskGroup() as group:
                asked = {name: group.create_task(_ask(check)) for name, check in self._checks.items()}
            self._known = Report({name: task.result() for name, task in asked.items()}, self._spared)
            self._known_at = now
        return Report({**self._known.checks, **dict.fromkeys(self._opening, _NOT_YET)}, self._spared)

    def live(self) -> Report:
        """Whether the loops of this process go on; while it drains they may end one by one."""
        if self._stopping.is_set():
            return Report(dict.fromkeys(self._beats, OK))
        now = self._clock.monotonic()
        return Report({name: _age(beat, now) for name, beat in self._beats.items()})


async def _ask(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_S):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_S:g} s"
    except TailraceError as error:
        return error.message
    return OK


def _age(beat: _Beat, now: float) -> str:
    silent_s = now - beat.at
    return OK if silent_s <= beat.within_s else f"silent for {silent_s:.0f} s"

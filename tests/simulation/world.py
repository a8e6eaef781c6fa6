"""The world of one story: its loop, its clock, its store, what lies at both ends, and the roads between."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakSet

from pydantic import BaseModel

from tailrace.core.errors import StoreUnavailable, TailraceError
from tailrace.core.ids import RunId
from tailrace.core.rows import ColumnKind
from tailrace.core.runs import Lease
from tailrace.core.syncs import SyncDefinition
from tests.simulation.loop import PROCESS, START, Process, SimulatedLoop
from tests.simulation.rows import TICKS_PER_S, SourceRow
from tests.simulation.store import MemoryStore
from tests.simulation.weather import CALM, Weather

_T = TypeVar("_T")

LEASE: ContextVar[Lease | None] = ContextVar("lease", default=None)
"""The lease under which the code at hand works on a run."""

SLOWEST_CALL_S = 1.0
LONGEST_FREEZE_S = 20.0

_QUICK_S = 0.003


class Where(BaseModel):
    """Which source or destination it is."""

    place: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A row on its way to the destination."""

    key: str
    body: bytes


@dataclass(slots=True)
class Request:
    """A request that left for the destination: by whom, and what was taken of it.

    It `is_early` where it deletes what left the query before all other shards of the run were read to their ends.
    """

    at: float
    run_id: RunId
    shard: int
    epoch: int
    operation: str
    place: str
    rows: list[Sent]
    is_current: bool
    is_early: bool
    tells_events: bool
    applied: list[Sent] = field(default_factory=list)
    is_in_doubt: bool = False
    ended_at: float | None = None


@dataclass(slots=True)
class World:
    """Everything that the processes of a story share.

    `sharing` decides all that has to do with runs that executors share, so that other stories stay what they were.
    """

    seed: int
    loop: SimulatedLoop
    chance: Random = field(init=False)
    sharing: Random = field(init=False)
    rows_per_shard: int = 0
    store: MemoryStore = field(init=False)
    weather: Weather = CALM
    block_s: float = 0.0
    refusal: Callable[[], TailraceError | None] = lambda: None
    database_ahead: timedelta = timedelta()
    has_jumped: bool = False
    has_store_trouble: bool = False
    processes: list[Process] = field(default_factory=list)
    bounds: dict[str, tuple[float | None, int | None]] = field(default_factory=dict)
    freezes: int = 0
    crashes: int = 0
    sources: dict[str, list[SourceRow]] = field(default_factory=dict)
    kinds: dict[str, ColumnKind] = field(default_factory=dict)
    lateness: dict[str, int] = field(default_factory=dict)
    ever: dict[tuple[str, SourceRow], int] = field(default_factory=dict)
    changed_at: dict[str, float] = field(default_factory=dict)
    holds: dict[str, dict[str, bytes]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    is_over: bool = False
    unanswered: "WeakSet[asyncio.Future[Any]]" = field(default_factory=WeakSet)

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)
        self.sharing = Random(f"sharing {self.seed}")
        self.store = MemoryStore(self.database_now, lambda: UUID(int=self.chance.getrandbits(128)))

    def database_now(self) -> datetime:
        """The clock that decides."""
        return START + timedelta(seconds=self.loop.time()) + self.database_ahead

    @property
    def tick(self) -> int:
        """The clock of the sources."""
        return int(self.loop.time() * TICKS_PER_S)

    def definition_of(self, run_id: RunId) -> SyncDefinition:
        """The version of its sync that a run follows."""
        run = self.store.tables.runs[run_id]
        return self.store.tables.syncs[run.sync_id].versions[run.version]

    def breach(self, told: str) -> None:
        """Something happened that must never happen."""
        self.breaches.append(f"at {self.loop.time():.3f} s: {told}")

    def luck(self, *chances: float) -> int | None:
        """Which of some mishaps happens, if any."""
        roll = self.chance.random()
        for at, chance in enumerate(chances):
            roll -= chance
            if roll < 0:
                return at
        return None

    def end(self) -> None:
        """Nobody is answered any more, and who waits for an answer, dead or not, waits no longer."""
        self.is_over = True
        for answer in tuple(self.unanswered):
            answer.cancel()

    def kill(self, process: Process) -> None:
        """The process is gone; whoever keeps it running starts another."""
        self.crashes += 1
        self.loop.kill(process)

    def freeze(self, process: Process, for_s: float) -> None:
        """The process stands still for a while."""
        self.freezes += 1
        self.loop.freeze(process)
        self.loop.outside(for_s, self.loop.thaw, process)

    async def call(self, transaction: Callable[[], _T]) -> _T:
        """A transaction of the store, as a process sees it: it may come late, not at all, or unknown to the caller.

        :raises StoreUnavailable: it may have happened, or may still.
        """
        if self.is_over:
            raise asyncio.CancelledError
        weather, process = self.weather, PROCESS.get()
        mishap = None
        if process is not None and weather is not CALM:
            mishap = self.luck(
                weather.store_refuses,
                weather.store_in_doubt,
                weather.store_slow,
                weather.crash / 2,
                weather.crash / 2,
                weather.freeze / 2,
                weather.freeze / 2,
            )
        wait_s = self.chance.uniform(0.0, SLOWEST_CALL_S if mishap == 2 else _QUICK_S)
        answer: asyncio.Future[_T] = self.loop.create_future()
        self.unanswered.add(answer)
        self.loop.outside(wait_s, self._arrive, transaction, answer, process, mishap)
        return await answer

    def _arrive(
        self, transaction: Callable[[], _T], answer: "asyncio.Future[_T]", process: Process | None, mishap: int | None
    ) -> None:
        if mishap == 3 and process is not None:
            self.kill(process)
            return
        if mishap == 5 and process is not None:
            self.freeze(process, self.chance.uniform(0.0, LONGEST_FREEZE_S))
        if mishap == 0:
            _raise(answer, StoreUnavailable("the store does not answer"))
            return
        try:
            result = transaction()
        except Exception as error:  # noqa: BLE001 - carried to the caller, whatever it is
            _raise(answer, error)
        else:
            if mishap == 1:
                _raise(answer, StoreUnavailable("the answer of the store is lost"))
            elif not answer.done():
                answer.set_result(result)
        if mishap == 4 and process is not None:
            self.kill(process)
        if mishap == 6 and process is not None:
            self.freeze(process, self.chance.uniform(0.0, LONGEST_FREEZE_S))


WORLD: dict[int, World] = {}
"""Which world a loop belongs to: connectors are opened by classes, which know none."""


def _raise(answer: "asyncio.Future[_T]", error: Exception) -> None:
    """Let the caller have the error; if it is gone, nobody has it."""
    if not answer.done():
        answer.set_exception(error)
        answer.exception()

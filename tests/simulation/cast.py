"""Who acts in a story: executors and schedulers as processes, started again when they are gone."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from random import Random

from tailrace.core.errors import Unavailable
from tailrace.core.ids import RunId
from tailrace.core.outgoing import OutgoingEvent
from tailrace.events.models import RunQueued
from tailrace.pipeline.breaker import BreakerTerms
from tailrace.pipeline.deliver import Patience
from tailrace.pipeline.tenure import Tenure
from tailrace.store.shards import Claim
from tailrace_executor.bench import Bench
from tailrace_executor.handlers import Crew
from tailrace_executor.ledger import LeaseTerms
from tailrace_executor.pauses import Pauses
from tailrace_executor.turns import Turns
from tailrace_scheduler.firing import Firing
from tailrace_scheduler.reaping import Reaping
from tests.simulation import ports
from tests.simulation.destination import NoHttp, SimulatedDestination
from tests.simulation.loop import PROCESS, Process, SimulatedClock, State
from tests.simulation.source import SimulatedSource
from tests.simulation.world import LEASE, World

WINDOW_ROWS = 10
TERMS = LeaseTerms(ttl_s=6.0, margin_s=1.0, grace_s=1.0, heartbeat_s=2.0)
REQUEST_S = 3.0

_POLL_S = 1.0
_MAX_RUNS = 3
_ROUND_S = 2.0
_DEAD_FOR_S = 10.0
_SOON_S = (0.2, 4.0)
_PATIENCE = Patience(attempts=4, base_s=0.1, cap_s=2.0, throttle_cap_s=30.0, request_s=REQUEST_S)


class WatchedCrew(Crew):
    """A crew whose requests show under which lease they leave."""

    async def _work(self, claim: Claim, tenure: Tenure) -> None:
        LEASE.set(claim.lease)
        await Crew._work(self, claim, tenure)


Serve = Callable[["Seat"], Awaitable[None]]


@dataclass(eq=False, slots=True)
class Seat:
    """A place for one process at a time; `crew` is the one at work there."""

    world: World
    name: str
    serve: Serve
    tasks: asyncio.TaskGroup
    starts: int = 0
    process: Process = field(default_factory=lambda: Process("none", State.DEAD))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    crew: Crew | None = None
    is_closed: bool = False

    def start(self) -> None:
        """Have a new process at work."""
        if self.is_closed or self.world.is_over:
            return
        self.starts += 1
        self.stopping = asyncio.Event()
        self.process = Process(f"{self.name}-{self.starts}")
        self.world.processes.append(self.process)
        context = copy_context()
        context.run(PROCESS.set, self.process)
        self.tasks.create_task(self._run(), context=context)
        self.world.loop.outside(1.0, self._watch, self.process)

    async def _run(self) -> None:
        process = self.process
        try:
            await self.serve(self)
        except Exception as error:  # noqa: BLE001 - a process that ends by an error is what a story looks for
            self.world.breach(f"{process.name} ended by {_leaves(error)}")
        process.state = State.DEAD

    def _watch(self, process: Process) -> None:
        """What keeps processes running: another one, a while after this one is gone."""
        if self.world.is_over:
            return
        if process.state is State.DEAD:
            self.world.loop.outside(self.world.chance.uniform(*_SOON_S), self.start)
        else:
            self.world.loop.outside(1.0, self._watch, process)


async def execute(seat: Seat) -> None:
    """What `tailrace executor` does, without the bus: claims, works, lets go when it is told to."""
    await at_work(seat, crew_of(bench_of(seat), _MAX_RUNS, _POLL_S))


def crew_of(bench: Bench, max_runs: int, poll_s: float) -> WatchedCrew:
    """A crew that has room for so many runs, all of which may be of one workspace."""
    return WatchedCrew(bench, Turns(bench.clock, max_runs, max_runs), poll_s)


async def at_work(seat: Seat, crew: Crew) -> None:
    """A crew that works until its process is told to stop."""
    seat.crew = crew
    stopping = seat.stopping
    async with asyncio.TaskGroup() as tasks:
        cancels = tasks.create_task(crew.heed_cancels())
        claims = tasks.create_task(crew.claim_runs(stopping, tasks))
        await stopping.wait()
        crew.let_go()
        await asyncio.wait({claims})
        await crew.idle()
        cancels.cancel()
    seat.crew = None


async def schedule(seat: Seat) -> None:
    """What `tailrace scheduler` does in its rounds: fires schedules, closes what was cancelled."""
    world, stopping = seat.world, seat.stopping
    store, road = world.store, world.call
    clock = SimulatedClock(world.loop)
    shards = ports.MemoryShards(store, road)
    firing = Firing(ports.MemorySchedules(store, road), clock, Random(world.chance.random()))
    reaping = Reaping(
        database=None,  # type: ignore[arg-type]  # only tells executors again, which these rounds do not do
        abandoned=ports.MemoryAbandoned(store, road),
        shards=shards,
        shared_runs=ports.MemorySharedRuns(store, road),
        clock=clock,
        owner=seat.process.name,
        dead_for_s=_DEAD_FOR_S,
    )
    while not stopping.is_set():
        for act in (firing.fire_due, reaping.close_cancelled):
            with suppress(Unavailable):
                await act()
        with suppress(TimeoutError):
            async with asyncio.timeout(_ROUND_S):
                await stopping.wait()


def spread(seats: list[Seat], event: OutgoingEvent) -> None:
    """What the bus makes of a run that was queued: it wakes executors, or does not, late or more than once."""
    if event.type != RunQueued.type:
        return
    for seat in seats:
        world, weather = seat.world, seat.world.weather
        times = 2 if world.chance.random() < weather.event_repeated else 1
        for _ in range(times):
            if world.chance.random() >= weather.event_lost:
                is_late = world.chance.random() < weather.event_late
                world.loop.outside(world.chance.uniform(0.0, 60.0 if is_late else 0.05), _wake, seat)


def _wake(seat: Seat) -> None:
    if seat.crew is not None:
        seat.crew.wake.set()


def bench_of(seat: Seat) -> Bench:
    """What an executor of a story works with, on short terms."""
    world = seat.world
    store, road = world.store, world.call
    sharing: set[RunId] = set()
    return Bench(
        owner=seat.process.name,
        terms=TERMS,
        window_rows=WINDOW_ROWS,
        checkpoint_s=0.2,
        patience=_PATIENCE,
        shards=ports.MemoryShards(store, road, sharing),
        shared_runs=ports.MemorySharedRuns(store, road),
        rows_per_shard=world.rows_per_shard,
        sharing=sharing,
        checkpoints=ports.MemoryCheckpoints(store, road),
        snapshots=ports.MemorySnapshots(store, road),
        connections=ports.MemoryConnections(road, world.bounds),
        syncs=ports.MemorySyncs(store, road),
        dead_letters=ports.MemoryDeadLetters(store, road),
        limits=ports.MemoryLimits(store, road),
        http=NoHttp(),
        clock=SimulatedClock(world.loop),
        random=Random(world.chance.random()),
        warehouse_type=lambda _: SimulatedSource,
        destination_type=lambda _: SimulatedDestination,
        breaker_terms=BreakerTerms(probe_first_s=0.2, probe_cap_s=2.0, probe_for_s=4.0, hold_s=10.0),
        pauses=Pauses(first_s=2.0, cap_s=20.0, limit_s=400.0),
    )


def _leaves(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_leaves(one) for one in error.exceptions)
    return repr(error)

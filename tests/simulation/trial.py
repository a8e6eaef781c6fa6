"""One trial in virtual time with the product's own settings: a sync, a few executors, and what a test does to them.

Events reach nobody here: whatever is found is found by looking, as where there is no Kafka.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

from tailrace.core.ids import RunId, SyncId
from tailrace.core.rows import ColumnKind
from tailrace.core.runs import RunKind, RunStatus, RunTrigger
from tailrace.core.syncs import FieldMapping, ManualSchedule, SyncDefinition, SyncMode
from tailrace.events.run_events import run_cancelled_in_queue, run_queued
from tailrace.pipeline.breaker import BreakerTerms
from tailrace.pipeline.deliver import Patience
from tailrace.runtime.settings import Settings
from tailrace.store.limits import BLOCK_LIMIT_S
from tailrace.store.runs import NewRun
from tailrace.store.shards import LONGEST_WAIT
from tailrace_executor.ledger import LeaseTerms
from tailrace_executor.pauses import Pauses
from tests.simulation.cast import Seat, at_work, bench_of, crew_of
from tests.simulation.loop import State, a_loop
from tests.simulation.rows import SourceRow
from tests.simulation.store import WORKSPACE
from tests.simulation.tables import RunRecord, ShardRecord, SyncRecord
from tests.simulation.world import WORLD, Request, World

SYNC = SyncId("sync")
PEOPLE = "people"
CRM = "crm"

_LOOKS = 6000


def setting(name: str) -> float:
    """What the product does where nobody decides otherwise."""
    value: float = Settings.model_fields[name].default
    return value


REQUEST_S = setting("request_timeout_s")


class _Over(Exception):
    """The trial has been played."""


@dataclass(slots=True)
class Trial:
    """What a scene acts on, and what a test then looks at."""

    world: World
    seats: list[Seat] = field(default_factory=list)

    @property
    def now_s(self) -> float:
        """Virtual seconds."""
        return self.world.loop.time()

    @property
    def run(self) -> RunRecord:
        """The newest run."""
        return next(reversed(self.world.store.tables.runs.values()))

    @property
    def shard(self) -> ShardRecord:
        """The first shard of it."""
        return self.run.shards[0]

    @property
    def requests(self) -> list[Request]:
        """All that left so far."""
        return self.world.requests

    def start(self) -> None:
        """Queue a run."""
        run_id = RunId(f"run {len(self.world.store.tables.runs)}")
        event = run_queued(NewRun(run_id, WORKSPACE, SYNC, RunKind.INCREMENTAL, RunTrigger.API, "somebody"))
        self.world.store.start(run_id, SYNC, RunKind.INCREMENTAL, event)

    def cancel(self) -> None:
        """Ask the run to end."""
        self.world.store.cancel(SYNC, run_cancelled_in_queue)

    @property
    def owner(self) -> Seat:
        """Where the run is worked on."""
        return next(seat for seat in self.seats if seat.crew is not None and seat.crew.tenures)

    async def until(self, holds: Callable[[], bool], *, within_s: float = 60.0) -> None:
        """Return once it holds."""
        async with asyncio.timeout(within_s):
            while not holds():  # noqa: ASYNC110 - virtual time costs nothing
                await asyncio.sleep(within_s / _LOOKS)

    async def ended(self, *, within_s: float = 60.0) -> None:
        """Return once the run has ended."""
        await self.until(lambda: not self.run.is_active, within_s=within_s)


Scene = Callable[[Trial], Awaitable[None]]


def play(
    scene: Scene, *, mode: SyncMode = SyncMode.UPSERT, people: int = 40, executors: int = 2, seed: int = 1
) -> Trial:
    """Play a scene to its end."""
    gc.disable()  # what it finds would come to the loop from outside
    try:
        return _played(scene, mode, people, executors, seed)
    finally:
        gc.enable()


def _played(scene: Scene, mode: SyncMode, people: int, executors: int, seed: int) -> Trial:
    with a_loop() as loop:
        asyncio.set_event_loop(loop)
        world = World(seed, loop)
        world.store.longest_wait, world.store.longest_block = LONGEST_WAIT, timedelta(seconds=BLOCK_LIMIT_S)
        WORLD[id(loop)] = world
        trial = Trial(world)
        _set_up(world, mode, people)
        try:
            loop.run_until_complete(_play(trial, scene, executors))
        finally:
            world.end()
            loop.bury(world.processes)
            del WORLD[id(loop)]
            asyncio.set_event_loop(None)
    assert [*world.breaches, *loop.problems] == []
    return trial


async def _play(trial: Trial, scene: Scene, executors: int) -> None:
    world = trial.world
    try:
        async with asyncio.TaskGroup() as tasks:
            trial.seats = [Seat(world, f"executor-{number}", _execute, tasks) for number in range(executors)]
            for seat in trial.seats:
                seat.start()
            try:
                await scene(trial)
            finally:
                world.end()
                for process in world.processes:
                    process.state = State.FROZEN
                    world.loop.thaw(process)
            raise _Over
    except* _Over:
        pass


async def _execute(seat: Seat) -> None:
    bench = replace(
        bench_of(seat),
        terms=LeaseTerms(
            ttl_s=setting("lease_ttl_s"),
            margin_s=setting("lease_margin_s"),
            grace_s=setting("takeover_grace_s"),
            heartbeat_s=setting("heartbeat_s"),
        ),
        checkpoint_s=setting("checkpoint_s"),
        patience=Patience(request_s=REQUEST_S),
        breaker_terms=BreakerTerms(probe_for_s=setting("outage_probe_s"), hold_s=setting("throttle_hold_s")),
        pauses=Pauses(first_s=setting("outage_pause_s"), limit_s=setting("outage_limit_s")),
        random=Random(seat.world.chance.random()),
    )
    await at_work(seat, crew_of(bench, int(setting("executor_max_runs")), setting("poll_s")))


def _set_up(world: World, mode: SyncMode, people: int) -> None:
    world.sources[PEOPLE] = [SourceRow(f"k{number:03}", "ann", number) for number in range(people)]
    world.kinds[PEOPLE] = ColumnKind.INTEGER
    definition = SyncDefinition(
        source_id=PEOPLE,
        source_query="SELECT id, name FROM people",
        destination_id=CRM,
        object_name="people",
        field_mappings=(
            FieldMapping(source="id", destination="id", key=True),
            FieldMapping(source="name", destination="name"),
        ),
        sync_mode=mode,
        max_delete_ratio=1.0,
    )
    world.store.tables.syncs[SYNC] = SyncRecord(SYNC, {1: definition}, ManualSchedule(), None)


def is_well(run: RunRecord) -> bool:
    """Whether the run has done all it should."""
    return run.status is RunStatus.SUCCEEDED and run.books.balance

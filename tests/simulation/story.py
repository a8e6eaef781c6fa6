"""One story: a time in which everything may go wrong, a time in which everything is healed, and the verdict."""

import asyncio
import gc
from dataclasses import dataclass, field
from datetime import timedelta

from tailrace.core.due import next_due
from tailrace.core.errors import Conflict
from tailrace.core.ids import RunId, SyncId
from tailrace.core.runs import RunKind, RunStatus, RunTrigger
from tailrace.core.syncs import CronSchedule, FieldMapping, IntervalSchedule, ManualSchedule, SyncMode
from tailrace.events.run_events import run_cancelled_in_queue, run_queued
from tailrace.store.dead_letters import SKIPPED, LetterState
from tailrace.store.runs import NewRun
from tests.simulation import oracle
from tests.simulation.cast import Seat, execute, schedule, spread
from tests.simulation.changes import change_row, remove_row, some_sync
from tests.simulation.harm import in_shards, share_runs
from tests.simulation.logs import crashes_noted
from tests.simulation.loop import State, Stuck, a_loop
from tests.simulation.store import WORKSPACE
from tests.simulation.tables import SyncRecord
from tests.simulation.weather import CALM, some_weather
from tests.simulation.world import LONGEST_FREEZE_S, WORLD, World

_HEALED_WITHIN_S = 1800.0
"""A block of the destination may last 310 s by the clock of a database that jumped back."""

_LOOK_S = 1.0
_TURNED_OVER = 8
_OLDEST = 600
_MORE = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a story."""

    seed: int
    breaches: tuple[str, ...]
    counts: dict[str, int]

    @property
    def told(self) -> str:
        """What went wrong, and how to see it."""
        again = f'make simulate ARGS="--seeds 1 --from {self.seed}"'
        return "\n  ".join((f"seed {self.seed} ({again}):", *self.breaches))


class _Over(Exception):
    """The story has been told."""


def tell(seed: int) -> Verdict:
    """The story of a seed, from its beginning to its end; the same each time."""
    gc.disable()
    try:
        with a_loop() as loop, crashes_noted():
            asyncio.set_event_loop(loop)
            world = World(seed, loop)
            WORLD[id(loop)] = world
            try:
                loop.run_until_complete(_Story(world).tell())
            except Stuck as stuck:
                world.breach(f"stuck: {stuck}")
            finally:
                world.end()
                loop.bury(world.processes)
                del WORLD[id(loop)]
                asyncio.set_event_loop(None)
            world.breaches += loop.problems
            return Verdict(seed, tuple(world.breaches), _counts(world))
    finally:
        gc.enable()


@dataclass(slots=True)
class _Story:
    world: World
    seats: list[Seat] = field(default_factory=list)
    runs: int = 0

    async def tell(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                self._set_up(tasks)
                await self._let_go_wrong()
                await self._heal()
                await self._judge()
                await self._close()
                self._end()
        except* _Over:
            pass

    def _set_up(self, tasks: asyncio.TaskGroup) -> None:
        world, chance = self.world, self.world.chance
        world.store.on_end = lambda run: oracle.check_end(world, run)
        world.store.on_tell = lambda event: spread(self.seats, event)
        at_least = share_runs(world, lambda: self.seats)
        for number in range(chance.choice((1, 1, 2))):
            self._add_sync(number)
        executors = chance.randint(1, 3)
        schedulers = chance.randint(0, 2)
        executors = max(executors, at_least)
        self.seats = [Seat(world, f"executor-{n}", execute, tasks) for n in range(executors)]
        self.seats += [Seat(world, f"scheduler-{n}", schedule, tasks) for n in range(schedulers)]
        for seat in self.seats:
            seat.start()

    def _add_sync(self, number: int) -> None:
        world, chance = self.world, self.world.chance
        sync_id, source = SyncId(f"sync-{number}"), f"source-{number}"
        destination = f"destination-{number}"
        world.bounds[destination] = (
            chance.choice((None, None, 4.0, 20.0)),
            chance.choice((None, None, 1, 3)),
        )
        definition = in_shards(world, some_sync(world, source, destination))
        schedules = (
            ManualSchedule(),
            IntervalSchedule(type="interval", every_minutes=1),
            CronSchedule(type="cron", expression="* * * * *"),
        )
        wanted = chance.choice(schedules)
        world.store.tables.syncs[sync_id] = SyncRecord(
            sync_id, {1: definition}, wanted, next_due(wanted, world.database_now())
        )
        for _ in range(chance.randint(0, 60) + (_MORE if world.rows_per_shard else 0)):
            change_row(world, source, before=chance.randint(0, _OLDEST))
        if definition.sync_mode is SyncMode.DELETE:
            rows = oracle.first_rows(world, definition)
            world.holds[oracle.place_of(definition)] = {
                key: oracle.body_of(world, definition, row) for key, row in rows.items()
            }

    async def _let_go_wrong(self) -> None:
        world, chance = self.world, self.world.chance
        world.weather = some_weather(chance)
        world.has_store_trouble = world.weather.store_refuses + world.weather.store_in_doubt > 0
        deeds = (
            (self._start, 8),
            (self._edit, 4),
            (self._cancel, chance.randint(0, 2)),
            (self._change_sync, chance.randint(0, 2)),
            (self._replay, chance.randint(0, 2)),
            (self._resolve, chance.randint(0, 1)),
            (self._kill, chance.randint(0, 2)),
            (self._freeze, chance.randint(0, 2)),
            (self._stop, chance.randint(0, 1)),
            (self._jump, chance.choice((0, 0, 1))),
            (self._replay, 2 if world.rows_per_shard else 0),
            (self._turn_over, 3 if world.rows_per_shard else 0),
        )
        acts, weights = [deed for deed, _ in deeds], [weight for _, weight in deeds]
        for _ in range(chance.randint(6, 18)):
            chance.choices(acts, weights)[0]()
            await asyncio.sleep(chance.choice((0.01, 0.3, 2.0, 8.0)) * chance.random())

    async def _heal(self) -> None:
        world = self.world
        world.weather = CALM
        if world.chance.random() < 0.5:
            world.database_ahead = timedelta()
        for seat in self.seats:
            world.loop.thaw(seat.process)
        await self._until_idle("healed")

    async def _judge(self) -> None:
        """A last clean run of each sync makes its destination what it is to be; one more finds nothing to do."""
        world = self.world
        for sync in world.store.tables.syncs.values():
            sync.schedule, sync.next_run_at = ManualSchedule(), None
        await self._until_idle("the schedules off")
        for letter in world.store.tables.letters:
            world.store.resolve(letter, "fixed")
        oracle.check_all(world)
        await self._clean_run()
        left_out = self._skipped()
        for sync in world.store.tables.syncs.values():
            for told in oracle.misplaced(world, sync, left_out.get(sync.id, {})):
                world.breach(told)
        sent = len(world.requests)
        await self._clean_run()
        needless = [request for request in world.requests[sent:] if not oracle.sends_all(world, request)]
        if needless:
            world.breach(f"at rest: {len(needless)} requests where nothing has changed")

    async def _clean_run(self) -> None:
        world = self.world
        started = [self._start_run(sync_id, RunKind.INCREMENTAL) for sync_id in world.store.tables.syncs]
        await self._until_idle("a clean run over")
        for run_id in started:
            run = run_id and world.store.tables.runs[run_id]
            if not run or run.status is not RunStatus.SUCCEEDED:
                world.breach(f"clean: {run}")

    async def _close(self) -> None:
        """Everybody is told to stop, and leaves nothing behind."""
        world = self.world
        for seat in self.seats:
            seat.is_closed = True
            seat.stopping.set()
        await asyncio.sleep(10.0)
        for seat in self.seats:
            if seat.process.state is not State.DEAD:
                world.breach(f"leaks: {seat.process.name} does not end")
        if (
            not world.has_jumped
            and not world.crashes
            and not world.has_store_trouble
            and any(world.store.tables.slots.values())
        ):
            world.breach(f"leaks: slots are held at the end: {world.store.tables.slots}")

    def _end(self) -> None:
        """Let everybody go, the dead and the frozen too."""
        world = self.world
        world.end()
        for process in world.processes:
            process.state = State.FROZEN
            world.loop.thaw(process)
        raise _Over

    async def _until_idle(self, what: str) -> None:
        world = self.world
        until = world.loop.time() + _HEALED_WITHIN_S
        while active := [run for run in world.store.tables.runs.values() if run.is_active]:
            if world.loop.time() > until:
                world.breach(f"ends: {[run.id for run in active]} not within {_HEALED_WITHIN_S:g} s of {what}")
                self._end()
            await asyncio.sleep(_LOOK_S)

    def _start(self) -> None:
        sync_id = self.world.chance.choice(list(self.world.store.tables.syncs))
        kind = RunKind.FULL if self.world.chance.random() < 0.2 else RunKind.INCREMENTAL
        self._start_run(sync_id, kind)

    def _start_run(self, sync_id: SyncId, kind: RunKind) -> RunId | None:
        run_id = RunId(f"run {len(self.world.store.tables.runs)}")
        event = run_queued(NewRun(run_id, WORKSPACE, sync_id, kind, RunTrigger.API, "somebody"))
        try:
            self.world.store.start(run_id, sync_id, kind, event)
        except Conflict:
            return None
        return run_id

    def _edit(self) -> None:
        world = self.world
        source = world.chance.choice(list(world.sources))
        for _ in range(world.chance.randint(1, 6)):
            change_row(world, source)

    def _turn_over(self) -> None:
        """Many rows of a sync whose runs can be cut go and many come, and a run begins."""
        world = self.world
        syncs = [sync.versions[1] for sync in world.store.tables.syncs.values()]
        sources = [definition.source_id for definition in syncs if not definition.cursor]
        if not sources:
            return
        source = world.chance.choice(sources)
        for row in world.sources[source][:_TURNED_OVER]:
            remove_row(world, source, row.key)
        for _ in range(_TURNED_OVER):
            change_row(world, source)
        self._start()

    def _cancel(self) -> None:
        store = self.world.store
        store.cancel(self.world.chance.choice(list(store.tables.syncs)), run_cancelled_in_queue)

    def _change_sync(self) -> None:
        world = self.world
        sync = world.chance.choice(list(world.store.tables.syncs.values()))
        definition = sync.versions[sync.version]
        if world.chance.random() < 0.3:
            change: dict[str, object] = {"object_name": world.chance.choice(("people", "contacts"))}
        else:
            tag = FieldMapping(value=world.chance.choice(("x", "y")), destination="tag")
            others = [field for field in definition.field_mappings if field.destination != tag.destination]
            change = {"field_mappings": (*others, tag)}
        sync.versions[sync.version + 1] = definition.model_copy(update=change)

    def _replay(self) -> None:
        store = self.world.store
        for sync_id in store.tables.syncs:
            letters = [
                letter
                for letter in store.tables.letters
                if letter.sync_id == sync_id and letter.state is LetterState.OPEN and letter.row_key is not None
            ]
            if letters and (run_id := self._start_run(sync_id, RunKind.REPLAY)):
                store.begin_replay(run_id, letters[:3])

    def _resolve(self) -> None:
        store, chance = self.world.store, self.world.chance
        for letter in store.tables.letters:
            if chance.random() < 0.5:
                store.resolve(letter, chance.choice((SKIPPED, "fixed")))

    def _skipped(self) -> dict[SyncId, dict[str, str]]:
        """Keys that somebody wants left alone."""
        found: dict[SyncId, dict[str, str]] = {}
        for letter in self.world.store.tables.letters:
            if letter.resolution == SKIPPED and letter.row_key is not None:
                found.setdefault(letter.sync_id, {})[letter.row_key[0]] = letter.error_code
        return found

    def _kill(self) -> None:
        self.world.kill(self.world.chance.choice(self.seats).process)

    def _freeze(self) -> None:
        chance = self.world.chance
        self.world.freeze(chance.choice(self.seats).process, chance.uniform(0.0, LONGEST_FREEZE_S))

    def _stop(self) -> None:
        self.world.chance.choice(self.seats).stopping.set()

    def _jump(self) -> None:
        world = self.world
        world.has_jumped = True
        world.database_ahead = timedelta(seconds=world.chance.choice((-3600.0, -20.0, 20.0, 3600.0)))


def _counts(world: World) -> dict[str, int]:
    return {
        "runs": len(world.store.tables.runs),
        "shared": sum(run.is_shared for run in world.store.tables.runs.values()),
        "requests": len(world.requests),
        "rows": sum(len(request.applied) for request in world.requests),
        "crashes": world.crashes,
        "freezes": world.freezes,
        "seconds": int(world.loop.time()),
        "steps": world.loop.steps,
    }

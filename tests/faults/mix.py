"""A plan of faults played on one world: several syncs, services as processes, and a PostgreSQL of its own."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tailrace.core.errors import Conflict, StoreUnavailable
from tailrace.core.ids import RunId
from tailrace.core.runs import RunStatus
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.store.migrations import upgrade
from tailrace.store.runs import Run
from tests.faults.ground import TTL_S, Ground, open_ground
from tests.faults.oracle import over_limit
from tests.faults.plan import REPLIES, Deed, Fault, Plan
from tests.faults.proxy import Proxy, open_proxy
from tests.faults.trial import Trial, open_trial
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.trials import Outcome
from tests.walks.processes import ServiceProcess

WANTED = {"executor": 2, "scheduler": 1}
"""Services that are at work: another begins for each that is gone, frozen or leaving."""

_ENDED_WITHIN_S = 300.0
_LOOK_S = 0.1
# So slow that runs last longer than the plan.
_SLOW_S = 1.0
_ASLEEP_S = TTL_S + 4.0
_CUT_EACH = 6
_ROWS_PER_BATCH = 20
_REQUESTS_PER_S = 20.0
_BURST = 1.25 * _REQUESTS_PER_S
_CLOCK = """
CREATE TABLE clock (ahead interval NOT NULL);
INSERT INTO clock VALUES ('0');
CREATE FUNCTION jump() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.lease_expires_at := NEW.lease_expires_at - (SELECT ahead FROM clock);
  RETURN NEW;
END $$;
CREATE TRIGGER jump BEFORE UPDATE ON run_shards FOR EACH ROW EXECUTE FUNCTION jump();
"""
_JUMP = "UPDATE clock SET ahead = $1::text::interval"
_LOSE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user
"""
_SHARED = "SELECT count(DISTINCT run_id) FROM run_shards WHERE shard > 0"
_RUNS = "SELECT id FROM runs WHERE sync_id = $1 ORDER BY queued_at"

_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class Mix:
    """`away` are processes that live and do not work, `doomed` those that are to die at a place."""

    plan: Plan
    ground: Ground
    postgres: EmbeddedPostgres
    proxy: Proxy
    trials: Sequence[Trial]
    tasks: asyncio.TaskGroup
    away: set[str] = field(default_factory=set)
    doomed: list[ServiceProcess] = field(default_factory=list)
    planted: list[str] = field(default_factory=list)
    pending: list["asyncio.Task[None]"] = field(default_factory=list)
    in_doubt: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)

    async def play(self) -> list[Outcome]:
        """Do what the plan says while runs are under way, heal everything, and judge each sync."""
        self.ground.settings = {"rows_per_shard": self.plan.rows_per_shard}
        for trial in self.trials:
            # Several at work are done sooner.
            trial.sink.delay_s = _SLOW_S * (WANTED["executor"] if self.plan.rows_per_shard else 1)
            await trial.yard.warehouse.execute("ANALYZE people")
        await self.trials[0].limit(_REQUESTS_PER_S)
        keeping = self.tasks.create_task(self._keep_services())
        driving = [self.tasks.create_task(self._drive(trial)) for trial in self.trials]
        await asyncio.gather(*(trial.sink.holds(1) for trial in self.trials))
        for fault in self.plan.faults:
            await asyncio.sleep(fault.after_s)
            self.proxy.each = 0
            await self._do(fault)
        await self._heal()
        await asyncio.gather(*driving)
        outcomes = await asyncio.gather(*map(self._judge, self.trials))
        # Who is told to stop before it listens to signals does not end in order.
        await asyncio.gather(*(process.ready() for process in self._at_work(*WANTED)))
        keeping.cancel()
        await asyncio.wait({keeping})
        self.found += [*await self._unshared(), *await self.ground.breaches()]
        return outcomes

    async def _keep_services(self) -> None:
        """As whoever looks after pods does. Nobody else starts any."""
        while True:
            for service, count in WANTED.items():
                if len(self._at_work(service)) < count:
                    place = self.planted.pop() if self.planted and service == "executor" else ""
                    process = await self.ground.start(service, place and f"{place}:kill")
                    self.doomed += [process] if place else []
            await asyncio.sleep(_LOOK_S)

    def _at_work(self, *services: str) -> list[ServiceProcess]:
        return [
            process
            for process in self.ground.services
            if process.child.returncode is None
            and process.pod_name not in self.away
            and process.pod_name.startswith(services)
        ]

    async def _drive(self, trial: Trial) -> None:
        """Start run after run until one has come to its end."""
        status = RunStatus.QUEUED
        while status is not RunStatus.SUCCEEDED:
            run_id = await insist(lambda: _active(trial))
            status = await self.ground.ended(run_id, within_s=_ENDED_WITHIN_S)

    async def _do(self, fault: Fault) -> None:
        trial = self.trials[fault.pick % len(self.trials)]
        match fault.deed:
            case Deed.KILL | Deed.PLANT | Deed.FREEZE | Deed.STOP:
                await self._harm(fault)
            case Deed.RESTART | Deed.CRASH:
                await (self.postgres.stop if fault.deed is Deed.RESTART else self.postgres.crash)()
                await self.postgres.start()
            case Deed.CUT:
                self.proxy.each = _CUT_EACH
            case Deed.JUMP:
                await self._jump(fault.detail)
            case Deed.ANSWER:
                self._reply(trial, fault)
            case Deed.CANCEL:
                await insist(trial.yard.cancel)
            case Deed.LOSE:
                await trial.yard.warehouse.execute(_LOSE)

    async def _harm(self, fault: Fault) -> None:
        services = ("executor", "scheduler") if fault.deed is Deed.KILL else ("executor",)
        async with asyncio.timeout(_ENDED_WITHIN_S):
            while not (there := self._at_work(*services)):  # noqa: ASYNC110 - another starts
                await asyncio.sleep(_LOOK_S)
        victim = there[fault.pick % len(there)]
        match fault.deed:
            case Deed.FREEZE:
                self._aside(victim, self._freeze)
            case Deed.STOP:
                self._aside(victim, self._stop)
            case _:
                self.planted += [fault.detail] if fault.detail else []
                await victim.kill()

    def _aside(self, victim: ServiceProcess, harm: Callable[[ServiceProcess], Awaitable[None]]) -> None:
        """Harm it while the plan goes on."""

        async def harmed() -> None:
            await harm(victim)

        self.away.add(victim.pod_name)
        self.pending.append(self.tasks.create_task(harmed()))

    async def _freeze(self, victim: ServiceProcess) -> None:
        victim.child.send_signal(signal.SIGSTOP)
        await asyncio.sleep(_ASLEEP_S)
        victim.child.send_signal(signal.SIGCONT)
        self.away.discard(victim.pod_name)

    async def _stop(self, victim: ServiceProcess) -> None:
        code = await victim.stop()
        # Told before it listened to signals, or dead of what it was doomed to.
        if code and victim.all("process.opened") and victim not in self.doomed:
            self.found.append(f"end in order: {victim.pod_name} ended with {code}")

    async def _jump(self, ahead: str) -> None:
        await insist(lambda: self.ground.chassis.database.execute(_JUMP, ahead))

    def _reply(self, trial: Trial, fault: Fault) -> None:
        reply, sink = REPLIES[fault.detail], trial.sink
        numbers = range(sink.requests + 1, sink.requests + 1 + fault.times)
        sink.script |= dict.fromkeys(numbers, reply.behaviour)
        if reply.takes_rows:
            self.in_doubt[trial.mode] += fault.times
        else:
            sink.unheard = {*sink.unheard, *numbers}

    async def _heal(self) -> None:
        """From now on nothing goes wrong any more; who is to die dies now."""
        self.proxy.each = 0
        await self._jump("0")
        for trial in self.trials:
            trial.sink.delay_s = 0.0
            trial.sink.script, trial.sink.unheard = {}, ()
        await asyncio.gather(*self.pending)
        self.planted.clear()
        for process in self.doomed:
            await process.kill()

    async def _unshared(self) -> Sequence[str]:
        """The plan, where it has shared runs and none was."""
        shared = await self.ground.chassis.database.fetchval(_SHARED)
        return [] if shared or not self.plan.rows_per_shard else ["shared runs: no run was cut"]

    async def _judge(self, trial: Trial) -> Outcome:
        rows = await insist(lambda: self.ground.chassis.database.fetch(_RUNS, trial.yard.sync.id))
        *earlier, run = [await trial.yard.look(RunId(row["id"])) for row in rows]
        lost_rows = self.in_doubt[trial.mode] * _ROWS_PER_BATCH
        facts = await trial.facts(run, lost_rows=lost_rows, earlier=earlier)
        self.found += await trial.breaches_after(run, lost_rows=lost_rows, earlier=earlier)
        self.found += [f"{trial.mode}: every run ends: {one}" for one in earlier if not _is_broken_off(one)]
        if trial is self.trials[0]:
            self.found += over_limit(trial.sink.asked, requests_per_s=_REQUESTS_PER_S, burst=_BURST)
        return Outcome("mix of faults", 0.0, facts.repeated, facts.repeats_allowed)


async def mixed(plan: Plan, server: PostgresServer, folder: Path) -> tuple[list[str], list[Outcome]]:
    """Play a plan; gives what does not hold then, and what was seen."""
    async with _open_mix(plan, server, folder) as mix:
        outcomes = await mix.play()
        return mix.found, outcomes


async def insist(ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """What the store says once it can be asked."""
    async with asyncio.timeout(_ENDED_WITHIN_S):
        while True:
            with suppress(StoreUnavailable):
                return await ask()
            await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def _open_mix(plan: Plan, server: PostgresServer, folder: Path) -> AsyncIterator[Mix]:
    async with EmbeddedPostgres(durable=False) as postgres, AsyncExitStack() as stack:
        dsn = await postgres.ensure_database("state")
        await upgrade(dsn)
        proxy, services_url = await stack.enter_async_context(open_proxy(dsn))
        ground = await stack.enter_async_context(open_ground(dsn, folder, services_url=services_url))
        async with ground.chassis.database.transaction() as connection:
            await connection.execute(_CLOCK)
        trials = [await stack.enter_async_context(open_trial(server, ground, mode)) for mode in plan.modes]
        async with asyncio.TaskGroup() as tasks:
            yield Mix(plan, ground, postgres, proxy, trials, tasks)


async def _active(trial: Trial) -> RunId:
    """The run that is under way, or a new one."""
    try:
        return await trial.yard.start()
    except Conflict as conflict:
        return RunId(conflict.existing_id or "")


def _is_broken_off(run: Run) -> bool:
    """By a cancel, or by executors that died of it again and again."""
    return run.status is RunStatus.CANCELLED or run.error_code == "CRASH_LOOP"

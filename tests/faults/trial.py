"""One trial: a sync with a state, a source and a sink of its own, and executors as processes to break."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from tailrace.core.ids import RunId
from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tailrace.store.connections import ConnectionDraft
from tailrace.store.runs import Run
from tests.executor.yard import Yard, definition_of, make_sync, open_chassis
from tests.faults.oracle import Facts, breaches, misplaced
from tests.faults.sink import Row, Sink, open_sink
from tests.fixtures.postgres import PostgresServer
from tests.walks.processes import ServiceProcess, a_service

ROWS = 1500
WINDOW_ROWS = 100
BYSTANDER = 1_000_000
RESUMED_WITHIN_S = 30.0
"""Lease, grace and poll come to 7.6 s; the rest is for the start of the other executor on a machine with other work."""

# As short as the rules between them allow.
SHORT_LEASES = {
    "LEASE_TTL_S": "6",
    "HEARTBEAT_S": "2",
    "LEASE_MARGIN_S": "1",
    "TAKEOVER_GRACE_S": "1",
    "DATABASE_ACQUIRE_S": "1",
    "DATABASE_COMMAND_S": "2",
    "DATABASE_POOL_SIZE": "4",
    "POLL_S": "0.5",
    "CHECKPOINT_S": "0.2",
    "WINDOW_ROWS": str(WINDOW_ROWS),
}

_DIES_WITHIN_S = 60.0
_LOOK_S = 0.02
_PEOPLE = "SELECT id, email FROM people"
_DEAD = "SELECT row_key[1]::int AS id FROM dead_letters WHERE state = 'open'"
_EPOCH = "SELECT lease_epoch FROM run_shards WHERE run_id = $1"
_LIMIT = "UPDATE connections SET requests_per_s = $1 WHERE kind = 'destination'"
_CHANGE = "UPDATE people SET email = 'new' || id || '@example.com' WHERE id BETWEEN 1 AND 5"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Trial:
    """A sync in one mode, and the executors started so far."""

    mode: SyncMode
    yard: Yard
    sink: Sink
    database_url: str
    folder: Path
    stack: AsyncExitStack
    started: int = field(default=0)

    async def executor(self, failpoint: str = "") -> ServiceProcess:
        """Start an executor, as a process; an empty failpoint is none."""
        self.started += 1
        pod_name = f"executor-{self.started}"
        settings = self.yard.chassis.settings
        environment = {f"TAILRACE_{name}": value for name, value in SHORT_LEASES.items()} | {
            "TAILRACE_DATABASE_URL": self.database_url,
            "TAILRACE_SECRET_KEY": settings.secret_key.get_secret_value(),
            "TAILRACE_ALLOW_PRIVATE_DESTINATIONS": "true",
            "TAILRACE_OPS_PORT": "0",
            "TAILRACE_POD_NAME": pod_name,
            "TAILRACE_FAILPOINT": failpoint,
        }
        log = self.folder / f"{self.mode}-{pod_name}.log"
        return await self.stack.enter_async_context(a_service("executor", pod_name, log, environment))

    async def limit(self, requests_per_s: float | None) -> None:
        """Let the sink be asked so often at most."""
        await self.yard.chassis.database.execute(_LIMIT, requests_per_s)

    async def claimed(self, run_id: RunId) -> None:
        """Return once an executor has the run."""
        async with asyncio.timeout(_DIES_WITHIN_S):
            while (await self.yard.look(run_id)).status is RunStatus.QUEUED:  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(_LOOK_S)

    async def people(self) -> set[Row]:
        """What the source holds."""
        return {(row["id"], row["email"]) for row in await self.yard.warehouse.fetch(_PEOPLE)}

    async def facts(self, run: Run) -> Facts:
        """What was seen of the first run."""
        database = self.yard.chassis.database
        return Facts(
            source=await self.people(),
            arrived=self.sink.rows(),
            dead={row["id"] for row in await database.fetch(_DEAD)},
            run=run,
            takeovers=await database.fetchval(_EPOCH, run.id) - 1,
            window_rows=WINDOW_ROWS,
        )

    async def breaches_after(self, run: Run) -> list[str]:
        """What does not hold after the first run, and after a second that nothing disturbs and that the test awaits."""
        facts = await self.facts(run)
        found = breaches(facts)
        _log.info("%s: %d rows came again, %d may", self.mode, facts.repeated, facts.repeats_allowed)
        page, table = self.sink.page, await self._change()
        second = await self.yard.ended(await self.yard.start())
        sent = self.sink.rows(since=page)
        if second.status is not RunStatus.SUCCEEDED or not second.books.balance:
            found.append(f"the next run is clean: it is {second}")
        if sent.total() != len(sent) or len(sent) != second.books.delivered:
            found.append(
                f"the next run repeats nothing: {sent.total()} rows came, {second.books.delivered} in the books"
            )
        if await self.yard.look(run.id) != run:
            found.append("an end is an end: the run's record was changed afterwards")
        return [f"{self.mode}: {breach}" for breach in [*found, *misplaced(self.sink.table, table)]]

    async def _change(self) -> dict[int, str]:
        """Change the source; gives the table that the sink shall have then."""
        first = {person: email for person, email in await self.people() if not self.sink.is_refused(person)}
        await self.yard.warehouse.execute(_CHANGE)
        await self.yard.add_people(ROWS + 1, ROWS + 5)
        second = {person: email for person, email in await self.people() if not self.sink.is_refused(person)}
        refused = {person: email for person, email in await self.people() if self.sink.is_refused(person)}
        match self.mode:
            case SyncMode.INSERT:
                return {BYSTANDER: "stays"} | second | first
            case SyncMode.DELETE:
                return {BYSTANDER: "stays"} | refused
            case _:
                return {BYSTANDER: "stays"} | second


@dataclass(frozen=True, slots=True)
class KillAt:
    """Where and when an executor dies, and what the trial needs to get there."""

    name: str
    nth: int = 1
    takeovers: int = 1
    unavailable: range = range(0)
    requests_per_s: float | None = None
    by_sigterm: bool = False

    @property
    def failpoint(self) -> str:
        """As it is set."""
        return f"{self.name}:{self.nth}:kill"

    def __str__(self) -> str:
        return f"{self.name}:{self.nth}"


async def kill_at(trial: Trial, place: KillAt) -> list[str]:
    """Kill an executor there, let another go on; gives what does not hold then."""
    trial.sink.unavailable = place.unavailable
    await trial.limit(place.requests_per_s)
    victim = await trial.executor(place.failpoint)
    run_id = await trial.yard.start()
    await trial.claimed(run_id)
    await trial.executor()
    if place.by_sigterm:
        await trial.sink.holds(ROWS // 3)
        victim.child.send_signal(signal.SIGTERM)
    async with asyncio.timeout(_DIES_WITHIN_S):
        code = await victim.child.wait()
    died, page = time.monotonic(), trial.sink.page
    run = await trial.yard.ended(run_id)
    await trial.limit(None)
    resumed = trial.sink.ledger[page].at if trial.sink.page > page else time.monotonic()
    takeovers = (await trial.facts(run)).takeovers
    found = await trial.breaches_after(run)
    _log.info("%s %s: resumed after %.1f s", trial.mode, place, resumed - died)
    if code != -signal.SIGKILL:
        found.append(f"{trial.mode}: the failpoint was not come to; the executor ended with {code}")
    if takeovers != place.takeovers:
        found.append(f"{trial.mode}: {takeovers} takeovers, not {place.takeovers}")
    if resumed - died > RESUMED_WITHIN_S:
        found.append(f"{trial.mode}: resumed after {resumed - died:.1f} s")
    return found


@asynccontextmanager
async def open_trial(server: PostgresServer, template: str, mode: SyncMode, folder: Path) -> AsyncIterator[Trial]:
    """A trial with `ROWS` people in its source; in mode delete, the sink has them too."""
    async with (
        server.fresh_database(template=template) as state,
        server.fresh_database() as source,
        open_chassis(server.dsn(state)) as chassis,
        open_sink() as sink,
        AsyncExitStack() as stack,
    ):
        warehouse = await asyncpg.connect(server.dsn(source), timeout=10, command_timeout=30)
        stack.push_async_callback(warehouse.close, timeout=10)
        await warehouse.execute("CREATE TABLE people (id int, email text)")
        drafts = (
            ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": server.dsn(source)}),
            ConnectionDraft("sink", {"url": sink.url, "rows_per_batch": 20, "requires_results": True}, {}),
        )
        definition = definition_of(_PEOPLE, ("id", "email")).model_copy(update={"sync_mode": mode})
        yard = Yard(chassis, warehouse, await make_sync(chassis, *drafts, definition), patience_s=60.0)
        trial = Trial(mode, yard, sink, server.dsn(state), folder, stack)
        await yard.add_people(1, ROWS)
        sink.table = {BYSTANDER: "stays"} | (dict(await trial.people()) if mode is SyncMode.DELETE else {})
        yield trial

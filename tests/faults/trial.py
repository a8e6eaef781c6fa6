"""One trial: a sync in some mode, with a source and a sink of its own, whose runs are disturbed."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from tailrace.core.ids import RunId
from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tailrace.store.connections import ConnectionDraft
from tailrace.store.runs import Run
from tests.executor.yard import Yard, definition_of, make_sync
from tests.faults.ground import PATIENCE_S, WINDOW_ROWS, Ground
from tests.faults.oracle import Facts, breaches, misplaced
from tests.faults.sink import Row, Sink, open_sink
from tests.fixtures.postgres import PostgresServer

ROWS = 1500
ADDED = 5
BYSTANDER = 1_000_000
RESUMED_WITHIN_S = 60.0
"""Lease, grace and poll come to 7.6 s; the rest is for the start of the other executor on a machine with other work."""

_PEOPLE = "SELECT id, email FROM people"
_DEAD = "SELECT row_key[1]::int AS id FROM dead_letters WHERE sync_id = $1 AND state = 'open'"
_LIMIT = "UPDATE connections SET requests_per_s = $2, max_in_flight = $3 WHERE id = $1"
_CHANGE = "UPDATE people SET email = 'new' || id || '@example.com' WHERE id BETWEEN 1 AND 5"
_LEAVE = "DELETE FROM people WHERE id BETWEEN 11 AND 15"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Trial:
    """A sync on some ground."""

    mode: SyncMode
    ground: Ground
    yard: Yard
    sink: Sink

    async def limit(self, requests_per_s: float | None = None, max_in_flight: int | None = None) -> None:
        """Let the sink be asked so often, and so much at once, at most."""
        destination_id = self.yard.sync.definition.destination_id
        await self.ground.chassis.database.execute(_LIMIT, destination_id, requests_per_s, max_in_flight)

    async def run(self) -> Run:
        """A run from its start to its end, by whoever takes it."""
        return await self.ended(await self.yard.start())

    async def ended(self, run_id: RunId) -> Run:
        """The run, once it has ended."""
        await self.ground.ended(run_id)
        return await self.yard.look(run_id)

    async def people(self) -> set[Row]:
        """What the source holds."""
        return {(row["id"], row["email"]) for row in await self.yard.warehouse.fetch(_PEOPLE)}

    async def facts(self, run: Run, *, lost_rows: int = 0, earlier: Sequence[Run] = ()) -> Facts:
        """What was seen of the first run that was not broken off; the store has lost its knowledge of so many rows."""
        dead = await self.ground.chassis.database.fetch(_DEAD, self.yard.sync.id)
        takeovers = [await self.ground.takeovers(one.id) for one in (*earlier, run)]
        return Facts(
            source=await self.people(),
            arrived=self.sink.rows(),
            dead={row["id"] for row in dead},
            run=run,
            takeovers=sum(takeovers),
            window_rows=WINDOW_ROWS,
            lost_rows=lost_rows,
            earlier=earlier,
            broken_off=await self.ground.begun([one.id for one in earlier]),
        )

    async def breaches_after(self, run: Run, *, lost_rows: int = 0, earlier: Sequence[Run] = ()) -> list[str]:
        """What does not hold after the first run, and after a second that nothing disturbs and that the test awaits."""
        facts = await self.facts(run, lost_rows=lost_rows, earlier=earlier)
        found = breaches(facts)
        _log.info("%s: %d rows came again, %d may", self.mode, facts.repeated, facts.repeats_allowed)
        page, table = self.sink.page, await self._change()
        second = await self.run()
        sent = self.sink.rows(since=page)
        if second.status is not RunStatus.SUCCEEDED or not second.books.balance:
            found.append(f"the next run is clean: it is {second}")
        told = second.books.delivered + second.books.deleted
        if sent.total() != len(sent) or len(sent) != told:
            found.append(f"the next run repeats nothing: {sent.total()} rows came, {told} in the books")
        if await self.yard.look(run.id) != run:
            found.append("an end is an end: the run's record was changed afterwards")
        return [f"{self.mode}: {breach}" for breach in [*found, *misplaced(self.sink.table, table)]]

    async def _change(self) -> dict[int, str]:
        """Change the source; gives the table that the sink shall have then."""
        first = {person: email for person, email in await self.people() if not self.sink.is_refused(person)}
        await self.yard.warehouse.execute(_CHANGE)
        await self.yard.add_people(ROWS + 1, ROWS + ADDED)
        if self.mode is SyncMode.MIRROR:
            await self.yard.warehouse.execute(_LEAVE)
        second = {person: email for person, email in await self.people() if not self.sink.is_refused(person)}
        refused = {person: email for person, email in await self.people() if self.sink.is_refused(person)}
        match self.mode:
            case SyncMode.INSERT:
                return {BYSTANDER: "stays"} | second | first
            case SyncMode.DELETE:
                return {BYSTANDER: "stays"} | refused
            case SyncMode.UPDATE:
                return self.sink.table | second
            case _:
                return {BYSTANDER: "stays"} | second


@asynccontextmanager
async def open_trial(
    server: PostgresServer, ground: Ground, mode: SyncMode, **sink_settings: object
) -> AsyncIterator[Trial]:
    """A trial with `ROWS` people in its source; in modes that only find people, the sink has them too."""
    async with server.fresh_database() as source, open_sink() as sink:
        warehouse = await asyncpg.connect(server.dsn(source), timeout=10, command_timeout=30)
        try:
            await warehouse.execute("CREATE TABLE people (id int, email text)")
            settings = {"url": sink.url, "rows_per_batch": 20, "requires_results": True, **sink_settings}
            drafts = (
                ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": server.dsn(source)}),
                ConnectionDraft("sink", settings, {}),
            )
            definition = definition_of(_PEOPLE, ("id", "email")).model_copy(update={"sync_mode": mode})
            sync = await make_sync(ground.chassis, *drafts, definition)
            trial = Trial(mode, ground, Yard(ground.chassis, warehouse, sync, patience_s=PATIENCE_S), sink)
            await trial.yard.add_people(1, ROWS)
            sink.table = {BYSTANDER: "stays"} | await _known(trial)
            yield trial
        finally:
            await warehouse.close(timeout=10)


async def _known(trial: Trial) -> dict[int, str]:
    """Who is in the sink before the first run."""
    match trial.mode:
        case SyncMode.DELETE:
            return dict(await trial.people())
        case SyncMode.UPDATE:
            return dict.fromkeys(range(1, ROWS + ADDED + 1), "old")
        case _:
            return {}

"""The state store goes, stands still, moves to another machine or has no room: services stay, and go on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.errors import StoreUnavailable
from tailrace.core.ids import RunId
from tailrace.core.syncs import SyncMode
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.store.migrations import upgrade
from tailrace.store.readiness import Readiness
from tests.faults.clients import caller_of, open_session, token_of
from tests.faults.ground import PATIENCE_S, TTL_S, WINDOW_ROWS, open_ground
from tests.faults.standby import Pair, open_pair
from tests.faults.trial import ROWS, Trial, open_trial
from tests.fixtures.postgres import PostgresServer, frozen
from tests.fixtures.trials import Count, Outcome
from tests.gateway.caller import Caller

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

SERVICES = ("gateway", "scheduler", "executor", "executor", "dlq")
RESTARTS = 20
MORE_PEOPLE = (10_001, 10_000 + RESTARTS * WINDOW_ROWS)
"""Enough that there is something to send after each restart."""
SLOW_S = 0.3
"""With so slow a sink, a run lasts through what befalls it."""


@pytest_asyncio.fixture
async def postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A server for this test alone, to break, with a state store in it."""
    async with EmbeddedPostgres() as server:
        await upgrade(await server.ensure_database("state"))
        yield server


@pytest_asyncio.fixture
async def pair(postgres: EmbeddedPostgres) -> AsyncIterator[Pair]:
    """That server, with a standby."""
    async with open_pair(postgres) as opened:
        yield opened


@asynccontextmanager
async def open_site(server: PostgresServer, dsn: str, folder: Path, *services: str) -> AsyncIterator[Trial]:
    """A trial whose state is at that address and whose source is not, with services that are ready."""
    async with open_ground(dsn, folder) as ground, open_trial(server, ground, SyncMode.INSERT) as trial:
        started = [await ground.start(service) for service in services]
        await asyncio.gather(*(service.ready() for service in started))
        trial.sink.delay_s = SLOW_S
        yield trial


async def went_on(trial: Trial, *, since: float) -> float:
    """Seconds until rows came again."""
    page = trial.sink.page
    async with asyncio.timeout(PATIENCE_S):
        while trial.sink.page == page:  # noqa: ASYNC110 - another process sends
            await asyncio.sleep(0.02)
    return time.monotonic() - since


async def concluded(trial: Trial, run_id: RunId, *, lost_rows: int = 0) -> tuple[list[str], Outcome]:
    """What does not hold after all, and what was seen; every process is still the one that was started."""
    trial.sink.delay_s = 0.0
    run = await trial.ended(run_id)
    await asyncio.gather(*(service.ready() for service in trial.ground.services))
    facts = await trial.facts(run, lost_rows=lost_rows)
    found = [*await trial.breaches_after(run, lost_rows=lost_rows), *await trial.ground.breaches()]
    return found, Outcome("", 0.0, facts.repeated, facts.repeats_allowed)


async def test_services_outlive_restarts_of_postgres_and_the_run_goes_on(
    postgres_server: PostgresServer, postgres: EmbeddedPostgres, tmp_path: Path, count: Count
) -> None:
    async with open_site(postgres_server, postgres.dsn("state"), tmp_path, *SERVICES) as trial:
        await trial.yard.add_people(*MORE_PEOPLE)
        run_id = await trial.yard.start()
        await trial.sink.holds(WINDOW_ROWS)
        took: list[float] = []
        for end in (postgres.stop, postgres.crash) * (RESTARTS // 2):
            await end()
            since = time.monotonic()
            await postgres.start()
            took.append(await went_on(trial, since=since))
        breaches, seen = await concluded(trial, run_id)

    count(Outcome("PostgreSQL restarted", resumed_s) for resumed_s in took)
    count([Outcome("PostgreSQL restarted", 0.0, seen.repeated, seen.allowed)])
    assert breaches == []


async def test_frozen_postgres_is_told_as_an_outage_and_waited_for(
    postgres_server: PostgresServer, postgres: EmbeddedPostgres, tmp_path: Path, count: Count
) -> None:
    async with (
        open_site(postgres_server, postgres.dsn("state"), tmp_path, *SERVICES) as trial,
        open_session() as clients,
    ):
        token = await token_of(trial.ground, trial.yard.sync.workspace_id)
        client = await caller_of(trial.ground.services[0], clients, token)
        run_id = await trial.yard.start()
        await trial.sink.holds(WINDOW_ROWS)
        with frozen(postgres):
            since = time.monotonic()
            told = [await status_of(client) for _ in range(3)]
            # Longer than the lease: whoever sends after that could be the second to do so.
            await asyncio.sleep(TTL_S + 1)
            page = trial.sink.page
            await asyncio.sleep(max(0.0, since + 2 * TTL_S - time.monotonic()))
            assert trial.sink.page == page
        resumed_s = await went_on(trial, since=time.monotonic())
        breaches, seen = await concluded(trial, run_id)

    assert told == [503] * 3
    count([Outcome("PostgreSQL frozen", resumed_s, seen.repeated, seen.allowed)])
    assert breaches == []


async def status_of(client: Caller) -> int:
    """What a client hears, which must be soon; a 503 says when to come back."""
    async with asyncio.timeout(30):
        answered = await client.get("/api/reverse-etl/syncs")
    assert answered.status == 200 or int(answered.headers["Retry-After"]) > 0
    return answered.status


async def test_failover_to_a_confirmed_standby_loses_no_checkpoint(
    postgres_server: PostgresServer, pair: Pair, tmp_path: Path, count: Count
) -> None:
    await pair.confirm()
    async with open_site(postgres_server, pair.dsn("state"), tmp_path, *SERVICES) as trial:
        run_id = await trial.yard.start()
        await trial.sink.holds(3 * WINDOW_ROWS)
        await pair.demote()
        await pair.promote()
        resumed_s = await went_on(trial, since=time.monotonic())
        with suppress(StoreUnavailable):
            # Whoever only reads does not notice that the primary is none any more: the probe does.
            await Readiness(trial.ground.chassis.database, pair.dsn("state")).check_writable()
        breaches, seen = await concluded(trial, run_id)

    count([Outcome("PostgreSQL failed over", resumed_s, seen.repeated, seen.allowed)])
    assert breaches == []


@pytest.mark.parametrize("is_claim_lost", [False, True], ids=["checkpoints are lost", "the claim is lost too"])
async def test_failover_that_loses_commits_loses_no_row(
    postgres_server: PostgresServer, pair: Pair, tmp_path: Path, count: Count, *, is_claim_lost: bool
) -> None:
    async with open_site(postgres_server, pair.dsn("state"), tmp_path) as trial:
        run_id = await trial.yard.start()
        if is_claim_lost:
            await pair.part()
        holder = await trial.ground.executor()
        await trial.sink.holds(2 * WINDOW_ROWS)
        if not is_claim_lost:
            await pair.part()
        kept = 0 if is_claim_lost else trial.sink.rows().total() - WINDOW_ROWS
        await trial.sink.holds(kept + 4 * WINDOW_ROWS)
        await pair.primary.crash()
        await pair.promote()
        # The holder sends up to a window more before it finds out.
        lost_rows = trial.sink.rows().total() - kept + WINDOW_ROWS
        await trial.ground.executor()
        resumed_s = await went_on(trial, since=time.monotonic())
        await holder.first("lease.lost")
        breaches, seen = await concluded(trial, run_id, lost_rows=lost_rows)

    count([Outcome("PostgreSQL failed over with loss", resumed_s, seen.repeated, seen.allowed)])
    assert breaches == []


async def test_store_without_room_for_connections_is_told_as_an_outage(
    postgres_server: PostgresServer, database_url: str, tmp_path: Path, count: Count
) -> None:
    name = database_url.rpartition("/")[2].partition("?")[0]
    async with open_site(postgres_server, database_url, tmp_path, *SERVICES) as trial, open_session() as clients:
        token = await token_of(trial.ground, trial.yard.sync.workspace_id)
        client = await caller_of(trial.ground.services[0], clients, token)
        run_id = await trial.yard.start()
        await trial.sink.holds(WINDOW_ROWS)
        connection = await asyncpg.connect(database_url, timeout=10, command_timeout=30)
        await connection.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
        )
        told = await asyncio.gather(*(status_of(client) for _ in range(20)))
        await connection.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
        await connection.close(timeout=10)
        resumed_s = await went_on(trial, since=time.monotonic())
        breaches, seen = await concluded(trial, run_id)

    assert told == [503] * 20
    count([Outcome("PostgreSQL full", resumed_s, seen.repeated, seen.allowed)])
    assert breaches == []


async def test_gateway_whose_connections_are_all_in_use_says_so_soon(trial: Trial) -> None:
    gateway = await trial.ground.start("gateway", database_pool_size=2)
    token = await token_of(trial.ground, trial.yard.sync.workspace_id)
    async with open_session() as clients:
        client = await caller_of(gateway, clients, token)
        before = await status_of(client)
        async with trial.ground.chassis.database.transaction() as connection:
            await connection.execute("LOCK TABLE syncs IN ACCESS EXCLUSIVE MODE")
            told = await asyncio.gather(*(status_of(client) for _ in range(ROWS // 30)))
        after = await status_of(client)

    assert (before, {*told}, after) == (200, {503}, 200)
    assert await trial.ground.breaches() == []

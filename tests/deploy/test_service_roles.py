"""The role that each service logs in as: it can do all of the service's work, and nothing of the others'."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from tailrace.core.ids import new_run_id
from tailrace.core.runs import RunKind, RunTrigger
from tailrace.events.run_events import run_queued
from tailrace.runtime.service import Chassis
from tailrace.store.audit import Audit, Deed
from tailrace.store.audit_chain import FIRST_ACTION, AuditChain
from tailrace.store.connections import ConnectionDraft
from tailrace.store.database import Database
from tailrace.store.grants import GRANTS, ROLES, privileges_of
from tailrace.store.key_rotation import check_keys
from tailrace.store.readiness import Readiness
from tailrace.store.runs import NewRun, Runs
from tailrace.testing.fake_http import FakeHttp
from tailrace_dlq.__main__ import serve as serve_dlq
from tailrace_executor.__main__ import serve as serve_executor
from tailrace_gateway.app import make_app
from tailrace_gateway.routes import ROUTES
from tailrace_gateway.stores import open_stores
from tailrace_scheduler.__main__ import serve as serve_scheduler
from tests.deploy.roles import RolesDatabase, a_database_with_roles, privileges
from tests.executor.sink import open_sink
from tests.executor.yard import definition_of, make_sync, open_chassis
from tests.gateway.conftest import Gateway
from tests.gateway.deeds import DEEDS, set_scene
from tests.gateway.engine import Engine
from tests.gateway.looks import look, looks

_PATIENCE_S = 90.0
_PEOPLE = "SELECT n AS id, 'p' || n AS email FROM generate_series(1, 3) AS n"
_DUE = """
UPDATE syncs SET schedule = '{"type": "interval", "every_minutes": 60}', next_run_at = clock_timestamp() WHERE id = $1
"""
_ABANDON = """
UPDATE runs SET status = 'cancelling', cancel_requested_at = clock_timestamp() - interval '1 day' WHERE sync_id = $1
"""
_STATUS = "SELECT status FROM runs WHERE sync_id = $1 ORDER BY queued_at DESC LIMIT 1"
_NOTICED = "SELECT count(*) FROM dead_letters WHERE sync_id = $1 AND noticed_at IS NOT NULL"

# One server for all of them; whole runs of real services take their time on a busy machine.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("roles"), pytest.mark.timeout(150)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ours() -> AsyncIterator[RolesDatabase]:
    async with a_database_with_roles() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def owner(ours: RolesDatabase) -> AsyncIterator[Chassis]:
    """What the owner of the tables would work with."""
    async with open_chassis(ours.url("owner")) as chassis:
        yield chassis


@asynccontextmanager
async def _logged_in(owner: Chassis, ours: RolesDatabase, service: str) -> AsyncIterator[Chassis]:
    settings = owner.settings.model_copy(update={"poll_s": 0.1, "checkpoint_s": 0.05})
    async with Database.open(ours.url(service), application_name="test") as database:
        yield replace(owner, database=database, settings=settings, stopping=asyncio.Event())


@asynccontextmanager
async def _serving(serve: Callable[[Chassis], Coroutine[None, None, None]], chassis: Chassis) -> AsyncIterator[None]:
    async with asyncio.timeout(_PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(chassis))
        yield
        chassis.stopping.set()


async def _becomes(owner: Chassis, query: str, sync_id: str, wanted: object) -> None:
    while await owner.database.fetchval(query, sync_id) != wanted:  # noqa: ASYNC110 - a service decides
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("service", ROLES)
async def test_it_may_do_to_each_table_what_is_granted_and_no_more(ours: RolesDatabase, service: str) -> None:
    async with Database.open(ours.url(service), application_name="test") as database:
        found = await privileges(database)

    assert found == privileges_of(service)
    assert found.keys() == GRANTS.keys()


@pytest.mark.parametrize(
    ("service", "statement"),
    [
        ("scheduler", "SELECT secrets FROM connections"),
        ("dlq", "SELECT secrets FROM connections"),
        ("executor", "SELECT secret_hmac FROM tokens"),
        ("executor", "UPDATE connections SET settings = '{}'"),
        ("executor", "UPDATE syncs SET definition = '{}'"),
        ("executor", "DELETE FROM dead_letters"),
        ("gateway", "DELETE FROM dead_letters"),
        ("gateway", "UPDATE snapshot_pages SET body = ''"),
        ("gateway", "DELETE FROM audit_records"),
        ("gateway", "UPDATE audit_waiting SET actor = 'x'"),
        ("dlq", "SELECT response FROM idempotency_keys"),
        ("scheduler", "SELECT rows FROM previews"),
        *((service, "SET ROLE tailrace_owner") for service in ROLES),
        *((service, "ALTER TABLE connections NO FORCE ROW LEVEL SECURITY") for service in ROLES),
        *((service, "CREATE TABLE mine (id int)") for service in ROLES),
    ],
)
async def test_what_is_the_work_of_others_is_refused(ours: RolesDatabase, service: str, statement: str) -> None:
    async with Database.open(ours.url(service), application_name="test") as database:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(statement)


async def test_executor_may_hold_and_seal_again_the_secrets_of_connections(ours: RolesDatabase) -> None:
    async with Database.open(ours.url("executor"), application_name="test") as database:
        held = await database.fetch("SELECT secrets FROM connections WHERE id = '' FOR UPDATE")

        changed = await database.execute("UPDATE connections SET secrets = secrets WHERE id = ''")

    assert (held, changed) == ([], 0)


@pytest.mark.parametrize("service", ROLES)
async def test_it_can_start(ours: RolesDatabase, owner: Chassis, service: str) -> None:
    async with _logged_in(owner, ours, service) as chassis:
        readiness = Readiness(chassis.database, ours.url(service))
        await readiness.check_writable()
        await readiness.check_schema()
        await check_keys(chassis.database, chassis.box)


async def test_gateway_can_do_every_operation(ours: RolesDatabase, owner: Chassis) -> None:
    async with _logged_in(owner, ours, "gateway") as chassis, ClientSession() as session:
        http = FakeHttp()
        stores = open_stores(chassis, http)
        app = make_app(stores, ROUTES)
        async with TestServer(app) as server:
            gateway = Gateway(session, str(server.make_url("")).rstrip("/"), stores, http, chassis, app)
            workspace_id = await gateway.workspace()
            async with chassis.database.transaction() as connection:
                deed_of_making = Deed(workspace_id, "token:*platform*", "::1", FIRST_ACTION, workspace_id)
                await Audit(chassis.database, chassis.box).append(connection, deed_of_making)
            admin = await gateway.caller(workspace_id)
            scene = await set_scene(gateway, admin, Engine(owner.database))

            looked = [
                await look(admin, route, field, scene) for route, field in looks() if route.operation_id != "followRun"
            ]
            done = {
                name: await deed.do(admin, await set_scene(gateway, admin, Engine(owner.database)))
                for name, deed in DEEDS.items()
            }
            pruned = await stores.idempotency.prune()
            listed = await admin.get("/api/audit")
        verdicts = [verdict.fault async for verdict in AuditChain(chassis.database, chassis.box).verify()]

    assert [answered.raw for answered in looked if answered.status >= 500] == []
    assert {name: status for name, status in done.items() if status >= 300} == {}
    assert (pruned, listed.status, set(verdicts)) == (0, 200, {None})


async def test_scheduler_executor_and_dlq_can_bring_a_run_to_its_end(ours: RolesDatabase, owner: Chassis) -> None:
    async with (
        open_sink() as sink,
        _logged_in(owner, ours, "scheduler") as scheduler,
        _logged_in(owner, ours, "executor") as executor,
        _logged_in(owner, ours, "dlq") as dlq,
    ):
        sink.is_bad = lambda row: row["id"] == 2
        source = ConnectionDraft("warehouse", {"url": "***"}, {"/url": ours.url("owner")})
        drain = ConnectionDraft("sink", {"url": sink.url, "requires_results": True}, {})
        sync = await make_sync(owner, source, drain, definition_of(_PEOPLE, ("id", "email")))
        await owner.database.execute(_DUE, sync.id)

        async with _serving(serve_scheduler, scheduler), _serving(serve_executor, executor), _serving(serve_dlq, dlq):
            await _becomes(owner, _STATUS, sync.id, "succeeded")
            await _becomes(owner, _NOTICED, sync.id, 1)

        assert len(sink.rows) == 2


async def test_scheduler_can_close_a_run_that_nobody_has(ours: RolesDatabase, owner: Chassis) -> None:
    source = ConnectionDraft("warehouse", {"url": "***"}, {"/url": ours.url("owner")})
    drain = ConnectionDraft("sink", {"url": "http://127.0.0.1:9/rows"}, {})
    sync = await make_sync(owner, source, drain, definition_of(_PEOPLE, ("id", "email")))
    new = NewRun(new_run_id(), sync.workspace_id, sync.id, RunKind.FULL, RunTrigger.API, "a test")
    async with owner.database.transaction() as connection:
        await Runs(owner.database).start(connection, new, run_queued(new))
    await owner.database.execute(_ABANDON, sync.id)

    async with _logged_in(owner, ours, "scheduler") as scheduler, _serving(serve_scheduler, scheduler):
        await _becomes(owner, _STATUS, sync.id, "cancelled")

    assert await owner.database.fetchval(_STATUS, sync.id) == "cancelled"

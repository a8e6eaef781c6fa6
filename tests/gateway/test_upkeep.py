"""What a gateway does besides answering: remembered answers and previews go, records of changes are chained."""

import asyncio

from tailrace.core.ids import WorkspaceId
from tailrace.runtime.rounds import go_round
from tailrace.runtime.service import Chassis
from tailrace.store.audit import Deed
from tailrace.store.audit_chain import AuditChain
from tailrace.store.database import Database
from tailrace.store.idempotency import Idempotency, Request
from tailrace.store.previews import Preview, Previews
from tailrace.store.workspaces import Workspaces
from tailrace.testing.eventually import eventually
from tailrace_gateway.upkeep import upkeep
from tests.gateway.conftest import Gateway

_KEYS = "SELECT array_agg(key ORDER BY key) FROM idempotency_keys"
_AGE = "UPDATE idempotency_keys SET created_at = created_at - interval '25 hours' WHERE key LIKE 'old%'"
_MANY = "INSERT INTO idempotency_keys (workspace_id, key, request_sha256) SELECT 'ws', 'old' || n, '' FROM"
_CHAINED = "SELECT count(*) FROM audit_records"
_SOON_S = 30.0


async def kept_up(gateway: Gateway, database: Database, sql: str, wanted: object) -> None:
    """Let the gateway's rounds go until the query gives what is wanted."""
    chassis = gateway.chassis
    async with asyncio.timeout(2 * _SOON_S), asyncio.TaskGroup() as tasks:
        for each in upkeep(gateway.stores, AuditChain(database, chassis.box)):
            tasks.create_task(go_round(each, chassis.health, chassis.stopping))
        await eventually(lambda: database.fetchval(sql), wanted, within_s=_SOON_S)
        chassis.stopping.set()


async def test_keys_past_their_day_go_however_many_and_the_others_stay(gateway: Gateway, chassis: Chassis) -> None:
    await chassis.database.execute(f"{_MANY} generate_series(1, 12000) AS n")
    await chassis.database.execute(_AGE)
    async with chassis.database.transaction() as connection:
        await Idempotency(chassis.database, chassis.box).claim(connection, Request(WorkspaceId("ws"), "new", b"1"))

    await kept_up(gateway, chassis.database, _KEYS, ["new"])


async def test_changes_are_chained_soon(gateway: Gateway, chassis: Chassis) -> None:
    workspace_id = await gateway.workspace()
    async with chassis.database.transaction() as connection:
        await gateway.stores.audit.append(connection, Deed(workspace_id, "token:t", "10.0.0.1", "updateSync", "sync_1"))

    await kept_up(gateway, chassis.database, _CHAINED, 1)


async def test_previews_past_their_time_go_in_every_workspace(chassis: Chassis) -> None:
    previews = Previews(chassis.database, chassis.box)
    workspaces = [await Workspaces(chassis.database).create(name) for name in "ab"]
    old = [await previews.keep(workspace.id, Preview([{"id": 1}])) for workspace in workspaces]
    await chassis.database.execute("UPDATE previews SET created_at = created_at - interval '16 minutes'")
    await previews.keep(workspaces[0].id, Preview([{"id": 2}]))

    pruned = [await previews.prune(), await previews.prune()]

    assert pruned == [len(old), 0]

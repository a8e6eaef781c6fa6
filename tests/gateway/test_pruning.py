"""Remembered answers and previews go when their time is over."""

import asyncio
from collections.abc import Awaitable, Callable

from structlog.testing import capture_logs

from tailrace.core.ids import WorkspaceId
from tailrace.runtime.service import Chassis
from tailrace.store.database import Database, Waits
from tailrace.store.idempotency import Idempotency, Request
from tailrace.store.previews import Preview, Previews
from tailrace.store.workspaces import Workspaces
from tailrace.testing.eventually import eventually
from tailrace_gateway.pruning import BEAT, prune

_NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
_COUNT = "SELECT count(*) FROM idempotency_keys"
_AGE = "UPDATE idempotency_keys SET created_at = created_at - interval '25 hours' WHERE key = 'old'"


async def test_keys_past_their_day_go_and_the_others_stay(chassis: Chassis) -> None:
    idempotency = Idempotency(chassis.database, chassis.box)
    async with chassis.database.transaction() as connection:
        await idempotency.claim(connection, Request(WorkspaceId("ws"), "old", b"1"))
        await idempotency.claim(connection, Request(WorkspaceId("ws"), "new", b"1"))
        await connection.execute(_AGE)

    async with asyncio.TaskGroup() as tasks:
        pruning = tasks.create_task(prune(idempotency, Previews(chassis.database, chassis.box), chassis.health))
        await eventually(lambda: chassis.database.fetchval(_COUNT), 1)
        pruning.cancel()

    assert await chassis.database.fetchval("SELECT key FROM idempotency_keys") == "new"


async def test_previews_past_their_time_go_in_every_workspace(chassis: Chassis) -> None:
    previews = Previews(chassis.database, chassis.box)
    workspaces = [await Workspaces(chassis.database).create(name) for name in "ab"]
    old = [await previews.keep(workspace.id, Preview([{"id": 1}])) for workspace in workspaces]
    await chassis.database.execute("UPDATE previews SET created_at = created_at - interval '16 minutes'")
    await previews.keep(workspaces[0].id, Preview([{"id": 2}]))

    pruned = [await previews.prune(), await previews.prune()]

    assert pruned == [len(old), 0]


async def test_outage_of_the_store_only_puts_it_off(chassis: Chassis) -> None:
    async with Database.open(_NOWHERE, application_name="test", waits=Waits(1, 1)) as away:
        with capture_logs() as logs:
            async with asyncio.TaskGroup() as tasks:
                stores = Idempotency(away, chassis.box), Previews(away, chassis.box)
                pruning = tasks.create_task(prune(*stores, chassis.health))
                await eventually(_later(lambda: [line["event"] for line in logs]), ["answers.prune_failed"])
                was_done = pruning.done()
                pruning.cancel()

    assert not was_done
    assert chassis.health.live().checks == {BEAT: "ok"}


def _later(look: Callable[[], list[str]]) -> Callable[[], Awaitable[list[str]]]:
    async def look_later() -> list[str]:
        return look()

    return look_later

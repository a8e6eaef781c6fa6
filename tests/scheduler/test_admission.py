"""Requests for runs that come by the bus: each taken in once, none able to harm."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import orjson
import pytest

from tailrace.bus.base import Received, Subscription
from tailrace.core.ids import SyncId
from tailrace.observe import metrics
from tailrace.store.database import Database, Record
from tailrace.testing.eventually import eventually
from tailrace_scheduler.__main__ import serve
from tests.scheduler.conftest import Surroundings
from tests.store.conftest import Stage

REQUESTED = "tailrace.run.requested.v1"
QUEUED = "tailrace.run.queued.v1"


def request(surroundings: Surroundings, sync_id: str, *, event_id: str | None = None, **data: object) -> None:
    """Publish a request as another service does."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event_id or str(uuid4()),
        "ce_source": "urn:crm:orders",
        "ce_type": REQUESTED,
        "content-type": "application/json",
    }
    value = orjson.dumps({"sync_id": sync_id, **data})
    encoded = {name: text.encode() for name, text in headers.items()}
    surroundings.bus.put(REQUESTED, value, key=sync_id.encode(), headers=encoded)


async def runs(database: Database) -> list[Record]:
    return list(await database.fetch("SELECT * FROM runs ORDER BY queued_at"))


async def count_runs(database: Database) -> int:
    return len(await runs(database))


async def count_taken_in(database: Database) -> int:
    count: int = await database.fetchval("SELECT count(*)::int FROM inbox")
    return count


def count_of(outcome: str, event_type: str = REQUESTED) -> float:
    labels = {"type": event_type, "outcome": outcome}
    return metrics.REGISTRY.get_sample_value("tailrace_events_total", labels) or 0.0


@asynccontextmanager
async def listening(surroundings: Surroundings, topic: str) -> AsyncIterator[Subscription]:
    async with surroundings.bus.subscribe([topic], group="a test", member="a test") as subscription:
        yield subscription


async def next_of(subscription: Subscription) -> Received:
    [received] = await subscription.receive(at_most=1, wait_s=10)
    return received


async def test_request_becomes_a_run_that_is_told_of(surroundings: Surroundings, stage: Stage) -> None:
    async with surroundings.running(serve), listening(surroundings, QUEUED) as subscription:
        request(surroundings, stage.sync_id, full_refresh=True, requested_by="order service")
        queued = await next_of(subscription)

    [run] = await runs(stage.database)
    assert orjson.loads(queued.value or b"")["run_id"] == run["id"]
    assert (run["kind"], run["trigger"], run["requested_by"]) == ("full", "event", "order service")
    assert queued.key == stage.sync_id.encode()


async def test_event_that_comes_three_times_makes_one_run(surroundings: Surroundings, stage: Stage) -> None:
    before = count_of("repeated")
    async with surroundings.running(serve):
        request(surroundings, stage.sync_id, event_id="order-7")
        await eventually(lambda: count_runs(stage.database), 1)
        # Even after its run is over.
        await stage.database.execute("UPDATE runs SET status = 'succeeded'")
        request(surroundings, stage.sync_id, event_id="order-7")
        request(surroundings, stage.sync_id, event_id="order-7")
        request(surroundings, stage.sync_id, event_id="order-8")
        await eventually(lambda: count_taken_in(stage.database), 2)

    assert await count_runs(stage.database) == 2
    assert count_of("repeated") == before + 2


async def test_request_without_a_name_is_made_by_its_source(surroundings: Surroundings, stage: Stage) -> None:
    async with surroundings.running(serve):
        request(surroundings, stage.sync_id)
        await eventually(lambda: count_runs(stage.database), 1)

    [run] = await runs(stage.database)
    assert (run["kind"], run["requested_by"]) == ("incremental", "urn:crm:orders")


async def test_bare_json_of_another_team_is_enough(surroundings: Surroundings, stage: Stage) -> None:
    async with surroundings.running(serve):
        surroundings.bus.put(REQUESTED, orjson.dumps({"syncId": stage.sync_id}))
        await eventually(lambda: count_runs(stage.database), 1)


async def test_unknown_sync_is_counted_and_the_next_request_goes_on(surroundings: Surroundings, stage: Stage) -> None:
    before = count_of("unknown")
    async with surroundings.running(serve):
        request(surroundings, "retl_sync_none")
        request(surroundings, stage.sync_id)
        await eventually(lambda: count_taken_in(stage.database), 2)

    assert await count_runs(stage.database) == 1
    assert count_of("unknown") == before + 1


@pytest.mark.parametrize("change", ["enabled = false", "deleted_at = now()"], ids=["paused", "deleted"])
async def test_sync_that_is_off_is_not_run(surroundings: Surroundings, stage: Stage, change: str) -> None:
    await stage.database.execute(f"UPDATE syncs SET {change}")

    async with surroundings.running(serve):
        request(surroundings, stage.sync_id)
        await eventually(lambda: count_taken_in(stage.database), 1)

    assert await count_runs(stage.database) == 0


async def test_request_during_a_run_has_no_effect(surroundings: Surroundings, stage: Stage) -> None:
    active = await stage.start_run()
    before = count_of("refused")

    async with surroundings.running(serve):
        request(surroundings, stage.sync_id)
        await eventually(lambda: count_taken_in(stage.database), 1)

    assert [run["id"] for run in await runs(stage.database)] == [active]
    assert count_of("refused") == before + 1


@pytest.mark.parametrize(
    "sync_id", ["", "retl\x00sync", "x" * 65, SyncId("'; DROP TABLE runs; --")], ids=["empty", "nul", "long", "sql"]
)
async def test_strange_request_harms_nobody(surroundings: Surroundings, stage: Stage, sync_id: str) -> None:
    async with surroundings.running(serve):
        request(surroundings, sync_id)
        request(surroundings, stage.sync_id)
        await eventually(lambda: count_runs(stage.database), 1)


async def test_what_cannot_be_read_is_put_aside(surroundings: Surroundings, stage: Stage) -> None:
    async with surroundings.running(serve), listening(surroundings, f"{REQUESTED}.dlq") as subscription:
        surroundings.bus.put(REQUESTED, b"\xff not json")
        request(surroundings, stage.sync_id)
        aside = await next_of(subscription)
        await eventually(lambda: count_runs(stage.database), 1)

    assert aside.value == b"\xff not json"

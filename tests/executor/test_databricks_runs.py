"""Runs that read from a workspace of Databricks, as a stand-in plays it: the same walk, another source."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tailrace.core.runs import RunStatus
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tailrace.testing.databricks_server import Databricks, databricks_server
from tests.executor.sharing import shards_of, shared
from tests.executor.sink import Sink
from tests.executor.yard import Yard, definition_of, make_sync

_PEOPLE = """
CREATE TABLE people AS
SELECT id, 'p' || id || '@example.com' AS email, paid::DECIMAL(10, 2) AS paid
FROM (VALUES (1, 1.5), (2, 20), (10, 0.25), (11, NULL)) AS v(id, paid)
"""
_CHANGE = "UPDATE people SET email = 'new@example.com' WHERE id = 10"
_LEAVE = "DELETE FROM people WHERE id = 2"
_MANY = "CREATE TABLE people AS SELECT range::INT + 1 AS id, 'p' || range AS email, 1 AS paid FROM range(800)"


@pytest_asyncio.fixture
async def workspace() -> AsyncIterator[Databricks]:
    async with databricks_server() as server:
        yield server


@pytest_asyncio.fixture
async def sync_of_people(chassis: Chassis, workspace: Databricks, sink: Sink) -> Yard:
    source = ConnectionDraft(
        "workspace", workspace.settings | {"access_token": "***"}, {"/access_token": workspace.access_token}
    )
    target = ConnectionDraft("sink", {"url": sink.url, "requires_results": True, "rows_per_batch": 10}, {})
    definition = definition_of("SELECT * FROM people", ("id", "email", "paid"))
    sync = await make_sync(chassis, source, target, definition, ("databricks", "http"))
    return Yard(chassis, None, sync)  # type: ignore[arg-type]  # people come from elsewhere


async def test_people_of_a_workspace_arrive_and_then_the_difference_alone(
    sync_of_people: Yard, workspace: Databricks, sink: Sink
) -> None:
    workspace.run(_PEOPLE)
    first = await sync_of_people.run()
    workspace.run(_CHANGE, _LEAVE)
    second = await sync_of_people.run()

    assert (first.status, first.books.delivered) == (RunStatus.SUCCEEDED, 4)
    assert [(row["id"], row["paid"]) for row in sink.rows[:4]] == [(1, 1.5), (10, 0.25), (11, None), (2, 20)]
    assert second.status is RunStatus.SUCCEEDED
    assert sink.rows[4:] == [{"id": 10, "email": "new@example.com", "paid": 0.25}]


async def test_first_run_is_cut_and_every_row_comes_once(
    sync_of_people: Yard, workspace: Databricks, sink: Sink
) -> None:
    workspace.run(_MANY)

    run = await shared(sync_of_people)

    assert (run.status, run.error_message) == (RunStatus.SUCCEEDED, None)
    assert sink.times_by_id == dict.fromkeys(range(1, 801), 1)
    assert len(await shards_of(sync_of_people, run.id)) == 3

"""Runs that read from a project of BigQuery, as its stand-in plays it: the same walk, another source."""

import pytest
import pytest_asyncio

from tailrace.core.runs import RunStatus
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tailrace.testing.bigquery_stand_in import BigQueryStandIn, Fault
from tests.executor.bigquery_source import connection_to
from tests.executor.sink import Sink
from tests.executor.yard import Yard, definition_of, make_sync

_PEOPLE = """
CREATE TABLE people AS
SELECT id::BIGINT AS id, 'p' || id || '@example.com' AS email, paid::DECIMAL(10, 2) AS paid
FROM (VALUES (1, 1.5), (2, 20), (10, 0.25), (11, NULL)) AS v (id, paid)
"""


@pytest_asyncio.fixture
async def sync_of_people(chassis: Chassis, bigquery: BigQueryStandIn, sink: Sink) -> Yard:
    bigquery.engine.run(_PEOPLE)
    target = ConnectionDraft("sink", {"url": sink.url, "requires_results": True}, {})
    definition = definition_of("SELECT * FROM people", ("id", "email", "paid"))
    sync = await make_sync(chassis, connection_to(bigquery), target, definition, ("bigquery", "http"))
    return Yard(chassis, None, sync)  # type: ignore[arg-type]  # people come from elsewhere


async def test_people_of_a_project_arrive_and_then_the_difference_alone(
    sync_of_people: Yard, bigquery: BigQueryStandIn, sink: Sink
) -> None:
    first = await sync_of_people.run()
    bigquery.engine.run("UPDATE people SET email = 'new@example.com' WHERE id = 10")
    bigquery.engine.run("DELETE FROM people WHERE id = 2")
    second = await sync_of_people.run()

    assert (first.status, first.books.delivered) == (RunStatus.SUCCEEDED, 4)
    assert [(row["id"], row["paid"]) for row in sink.rows[:4]] == [(1, 1.5), (10, 0.25), (11, None), (2, 20)]
    assert second.status is RunStatus.SUCCEEDED
    assert sink.rows[4:] == [{"id": 10, "email": "new@example.com", "paid": 0.25}]


@pytest.mark.parametrize("status", [403, 429])
async def test_throttle_in_the_middle_of_a_run_is_waited_for(
    sync_of_people: Yard, bigquery: BigQueryStandIn, status: int
) -> None:
    bigquery.faults.append(Fault(status, "rateLimitExceeded"))

    run = await sync_of_people.run()

    assert (run.status, run.books.delivered) == (RunStatus.SUCCEEDED, 4)

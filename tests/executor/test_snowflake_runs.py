"""Runs that read from an account of Snowflake, as its emulator plays it: the same walk, another source."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from snowflake.connector import SnowflakeConnection, connect

from tailrace.connector_kit.snowflake_settings import SnowflakeSettings
from tailrace.core.runs import RunStatus
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tailrace.testing.snowflake_server import Snowflake
from tests.executor.sink import Sink
from tests.executor.yard import Yard, definition_of, make_sync

pytestmark = pytest.mark.xdist_group("snowflake")

_PEOPLE = """
CREATE OR REPLACE TABLE people AS
SELECT column1 AS id, 'p' || column1 || '@example.com' AS email, column2::NUMBER(10, 2) AS paid
FROM VALUES (1, 1.5), (2, 20), (10, 0.25), (11, NULL)
"""
_CHANGE = "UPDATE people SET email = 'new@example.com' WHERE id = 10"
_LEAVE = "DELETE FROM people WHERE id = 2"


@pytest_asyncio.fixture
async def account(snowflake: Snowflake) -> AsyncIterator[SnowflakeConnection]:
    """An account with a few people."""
    raw = {"account": snowflake.account, "user": snowflake.user, "private_key": snowflake.private_key}
    owner = SnowflakeSettings.model_validate(raw | {"database": "CRM", "schema_name": "PUBLIC"})
    with connect(**owner.connect_options()) as connection:
        connection.cursor().execute(_PEOPLE)
        yield connection


@pytest_asyncio.fixture
async def sync_of_people(chassis: Chassis, account: SnowflakeConnection, snowflake: Snowflake, sink: Sink) -> Yard:
    shown = {"account": snowflake.account, "user": snowflake.user, "private_key": "***", "warehouse": "W"}
    place = {"database": "CRM", "schema_name": "PUBLIC", "role": "READER"}
    source = ConnectionDraft("account", shown | place, {"/private_key": snowflake.private_key})
    target = ConnectionDraft("sink", {"url": sink.url, "requires_results": True}, {})
    definition = definition_of("SELECT * FROM people", ("ID", "EMAIL", "PAID"))
    sync = await make_sync(chassis, source, target, definition, ("snowflake", "http"))
    return Yard(chassis, None, sync)  # type: ignore[arg-type]  # people come from elsewhere


async def test_people_of_an_account_arrive_and_then_the_difference_alone(
    sync_of_people: Yard, account: SnowflakeConnection, sink: Sink
) -> None:
    first = await sync_of_people.run()
    account.cursor().execute(_CHANGE)
    account.cursor().execute(_LEAVE)
    second = await sync_of_people.run()

    assert (first.status, first.books.delivered) == (RunStatus.SUCCEEDED, 4)
    assert [(row["ID"], row["PAID"]) for row in sink.rows[:4]] == [(1, 1.5), (10, 0.25), (11, None), (2, 20)]
    assert second.status is RunStatus.SUCCEEDED
    assert sink.rows[4:] == [{"ID": 10, "EMAIL": "new@example.com", "PAID": 0.25}]

"""What the requests that come most often cost the database, in trips: a figure that no machine changes."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest_asyncio

from tailrace.bus.relay import Relay
from tailrace.events.topics import TopicNames
from tailrace.runtime.service import Chassis
from tailrace.store.outbox import Outbox
from tests.fixtures.statements import NotingDatabase
from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway


@pytest_asyncio.fixture
async def noting(database_url: str) -> AsyncIterator[NotingDatabase]:
    async with NotingDatabase.open(database_url, application_name="test") as database:
        yield database


@pytest_asyncio.fixture
async def chassis(chassis: Chassis, noting: NotingDatabase) -> Chassis:
    return replace(chassis, database=noting)


async def test_a_start_takes_eight_trips_to_the_database(
    noting: NotingDatabase, admin: Caller, sync_id: str, another_sync_id: str
) -> None:
    await admin.post(f"/v2/retl-connections/{another_sync_id}/start", {})
    noting.noted.clear()

    started = await admin.post(f"/v2/retl-connections/{sync_id}/start", {})

    assert started.status == 200
    assert len(noting.noted) == 8, noting.noted


async def test_the_event_of_a_start_takes_two_trips_and_a_look_for_more_one(
    noting: NotingDatabase, gateway: Gateway, admin: Caller, sync_id: str, another_sync_id: str
) -> None:
    relay = Relay(Outbox(noting), gateway.chassis.bus, TopicNames("tailrace"))
    await admin.post(f"/v2/retl-connections/{another_sync_id}/start", {})
    await relay.send_some()
    await admin.post(f"/v2/retl-connections/{sync_id}/start", {})
    noting.noted.clear()

    sent = [await relay.send_some(), await relay.send_some()]

    assert sent == [1, 0]
    assert len(noting.noted) == 3, noting.noted
